"""A run as data: stages with a length, a temperature, an ensemble and, where the cell may move, a pressure."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_nvp.common.bounds import Kelvin, Positive
from aiida_nvp.common.units import FEMTOSECONDS_PER_PICOSECOND


class Ensemble(StrEnum):
    """What is held: energy and volume, temperature and volume, or temperature and pressure."""

    NVE = "nve"
    NVT = "nvt"
    NPT = "npt"


class Thermostat(StrEnum):
    """Friction and noise on every atom, or one random factor on all velocities, which leaves diffusion alone."""

    LANGEVIN = "langevin"
    BUSSI = "bussi"


class Barostat(StrEnum):
    """Random rescaling of the whole cell."""

    CELL_RESCALING = "cell_rescaling"


def begin_of(name: str) -> Callable[[dict[str, Any]], float]:
    """Return what makes the end of a ramp its begin, the field ``name``, where no end is given."""
    return lambda values: float(values[name])


class Stage(BaseModel):
    """One leg of a run; temperature and pressure move linearly between their ends.

    Its length is given as ``steps``, as ``duration_ps`` or, between two temperatures, as ``rate_k_per_ps``.

    :param temperature_to: K; ``temperature_from`` when absent.
    :param friction_per_fs: of the Langevin thermostat; that of the run when absent.
    :param thermostat_time_fs: relaxation time of the Bussi thermostat.
    :param pressure_from_gpa: with ``pressure_to_gpa``, for ``ensemble: npt``; the second is the first when absent.
    :param barostat_time_fs: relaxation time of the volume.
    :param compressibility_per_gpa: isothermal; a guess within a factor of a few will do, it only scales the time.
    :param timestep_fs: that of the run when absent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    steps: Annotated[int | None, Field(ge=1)] = None
    duration_ps: Annotated[float | None, Field(gt=0)] = None
    rate_k_per_ps: Annotated[float | None, Field(gt=0)] = None
    temperature_from: Kelvin
    temperature_to: Kelvin = Field(default_factory=begin_of("temperature_from"))
    ensemble: Ensemble = Ensemble.NVT
    thermostat: Thermostat = Thermostat.LANGEVIN
    friction_per_fs: Annotated[float | None, Field(gt=0, le=1)] = None
    thermostat_time_fs: Positive = 100.0
    pressure_from_gpa: float = 0.0
    pressure_to_gpa: float = Field(default_factory=begin_of("pressure_from_gpa"))
    barostat: Barostat = Barostat.CELL_RESCALING
    barostat_time_fs: Positive = 1000.0
    compressibility_per_gpa: Positive = 0.02
    timestep_fs: Annotated[float | None, Field(gt=0, le=10)] = None

    @model_validator(mode="after")
    def _one_length_and_no_contradiction(self) -> Stage:
        lengths = [value for value in (self.steps, self.duration_ps, self.rate_k_per_ps) if value is not None]
        if len(lengths) != 1:
            raise ValueError("a stage needs exactly one of steps, duration_ps and rate_k_per_ps")
        if self.rate_k_per_ps is not None and self.temperature_from == self.temperature_to:
            raise ValueError("a rate needs two different temperatures; give duration_ps for a hold")
        if self.ensemble is not Ensemble.NPT and (self.pressure_from_gpa or self.pressure_to_gpa):
            raise ValueError(f"a pressure needs a cell that moves, ensemble: npt instead of {self.ensemble.value}")
        if self.friction_per_fs is not None and not self.has_friction:
            raise ValueError("friction_per_fs belongs to the Langevin thermostat, which this stage does not use")
        return self

    @property
    def has_friction(self) -> bool:
        """Whether friction and noise act on the atoms."""
        return self.ensemble is not Ensemble.NVE and self.thermostat is Thermostat.LANGEVIN

    def timestep(self, default_fs: float) -> float:
        """Return the time step in fs, ``default_fs`` where the stage names none."""
        return default_fs if self.timestep_fs is None else self.timestep_fs

    def length(self, default_fs: float) -> int:
        """Return the steps of the stage: the whole number next to its duration, at least one.

        :param default_fs: time step of the run.
        """
        if self.steps is not None:
            return self.steps
        duration = self.duration_ps
        if duration is None:
            assert self.rate_k_per_ps is not None
            duration = abs(self.temperature_to - self.temperature_from) / self.rate_k_per_ps
        return max(1, math.floor(duration * FEMTOSECONDS_PER_PICOSECOND / self.timestep(default_fs) + 0.5))
