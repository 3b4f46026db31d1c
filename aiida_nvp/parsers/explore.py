"""Parser of one exploration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import ExitCode

from aiida_nvp.calculations.base import ARRAYS_FILE, committee_members
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.parsers.arrays import read_arrays
from aiida_nvp.parsers.base import WorkerParser
from aiida_nvp.worker.settings import CANDIDATES_FILE


class ExploreParser(WorkerParser):
    """Attach candidates with their sources, predictions and results."""

    def parse_output(self, output: dict[str, Any], folder: Path) -> ExitCode | None:
        """Attach outputs; a committee that gave no number to any replica is an error with its outputs attached."""
        candidates = FrameSet.load(folder / CANDIDATES_FILE)
        driver = committee_members(self.node.inputs.committee)[0]
        source = {"explore": self.node.uuid, "potential": driver.uuid}
        self.out("candidates", DatasetData(candidates, sources=[source] * len(candidates)))
        self.out("predictions", read_arrays(folder / ARRAYS_FILE))
        self.out("results", orm.Dict(output))
        stillborn = [
            replica["stop_reason"] == StopReason.NOT_A_NUMBER and replica["steps"] == 0
            for replica in output["replicas"]
        ]
        if all(stillborn):
            return self._exit("ERROR_MODEL_NOT_FINITE")
        stopped = sum(replica["stop_reason"] == StopReason.WALLTIME for replica in output["replicas"])
        if not stopped:
            return None
        return self._exit("ERROR_EXPLORATION_STOPPED", unfinished=str(stopped), planned=str(len(stillborn)))
