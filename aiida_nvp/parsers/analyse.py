"""Results of an analysis as nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from aiida import orm
from aiida.engine import ExitCode

from aiida_nvp.common.errors import InputError
from aiida_nvp.parsers.base import WorkerParser
from aiida_nvp.worker.job import ARRAYS_FILE


class AnalyseParser(WorkerParser):
    """Attach ``results`` and ``arrays``."""

    def parse_output(self, output: dict[str, Any], folder: Path) -> ExitCode | None:
        """Turn ``output.json`` and ``arrays.npz`` into nodes."""
        try:
            with np.load(folder / ARRAYS_FILE, allow_pickle=False) as stored:
                arrays = orm.ArrayData({name: stored[name] for name in stored.files})
        except BadZipFile as error:
            raise InputError(f"{ARRAYS_FILE} is damaged ({error}).") from error
        self.out("results", orm.Dict(output))
        self.out("arrays", arrays)
        return None
