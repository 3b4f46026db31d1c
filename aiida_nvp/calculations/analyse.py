"""Analysis of a trajectory as an AiiDA process."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import CalcJobProcessSpec

from aiida_nvp.calculations.base import ARRAYS_FILE, WorkerCalculation
from aiida_nvp.common.errors import InputError
from aiida_nvp.worker.settings import TRAJECTORY_FILE, AnalyseSettings


class AnalyseCalculation(WorkerCalculation):
    """Structure, displacements and percolation of the stages of one trajectory."""

    STAGE = "analyse"
    RETRIEVE = (ARRAYS_FILE,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare ports and outputs."""
        super().define(spec)
        spec.input("trajectory", valid_type=orm.SinglefileData, help="H5MD trajectory.")
        spec.input(
            "parameters",
            valid_type=orm.Dict,
            serializer=orm.to_aiida_type,
            validator=_validate,
            help="Stages, bond lengths by pair, mobile species.",
        )
        spec.output("results", valid_type=orm.Dict, help="Numbers with errors and units, stage by stage.")
        spec.output("arrays", valid_type=orm.ArrayData, help="Curves: `stage_{i}_r`, `stage_{i}_g_P_O`, ...")

    def worker_input(self) -> dict[str, Any]:
        """Return the parameters as they are."""
        return dict(self.inputs.parameters.get_dict())

    def extra_files(self) -> list[tuple[str, str, str]]:
        """Copy the trajectory under the name that the worker expects."""
        trajectory = self.inputs.trajectory
        return [(trajectory.uuid, trajectory.filename, TRAJECTORY_FILE)]


def _validate(parameters: orm.Dict, _context: object) -> str | None:
    try:
        AnalyseSettings.read(parameters.get_dict())
    except InputError as error:
        return str(error)
    return None
