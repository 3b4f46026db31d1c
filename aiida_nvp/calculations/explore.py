"""CalcJob of one exploration: stage ``explore`` of the worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_nvp.calculations.base import ARRAYS_FILE, WorkerCalculation, define_committee, seed_port
from aiida_nvp.calculations.dynamics import (
    bring_along,
    common_worker_input,
    define_dynamics,
    define_restart,
    settings_validator,
)
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.worker.settings import CANDIDATES_FILE, CHECKPOINT_FILE, ExploreSettings, read_settings


class ExploreCalculation(WorkerCalculation):
    """Run many replicas on the first member while the committee scores every strided frame."""

    STAGE = "explore"
    RETRIEVE = (CANDIDATES_FILE, ARRAYS_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input("frames", valid_type=DatasetData, help="Start frames; labels, if any, are not looked at.")
        define_committee(spec)
        define_dynamics(spec, settings_validator(ExploreSettings))
        define_restart(spec)
        seed_port(spec)
        spec.output("candidates", valid_type=DatasetData, help="Frames the committee scored, replica by replica.")
        spec.output(
            "predictions",
            valid_type=orm.ArrayData,
            help="`features` (F, d), `forces_mean` (N, 3) and raw `forces_std` (N,) of the committee, eV/angstrom; "
            "with statistics of the training set feature `distance` (N,) and `information` (F, R, d).",
        )
        spec.output("results", valid_type=orm.Dict, help="What each replica did and why it ended; totals.")
        spec.default_output_node = "results"
        spec.exit_code(
            410, "ERROR_MODEL_NOT_FINITE", message="No replica could take a step, the committee gives no numbers."
        )
        spec.exit_code(
            411,
            "ERROR_EXPLORATION_STOPPED",
            message="The exploration was stopped with {unfinished} of {planned} replicas unfinished and can go on from "
            "its checkpoint; what it found is attached.",
            invalidates_cache=True,
        )

    def worker_input(self) -> dict[str, Any]:
        """Return the content of ``input.json``."""
        return common_worker_input(self.inputs)

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the input and, for a restart, bring the checkpoint along."""
        calc_info = super().prepare_for_submission(folder)
        bring_along(calc_info, self.inputs, (CHECKPOINT_FILE,))
        return calc_info

    def processes(self) -> int:
        """Return how many processes share the replicas."""
        return busy_processes(self.inputs.parameters.get_dict())


def busy_processes(parameters: Mapping[str, Any]) -> int:
    """Return how many processes an exploration with these parameters keeps busy: no more than it has replicas."""
    settings = read_settings(ExploreSettings, parameters)
    return min(settings.processes, settings.replicas)
