"""What the dynamics and analysis stages are asked, and the files they exchange with whoever started them.

Apart from the stages, because those load torch or compile code: who checks settings or collects files needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from aiida_nvp.analysis.structure.settings import StructureSettings
from aiida_nvp.common.bounds import Count, CountFromZero, DistanceScale, FrictionPerFs, Positive, TimestepFs
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.stages import Stage
from aiida_nvp.common.validation import Model, validated

SIGMA_TARGET = "ase-sigma"
TARGETS = {"ase": "ase", "lammps": "pair_allegro", "torchsim": "batch", SIGMA_TARGET: "ase"}
"""Engines that a potential can be compiled for, each with nequip's compile target."""
COMPILED_FILE = "compiled.nequip.pt2"
CANDIDATES_FILE = "candidates.npz"
CHECKPOINT_FILE = "checkpoint.npz"
"""State of a production run or of an exploration that was stopped."""
TRAJECTORY_FILE = "trajectory.h5"


class Dynamics(BaseModel):
    """What every molecular-dynamics job needs to know.

    :param timestep_fs: with ``friction_per_fs``, of the stages that name none of their own.
    :param max_temperature: K; a cell hotter than this has exploded.
    :param min_distance_scale: two atoms nearer than this times the sum of their covalent radii have fused.
    :param max_volume_ratio: a cell larger or smaller than its start by more than this factor is a gas or a ruin.
    :param max_drift_mev_ps: meV an atom and ps by which the conserved energy may drift.
    :param max_displacement: angstrom that an atom may move in one step.
    :param halvings: times that a run may go back to its last good frame and on with half the time step, because the
        energy drifted or an atom moved too far.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestep_fs: TimestepFs = 1.0
    friction_per_fs: FrictionPerFs = 0.02
    max_temperature: Positive = 10000.0
    min_distance_scale: DistanceScale = 0.5
    max_volume_ratio: Annotated[float, Field(gt=1)] = 1.5
    max_drift_mev_ps: Positive = 20.0
    max_displacement: Positive = 0.12
    halvings: Annotated[CountFromZero, Field(le=10)] = 2


Schedule = Annotated[tuple[Stage, ...], Field(min_length=1)]


class ExploreSettings(Dynamics):
    """How to explore.

    :param schedules: thermal schedules; replica r starts from frame r and takes schedule r, both counted around, and
        each time around the frames the schedules shift by one, so that every frame meets every schedule.
    :param stride: steps between two looks of the whole committee.
    :param monitor_every: steps between two glances at the last layer of the driving member, which cost nothing.
    :param monitor_factor: the committee is asked ahead of its stride when the last-layer sigma of an atom exceeds this
        times what the committee, or the training set, has seen of it.
    :param break_threshold: eV/angstrom, the score that ends a replica; a calibration's own value goes before it.
    :param processes: how many processes share the replicas.
    """

    schedules: Annotated[tuple[Schedule, ...], Field(min_length=1)]
    replicas: Count
    stride: Count = 25
    monitor_every: Count = 5
    monitor_factor: Annotated[float, Field(gt=1)] = 1.5
    break_threshold: Positive = 1.5
    processes: Count = 1


class ProduceSettings(Dynamics):
    """How to run; all ``*_every`` in steps.

    :param relax_steps: most steps of a relaxation before the run.
    """

    schedule: Schedule
    relax_steps: CountFromZero = 0
    dump_every: Count = 10
    thermo_every: Count = 10
    committee_every: Count = 25
    checkpoint_every: Count = 500


@dataclass(frozen=True)
class AnalyseSettings:
    """What to analyse.

    :param stages: mappings with ``index`` and, if wanted, ``name`` and ``temperature``.
    :param pairs: longest bond (angstrom) by pair ``centre-ligand``.
    :param mobile: species whose percolation, displacements and jumps are asked for; none is measured without it.
    :param charges: elementary charges of an ion by species, for the conductivity.
    :param glass_transition: K; runs above it tell of the melt and are left out of the activation energy.
    :param bin_width: bin of g(r) (angstrom).
    :param forbidden_distance: no two atoms belong closer (angstrom).
    :param structure: what else to measure of the structure.
    :param structure_frames: frames a stage used for structure, evenly spaced: neighbours in time say little new.
    """

    stages: tuple[Mapping[str, Any], ...]
    pairs: Mapping[str, float]
    mobile: str | None = None
    charges: Mapping[str, float] = field(default_factory=dict)
    glass_transition: float | None = None
    bin_width: float = 0.05
    forbidden_distance: float = 1.1
    structure: StructureSettings = field(default_factory=StructureSettings)
    structure_frames: int = 200

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> AnalyseSettings:
        """Check and collect the parameters.

        :raises InputError: on a missing or unknown key, or on no stage.
        """
        known = set(cls.__dataclass_fields__)
        if unknown := sorted(set(values) - known):
            raise InputError(f"unknown parameter {unknown[0]!r}; known are {', '.join(sorted(known))}.")
        if missing := [key for key in ("stages", "pairs") if key not in values]:
            raise InputError(f"parameter {missing[0]!r} is missing.")
        if not values["stages"] or any("index" not in stage for stage in values["stages"]):
            raise InputError("`stages` needs at least one entry, each with the `index` of a stage of the schedule.")
        structure = validated(StructureSettings, values.get("structure", {}), "`structure`")
        return cls(**{**values, "stages": tuple(values["stages"]), "structure": structure})


def read_settings(model: type[Model], values: object) -> Model:
    """Return checked settings.

    :raises InputError: that names each wrong key and what would be right.
    """
    return validated(model, values, "parameters")
