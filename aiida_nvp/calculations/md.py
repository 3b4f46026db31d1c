"""CalcJob of one production run: stage ``produce`` of the worker."""

from __future__ import annotations

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
from aiida_nvp.worker.settings import CHECKPOINT_FILE, TRAJECTORY_FILE, ProduceSettings


class MolecularDynamicsCalculation(WorkerCalculation):
    """Take one cell through a thermal schedule, with the committee's uncertainty along the run."""

    STAGE = "produce"
    RETRIEVE = (TRAJECTORY_FILE, ARRAYS_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input("frames", valid_type=DatasetData, validator=_one_frame, help="The start, one frame.")
        define_committee(spec)
        define_dynamics(spec, settings_validator(ProduceSettings))
        seed_port(spec)
        define_restart(spec)
        spec.output("trajectory", valid_type=orm.SinglefileData, help="H5MD file with unwrapped positions.")
        spec.output(
            "thermo",
            valid_type=orm.ArrayData,
            help="Along the run: `step`, `time_ps`, `temperature`, `potential_energy`, `stage`, `density_g_cm3`, "
            "`pressure_gpa`; and where the "
            "committee was asked: `uncertainty_step`, `uncertainty_time_ps`, `uncertainty_score`, `uncertainty_max`.",
        )
        spec.output("results", valid_type=orm.Dict, help="Stages, shortest distance, stop reason, speed.")
        spec.default_output_node = "results"
        spec.exit_code(
            410,
            "ERROR_RUN_STOPPED",
            message="The run was stopped at step {step} of {planned} and can go on from its checkpoint.",
            invalidates_cache=True,
        )
        spec.exit_code(
            510, "ERROR_RUN_BROKEN", message="The run broke at step {step} of {planned}: {reason}. Outputs end there."
        )

    def worker_input(self) -> dict[str, Any]:
        """Return the content of ``input.json``."""
        return common_worker_input(self.inputs)

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the input and, for a restart, bring checkpoint and trajectory along."""
        calc_info = super().prepare_for_submission(folder)
        bring_along(calc_info, self.inputs, (CHECKPOINT_FILE, TRAJECTORY_FILE))
        return calc_info


def _one_frame(frames: DatasetData, _port: object) -> str | None:
    return None if len(frames) == 1 else f"one start frame is needed, the data set holds {len(frames)}."
