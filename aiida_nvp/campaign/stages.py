"""Molecular dynamics in the campaign file: the legs of a run, and what holds for the whole of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from aiida_nvp.common.bounds import CountFromZero, Kelvin, Positive, TimestepFs
from aiida_nvp.common.stages import Stage, begin_of

# A campaign may be held to narrower bounds than a worker job, never to wider ones.
Temperature = Annotated[Kelvin, Field(gt=0, le=10_000, description="K")]
Timestep = Annotated[TimestepFs, Field(ge=0.05, description="fs")]
_HIGHEST_PRESSURE_GPA = 200.0
Pressure = Annotated[float, Field(ge=-_HIGHEST_PRESSURE_GPA, le=_HIGHEST_PRESSURE_GPA, description="GPa")]


class MdStage(Stage):
    """One leg of a run; temperature and pressure move linearly between their ends.

    Give its length as ``steps``, as ``duration_ps`` or, between two temperatures, as ``rate_k_per_ps``.

    :param temperature_to: K; ``temperature_from`` when absent.
    :param ensemble: ``nve``, ``nvt`` or ``npt``.
    :param thermostat: ``langevin``, or ``bussi``, which leaves diffusion alone.
    :param friction_per_fs: of the Langevin thermostat; that of the run when absent.
    :param thermostat_time_fs: relaxation time of the Bussi thermostat.
    :param pressure_from_gpa: with ``pressure_to_gpa``, for ``ensemble: npt``; the second is the first when absent.
    :param barostat_time_fs: relaxation time of the volume.
    :param compressibility_per_gpa: isothermal; a guess within a factor of a few will do, it only scales the time.
    :param timestep_fs: that of the run when absent.
    """

    steps: Annotated[int | None, Field(ge=1, le=100_000_000)] = None
    temperature_from: Temperature
    temperature_to: Temperature = Field(default_factory=begin_of("temperature_from"))
    pressure_from_gpa: Pressure = 0.0
    pressure_to_gpa: Pressure = Field(default_factory=begin_of("pressure_from_gpa"))
    timestep_fs: Annotated[float | None, Field(gt=0, le=10, ge=0.05)] = None


class MdSpec(BaseModel):
    """Guards of a run.

    :param max_volume_ratio: a cell larger or smaller than its start by more than this factor ends its run.
    :param max_drift_mev_ps: meV an atom and ps by which the conserved energy may drift.
    :param max_displacement: angstrom that an atom may move in one step.
    :param halvings: times that a run may go back to its last good frame and on with half the time step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    timestep_fs: Timestep = 1.0
    max_volume_ratio: Annotated[float, Field(gt=1)] = 1.5
    max_drift_mev_ps: Positive = 20.0
    max_displacement: Positive = 0.12
    halvings: Annotated[CountFromZero, Field(le=10)] = 2
