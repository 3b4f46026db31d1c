"""The contract between a worker program and whoever started it: files in one folder."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

INPUT_FILE = "input.json"
OUTPUT_FILE = "output.json"
ARRAYS_FILE = "arrays.npz"
PROGRESS_FILE = "progress.jsonl"
ERROR_FILE = "error.json"
FRAMES_FILE = "frames.npz"


def member_file(index: int) -> str:
    """Return the name under which committee member ``index`` lies in the job folder."""
    return f"member_{index}.nequip.zip"


class Job:
    """One run of a worker stage in one folder.

    :param folder: where input lies and output goes.
    :param inputs: content of ``input.json``.
    """

    def __init__(self, folder: Path, inputs: Mapping[str, Any]) -> None:
        """Remember the folder and start the clock."""
        self.folder = folder
        self.inputs = inputs
        self.stop_requested = False
        self._start = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of the job."""
        return time.monotonic() - self._start

    def path(self, name: str) -> Path:
        """Return the path of a file of this job."""
        return self.folder / name

    def listen_for_stop(self) -> None:
        """Turn SIGTERM, which schedulers send before the time is up, into ``stop_requested``."""
        signal.signal(signal.SIGTERM, self._request_stop)

    def _request_stop(self, _signal: int, _frame: FrameType | None) -> None:
        self.stop_requested = True

    def progress(self, **values: Any) -> None:
        """Append one line to the progress file, with the seconds since the start."""
        line = json.dumps({"elapsed_s": round(self.elapsed_s, 2), **values})
        with self.path(PROGRESS_FILE).open("a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def write_arrays(self, arrays: Mapping[str, NDArray[Any]], name: str = ARRAYS_FILE) -> None:
        """Write arrays as one npz that appears whole or not at all."""
        temporary = self.path(f"{name}.part")
        with temporary.open("wb") as handle:
            contents: dict[str, Any] = dict(arrays)
            np.savez(handle, **contents)
        os.replace(temporary, self.path(name))

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file that appears whole or not at all."""
        temporary = self.path(f"{name}.part")
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True, allow_nan=False), encoding="utf-8")
        os.replace(temporary, self.path(name))
