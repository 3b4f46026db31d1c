"""CalcJob of one evaluation: stage ``evaluate`` of the worker."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import CalcJobProcessSpec

from aiida_nvp.calculations.base import ARRAYS_FILE, WorkerCalculation, committee_members, define_committee
from aiida_nvp.calculations.dynamics import refuse_empty_committee
from aiida_nvp.data.dataset import DatasetData


class EvaluateCalculation(WorkerCalculation):
    """Ask every member of a committee about given frames."""

    STAGE = "evaluate"
    RETRIEVE = (ARRAYS_FILE,)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.input("frames", valid_type=DatasetData, validator=_not_empty, help="Frames, labelled or not.")
        define_committee(spec)
        spec.inputs["committee"].validator = refuse_empty_committee
        spec.output(
            "predictions",
            valid_type=orm.ArrayData,
            help="`energy` (M, F) eV, `forces` (M, N, 3) eV/angstrom, `offsets`, `numbers`, pooled `features` (F, d); "
            "with statistics of the training set `distance`, `last_layer` (N,) and `information` (F, R, d).",
        )
        spec.output("results", valid_type=orm.Dict, help="Counts, mean spread, and errors where frames have labels.")
        spec.default_output_node = "results"
        spec.exit_code(410, "ERROR_MODEL_NOT_FINITE", message="The committee gives no numbers for any of the frames.")

    def worker_input(self) -> dict[str, Any]:
        """Return the content of ``input.json``."""
        return {"members": len(committee_members(self.inputs.committee))}


def _not_empty(frames: DatasetData, _port: object) -> str | None:
    return None if len(frames) else "the data set is empty; there is nothing to evaluate."
