"""What the dynamics and analysis stages are asked, and the files they exchange with whoever started them.

Apart from the stages, because those load torch or compile code: who checks settings or collects files needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from aiida_nvp.analysis.structure.settings import StructureSettings
from aiida_nvp.common.bounds import Count, CountFromZero, DistanceScale, FrictionPerFs, Kelvin, Positive, TimestepFs
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import FEMTOSECONDS_PER_PICOSECOND
from aiida_nvp.common.validation import Model, validated

CANDIDATES_FILE = "candidates.npz"
CHECKPOINT_FILE = "checkpoint.npz"
TRAJECTORY_FILE = "trajectory.h5"


class Stage(BaseModel):
    """A number of steps with the thermostat moving linearly from one temperature to another (K)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: Count
    temperature_from: Kelvin
    temperature_to: Kelvin
    name: str = ""


class Dynamics(BaseModel):
    """What every molecular-dynamics job needs to know.

    :param max_temperature: K; a cell hotter than this has exploded.
    :param min_distance_scale: two atoms nearer than this times the sum of their covalent radii have fused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestep_fs: TimestepFs = 1.0
    friction_per_fs: FrictionPerFs = 0.02
    max_temperature: Positive = 10000.0
    min_distance_scale: DistanceScale = 0.5

    def time_ps(self, step: int) -> float:
        """Return the time of a step in ps."""
        return round(step * self.timestep_fs / FEMTOSECONDS_PER_PICOSECOND, 9)


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
    :param mobile: species whose percolation is asked for; none is measured without it.
    :param bin_width: bin of g(r) (angstrom).
    :param forbidden_distance: no two atoms belong closer (angstrom).
    :param structure: what else to measure of the structure.
    :param structure_frames: frames a stage used for structure, evenly spaced: neighbours in time say little new.
    """

    stages: tuple[Mapping[str, Any], ...]
    pairs: Mapping[str, float]
    mobile: str | None = None
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
