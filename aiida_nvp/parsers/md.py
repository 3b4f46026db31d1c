"""Parser of one production run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_nvp.calculations.base import ARRAYS_FILE
from aiida_nvp.common.trajectory import read_trajectory
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.parsers.arrays import read_arrays
from aiida_nvp.parsers.base import WorkerParser
from aiida_nvp.worker.settings import TRAJECTORY_FILE


class MolecularDynamicsParser(WorkerParser):
    """Attach trajectory, thermodynamics and results, also of a run that ended early."""

    def parse_output(self, output: dict[str, Any], folder: Path) -> ExitCode | None:
        """Attach outputs and say how the run ended."""
        read_trajectory(folder / TRAJECTORY_FILE)
        self.out("trajectory", orm.SinglefileData(folder / TRAJECTORY_FILE))
        self.out("thermo", read_arrays(folder / ARRAYS_FILE))
        self.out("results", orm.Dict(output))
        reason = StopReason(output["stop_reason"])
        if reason is StopReason.COMPLETED:
            return None
        where = {"step": str(output["steps"]), "planned": str(output["steps_planned"])}
        if reason is StopReason.WALLTIME:
            return self._exit("ERROR_RUN_STOPPED", **where)
        return self._exit("ERROR_RUN_BROKEN", reason=reason.value, **where)
