"""The rehearsal labeller as a job: the same outputs as a pw.x job, from an analytic potential."""

from __future__ import annotations

from typing import Any, ClassVar

from aiida import orm
from aiida.engine import CalcJobProcessSpec

from aiida_nvp.calculations.base import ARRAYS_FILE, WorkerCalculation
from aiida_nvp.common.vocabulary import LabelMode

MAX_FORCE = 150.0
"""eV/angstrom; where the largest force lies above, no label is given."""


class RehearsalCalculation(WorkerCalculation):
    """Label one structure, or every step of a short relaxation, with the rehearsal potential.

    Parameters: ``mode`` (``single_point``, ``relax`` or ``md``), ``relax_steps``, ``md_steps``, ``md_temperature``,
    ``md_timestep_fs``, ``max_force`` in eV/angstrom.
    """

    STAGE = "rehearse"
    RETRIEVE = (ARRAYS_FILE,)
    CACHE_VERSION: ClassVar[int] = 1

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare the ports, which are those of a pw.x job as far as they make sense."""
        super().define(spec)
        spec.input("structure", valid_type=orm.StructureData, help="What to label.")
        spec.input("parameters", valid_type=orm.Dict, serializer=orm.to_aiida_type, help="Mode and limits.")
        spec.output("output_trajectory", valid_type=orm.TrajectoryData, help="Steps with labels, units as of pw.x.")
        spec.output("output_parameters", valid_type=orm.Dict, help="Units, number of steps, time.")
        spec.exit_code(410, "ERROR_ATOMS_TOO_CLOSE", message="No label: {message}")

    def worker_input(self) -> dict[str, Any]:
        """Return the structure and the parameters as plain values."""
        atoms = self.inputs.structure.get_ase()
        given = self.inputs.parameters.get_dict()
        return {
            "mode": LabelMode(given.get("mode", LabelMode.SINGLE_POINT)).value,
            "relax_steps": int(given.get("relax_steps", 1)),
            **{name: given[name] for name in ("md_steps", "md_temperature", "md_timestep_fs") if name in given},
            "max_force": float(given.get("max_force", MAX_FORCE)),
            "numbers": atoms.numbers.tolist(),
            "positions": atoms.positions.tolist(),
            "cell": atoms.cell.array.tolist(),
            "pbc": [bool(flag) for flag in atoms.pbc],
        }
