"""CalcJob of one training: stage ``train`` of the worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any

from aiida import orm
from aiida.common.datastructures import CalcInfo
from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec

from aiida_nvp.calculations.base import ARRAYS_FILE, WorkerCalculation, granted_cores, seed_port
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import STATISTICS_FILE, PotentialDefinition
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData

PARENT_FILE = "parent.nequip.zip"
PACKAGE_FILE = "potential.nequip.zip"
RESTART_FILES = ("last.ckpt", "best.ckpt")


class AllegroTrainCalculation(WorkerCalculation):
    """Train one member of a committee on labelled frames and package it."""

    STAGE = "train"
    RETRIEVE = (PACKAGE_FILE, STATISTICS_FILE, ARRAYS_FILE)

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Declare inputs, outputs and exit codes."""
        super().define(spec)
        spec.inputs["metadata"]["options"]["resources"].validator = _one_rank
        spec.input("frames", valid_type=DatasetData, validator=_labelled, help="Labelled frames.")
        spec.input(
            "definition", valid_type=orm.Dict, validator=_definition, help="Potential definition (one potential.yaml)."
        )
        spec.input(
            "shifts",
            valid_type=orm.Dict,
            required=False,
            help="Energy of a lone atom of each species, eV; needed without a parent, which has its own.",
        )
        seed_port(spec)
        spec.input("parent", valid_type=PotentialData, required=False, help="Potential whose weights are the start.")
        spec.input(
            "rate_factor",
            valid_type=orm.Float,
            serializer=orm.to_aiida_type,
            required=False,
            help="Factor on the learning rate; below one after a divergence.",
        )
        spec.input(
            "restart",
            valid_type=orm.RemoteData,
            required=False,
            help="Folder of a stopped training of the same inputs, which goes on from its last checkpoint.",
        )
        spec.output("potential", valid_type=PotentialData, help="The trained member.")
        spec.output("metrics", valid_type=orm.ArrayData, help="Metrics, one value an epoch; part of each frame.")
        spec.output("results", valid_type=orm.Dict, help="Epochs, split, errors of the packaged model, versions.")
        spec.inputs.validator = _also_shifts_or_parent(spec.inputs.validator)
        spec.default_output_node = "results"
        spec.exit_code(211, "ERROR_PARENT_PACKAGE", message="The parent potential cannot be used: {message}")
        spec.exit_code(
            410,
            "ERROR_TRAINING_STOPPED",
            message="The training was stopped before its end and can go on: {message}",
            invalidates_cache=True,
        )
        spec.exit_code(411, "ERROR_TRAINING_DIVERGED", message="The training diverged: {message}")

    def worker_input(self) -> dict[str, Any]:
        """Return the content of ``input.json``."""
        inputs = self.inputs
        content: dict[str, Any] = {
            "definition": inputs.definition.get_dict(),
            "shifts": inputs.shifts.get_dict() if "shifts" in inputs else {},
            "seed": inputs.seed.value,
        }
        if "parent" in inputs:
            content["refit_shifts"] = _has_another_zero(inputs.parent, inputs.frames)
        if "rate_factor" in inputs:
            content["rate_factor"] = inputs.rate_factor.value
        if limit := inputs.metadata.options.get("max_wallclock_seconds"):
            content["max_wallclock_s"] = limit
        return content

    def extra_files(self) -> list[tuple[str, str, str]]:
        """Copy the parent package."""
        if "parent" not in self.inputs:
            return []
        return [(self.inputs.parent.uuid, self.inputs.parent.filename, PARENT_FILE)]

    def prepare_for_submission(self, folder: Folder) -> CalcInfo:
        """Write the input and, for a restart, bring the checkpoints along."""
        calc_info = super().prepare_for_submission(folder)
        if "restart" in self.inputs:
            remote = self.inputs.restart
            before = PurePosixPath(remote.get_remote_path())
            calc_info.remote_copy_list = [(remote.computer.uuid, str(before / name), name) for name in RESTART_FILES]
        return calc_info


def _has_another_zero(parent: PotentialData, frames: DatasetData) -> bool:
    """Tell whether the energies of the labels are not those that the parent was trained on."""
    if parent.foreign:
        return True
    known = parent.level_of_theory
    return known is not None and known != frames.base.attributes.get("level_of_theory")


def _also_shifts_or_parent(before: Callable[..., str | None]) -> Callable[..., str | None]:
    """Return the check of a whole job, which AiiDA has its own for, with ours after it."""

    def check(inputs: Mapping[str, Any], namespace: object) -> str | None:
        if "shifts" not in inputs and "parent" not in inputs:
            return "give `shifts`, energies of lone atoms as nvp.energy_shifts fits them, or a `parent`."
        return before(inputs, namespace)

    return check


def _one_rank(resources: Mapping[str, Any], _port: object) -> str | None:
    ranks = granted_cores({**resources, "num_cores_per_mpiproc": 1})
    if ranks == 1:
        return None
    return (
        f"a training is one process, but these resources ask for {ranks}: ask for one machine with one process, and "
        "for its cores with `num_cores_per_mpiproc`."
    )


def _labelled(frames: DatasetData, _port: object) -> str | None:
    if len(frames) == 0:
        return "the data set is empty; training needs labelled frames."
    if not frames.base.attributes.get("labelled"):
        return "the data set is unlabelled; training needs energies and forces."
    return None


def _definition(definition: orm.Dict, _port: object) -> str | None:
    try:
        PotentialDefinition.model_validate(definition.get_dict())
    except (InputError, ValueError) as error:
        return f"the potential definition is not valid: {error}"
    return None
