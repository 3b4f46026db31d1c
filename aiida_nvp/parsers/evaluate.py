"""Parser of one evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_nvp.calculations.base import ARRAYS_FILE
from aiida_nvp.parsers.arrays import read_arrays
from aiida_nvp.parsers.base import WorkerParser


class EvaluateParser(WorkerParser):
    """Attach predictions and results."""

    def parse_output(self, output: dict[str, Any], folder: Path) -> ExitCode | None:
        """Attach outputs; a committee without a number for any frame is an error with its outputs attached."""
        self.out("predictions", read_arrays(folder / ARRAYS_FILE))
        self.out("results", orm.Dict(output))
        return self._exit("ERROR_MODEL_NOT_FINITE") if output["not_finite"] == output["n_frames"] else None
