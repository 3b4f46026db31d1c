"""The stages of a run laid out on its steps."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from aiida_nvp.common.stages import Ensemble, Stage, Thermostat
from aiida_nvp.common.units import FEMTOSECONDS_PER_PICOSECOND
from aiida_nvp.worker.settings import Dynamics

_TIME_DIGITS = 9


class Condition(NamedTuple):
    """What holds for one cell during one step; the integrator takes columns of these.

    :param friction_per_fs: 0 where the atoms feel no friction; ``rescaling_fs``: infinite where velocities are not
        rescaled; ``pressure_gpa``: NaN where the cell is fixed.
    """

    temperature: float
    timestep_fs: float
    friction_per_fs: float = 0.0
    rescaling_fs: float = float("inf")
    pressure_gpa: float = float("nan")
    barostat_fs: float = 1.0
    compressibility_per_gpa: float = 1.0


@dataclass(frozen=True)
class Course:
    """A schedule with the defaults of its run.

    :param ends: last step of each stage; ``times_ps``: the time at these.
    """

    stages: tuple[Stage, ...]
    dynamics: Dynamics
    ends: tuple[int, ...]
    times_ps: tuple[float, ...]

    @classmethod
    def of(cls, stages: Sequence[Stage], dynamics: Dynamics) -> Course:
        """Lay the stages out one after the other."""
        ends, times, step, time = [], [], 0, 0.0
        for stage in stages:
            length = stage.length(dynamics.timestep_fs)
            step += length
            time += length * stage.timestep(dynamics.timestep_fs) / FEMTOSECONDS_PER_PICOSECOND
            ends.append(step)
            times.append(time)
        return cls(tuple(stages), dynamics, tuple(ends), tuple(times))

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.ends[-1]

    def stage_at(self, step: int) -> int:
        """Return the index of the stage to which a step belongs; the start belongs to the first."""
        return bisect_left(self.ends, step)

    def begin(self, index: int) -> int:
        """Return the step after which a stage begins."""
        return self.ends[index - 1] if index else 0

    def time_ps(self, step: int) -> float:
        """Return the time of a step in ps."""
        index = self.stage_at(step)
        before = self.times_ps[index - 1] if index else 0.0
        step_fs = self.stages[index].timestep(self.dynamics.timestep_fs)
        return round(before + (step - self.begin(index)) * step_fs / FEMTOSECONDS_PER_PICOSECOND, _TIME_DIGITS)

    def at(self, step: int, halvings: int = 0) -> Condition:
        """Return what holds during ``step``, with the time step halved as often as ``halvings`` says."""
        index = self.stage_at(step)
        stage = self.stages[index]
        share = (step - self.begin(index)) / (self.ends[index] - self.begin(index))
        kelvin = stage.temperature_from + (stage.temperature_to - stage.temperature_from) * share
        step_fs = stage.timestep(self.dynamics.timestep_fs) / 2**halvings
        friction, rescaling = 0.0, float("inf")
        if stage.has_friction:
            friction = self.dynamics.friction_per_fs if stage.friction_per_fs is None else stage.friction_per_fs
        elif stage.ensemble is not Ensemble.NVE and stage.thermostat is Thermostat.BUSSI:
            rescaling = stage.thermostat_time_fs
        if stage.ensemble is not Ensemble.NPT:
            return Condition(kelvin, step_fs, friction, rescaling)
        pressure = stage.pressure_from_gpa + (stage.pressure_to_gpa - stage.pressure_from_gpa) * share
        moving = (pressure, stage.barostat_time_fs, stage.compressibility_per_gpa)
        return Condition(kelvin, step_fs, friction, rescaling, *moving)
