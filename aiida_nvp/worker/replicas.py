"""The replicas of an exploration: what each is to do, what it met, and where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import StopReason, Stream
from aiida_nvp.uncertainty.judge import Judge
from aiida_nvp.worker.course import Condition, Course
from aiida_nvp.worker.drift import Drift
from aiida_nvp.worker.settings import ExploreSettings

FloatArray = NDArray[np.float64]
DIGITS = 6
"""Decimals of the numbers that travel with a frame: its file has the same bytes wherever they are equal to this."""


@dataclass(frozen=True)
class Plan:
    """All that a process needs to run its share.

    :param judge: statistics of the driving member and the error model in force.
    :param break_threshold: of the expected error, eV/angstrom.
    """

    settings: ExploreSettings
    starts: FrameSet
    seed: int
    judge: Judge = field(default_factory=Judge)
    break_threshold: float = 1.5
    calibrated: bool = False

    def start_of(self, replica: int) -> int:
        """Return the index of the start frame of a replica."""
        return replica % len(self.starts)

    def schedule_of(self, replica: int) -> int:
        """Return the index of the schedule of a replica."""
        return (self.start_of(replica) + replica // len(self.starts)) % len(self.settings.schedules)

    def atoms_of(self, replica: int) -> int:
        """Return the number of atoms of a replica."""
        return int(np.diff(self.starts.offsets)[self.start_of(replica)])

    def new_replica(self, index: int) -> Replica:
        """Return a replica that has not begun."""
        schedule = self.schedule_of(index)
        course = Course.of(self.settings.schedules[schedule], self.settings)
        return Replica(index, self.start_of(index), schedule, course)


@dataclass(frozen=True)
class Candidate:
    """One frame of n atoms that the committee looked at and found trustworthy enough to label.

    :param positions: (n, 3); ``cell``: (3, 3); ``forces_mean``: (n, 3) of the committee; ``sigma``: (n,) its raw
        spread.
    :param origin: what is stored with the frame.
    :param distance: (n,) of the atoms' features from the training set; NaN where it is not known.
    :param features: (d,) pooled over the atoms; empty where the model has none.
    :param information: (R, d) rows of :func:`~aiida_nvp.uncertainty.information.information_rows`; empty without
        statistics of the training set.
    """

    positions: FloatArray
    cell: FloatArray
    forces_mean: FloatArray
    sigma: FloatArray
    origin: dict[str, Any]
    distance: FloatArray
    features: FloatArray
    information: NDArray[np.float32]


@dataclass(frozen=True)
class State:
    """All that is needed to go on with a replica as if it had never stopped.

    :param positions: (n, 3), ``velocities``: (n, 3), ``cell``: (3, 3).
    :param random: state of its random numbers.
    :param heat: eV that the thermostat has given.
    :param step: step of the schedule; ``part``: parts of the next one that are done, where the time step is halved.
    """

    positions: FloatArray
    velocities: FloatArray
    cell: FloatArray
    random: Mapping[str, Any]
    heat: float
    step: int
    part: int = 0


@dataclass
class Replica:
    """What one replica did.

    :param course: its schedule.
    :param step: steps of the schedule that are done; ``part``: parts of the next one.
    :param early_looks: times the committee was asked ahead of its stride.
    :param seen: largest last-layer sigma of an atom that it has seen.
    :param trusted: the last frame that the committee found trustworthy, with the state ``good`` to go back to.
    :param state: where to go on from when its turn comes; None for a replica that has not begun.
    :param halvings: for each halving of the time step, the step at which it became necessary and the reason.
    """

    index: int
    start: int
    schedule: int
    course: Course
    step: int = 0
    part: int = 0
    stop_reason: StopReason = StopReason.COMPLETED
    finished: bool = False
    max_score: float = 0.0
    candidates: list[Candidate] = field(default_factory=list)
    trusted: Candidate | None = None
    good: State | None = None
    state: State | None = None
    early_looks: int = 0
    seen: float = 0.0
    drift: Drift = field(default_factory=Drift)
    halvings: list[dict[str, Any]] = field(default_factory=list)

    def condition(self) -> Condition:
        """Return what holds during its next step."""
        return self.course.at(self.step + 1, len(self.halvings))

    def advance(self) -> None:
        """Count one step of the integrator."""
        self.part += 1
        if self.part == 2 ** len(self.halvings):
            self.step, self.part = self.step + 1, 0

    def due(self, every: int) -> bool:
        """Whether it has just finished a step that is a multiple of ``every``."""
        return self.part == 0 and self.step % every == 0

    def rewind(self, reason: StopReason, most: int) -> bool:
        """Go back to the last good state, with half the time step; False if that was done ``most`` times."""
        if self.good is None or len(self.halvings) >= most:
            return False
        self.halvings.append({"step": self.step, "reason": reason.value})
        self.state = self.good
        self.drift.forget()
        return True

    def stop(self, reason: StopReason) -> None:
        """End the replica; where the dynamics broke, mark the last frame that could be trusted."""
        self.stop_reason, self.finished = reason, reason is not StopReason.WALLTIME
        if reason in (StopReason.COMPLETED, StopReason.WALLTIME) or self.trusted is None:
            return
        last = replace(self.trusted, origin={**self.trusted.origin, "stream": Stream.BREAK.value})
        strided = bool(self.candidates) and self.candidates[-1].origin["step"] == last.origin["step"]
        self.candidates = [*(self.candidates[:-1] if strided else self.candidates), last]

    def summary(self) -> dict[str, Any]:
        """Return the row of the replica in the results."""
        return {
            "index": self.index,
            "start": self.start,
            "schedule": self.schedule,
            "steps": self.step,
            "simulated_ps": self.course.time_ps(self.step),
            "stop_reason": self.stop_reason.value,
            "halvings": self.halvings,
            "drift_mev_ps": self.drift.summary(),
            "max_score": round(self.max_score, DIGITS),
            "candidates": len(self.candidates),
            "early_looks": self.early_looks,
        }
