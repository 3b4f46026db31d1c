"""Exploration: many short runs with one model, watched by the committee."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import StopReason, Stream
from aiida_nvp.uncertainty.committee import ATOMS_PER_CALL, Committee
from aiida_nvp.uncertainty.score import FrameScores
from aiida_nvp.uncertainty.spread import vector_std
from aiida_nvp.worker.md import Langevin, Walkers, thermostat, walker_scores
from aiida_nvp.worker.settings import ExploreSettings

FloatArray = NDArray[np.float64]
DIGITS = 6
"""Decimals of the numbers that travel with a frame: its file has the same bytes wherever they are equal to this."""


@dataclass(frozen=True)
class Plan:
    """All that a process needs to run its share.

    :param scales: calibration factor of each species; empty before the first calibration.
    :param break_threshold: in the unit that the scales lead to.
    """

    settings: ExploreSettings
    starts: FrameSet
    seed: int
    scales: Mapping[str, float] = field(default_factory=dict)
    break_threshold: float = 1.5

    def start_of(self, replica: int) -> int:
        """Return the index of the start frame of a replica."""
        return replica % len(self.starts)

    def schedule_of(self, replica: int) -> int:
        """Return the index of the schedule of a replica."""
        return (self.start_of(replica) + replica // len(self.starts)) % len(self.settings.schedules)

    def batches(self, replicas: Sequence[int]) -> Iterator[list[int]]:
        """Yield the replicas in groups that fill one model call."""
        group: list[int] = []
        atoms = 0
        for replica in replicas:
            size = int(np.diff(self.starts.offsets)[self.start_of(replica)])
            if group and atoms + size > ATOMS_PER_CALL:
                yield group
                group, atoms = [], 0
            group.append(replica)
            atoms += size
        yield group


@dataclass(frozen=True)
class Candidate:
    """One frame of n atoms that the committee looked at and found trustworthy enough to label.

    :param positions: (n, 3); ``forces_mean``: (n, 3) of the committee; ``sigma``: (n,) its raw spread.
    :param origin: what is stored with the frame.
    """

    positions: FloatArray
    forces_mean: FloatArray
    sigma: FloatArray
    origin: dict[str, Any]


@dataclass
class Replica:
    """What one replica did."""

    index: int
    start: int
    schedule: int
    steps: int = 0
    stop_reason: StopReason = StopReason.COMPLETED
    max_score: float = 0.0
    candidates: list[Candidate] = field(default_factory=list)
    first_look: Candidate | None = None

    def stop(self, reason: StopReason) -> None:
        """End the replica; where the dynamics broke, mark the last frame that could be trusted."""
        self.stop_reason = reason
        if reason in (StopReason.COMPLETED, StopReason.WALLTIME):
            return
        last = self.candidates or ([self.first_look] if self.first_look else [])
        if last:
            origin = {**last[-1].origin, "stream": Stream.BREAK.value}
            marked = Candidate(last[-1].positions, last[-1].forces_mean, last[-1].sigma, origin)
            self.candidates = [*self.candidates[:-1], marked]

    def summary(self) -> dict[str, Any]:
        """Return the row of the replica in the results."""
        return {
            "index": self.index,
            "start": self.start,
            "schedule": self.schedule,
            "steps": self.steps,
            "stop_reason": self.stop_reason.value,
            "max_score": round(self.max_score, DIGITS),
            "candidates": len(self.candidates),
        }


def explore(
    committee: Committee, plan: Plan, replicas: Sequence[int], count: Callable[[int, int], bool]
) -> list[Replica]:
    """Run replicas to their ends and return them in order.

    :param count: called after each step with the replica steps made and the replicas finished; True asks to stop.
    """
    return [replica for batch in plan.batches(replicas) for replica in _Batch(committee, plan, batch).run(count)]


class _Batch:
    """Replicas that advance together; ``active`` holds those still running, in the order of the walkers."""

    def __init__(self, committee: Committee, plan: Plan, indices: Sequence[int]) -> None:
        self.committee = committee
        self.plan = plan
        self.replicas = [Replica(i, plan.start_of(i), plan.schedule_of(i)) for i in indices]
        self.active = list(self.replicas)
        self.ramps = [thermostat(schedule) for schedule in plan.settings.schedules]
        self.step = 0
        walkers = Walkers.at_rest(plan.starts.subset([replica.start for replica in self.replicas]))
        generators = [np.random.default_rng([plan.seed, index]) for index in indices]
        walkers.velocities += walkers.thermal_noise(self._targets(), generators)
        self.langevin = Langevin(walkers, committee.drive, plan.settings, generators)

    def run(self, count: Callable[[int, int], bool]) -> list[Replica]:
        self._look()
        while self.active:
            self.step += 1
            before = len(self.active)
            self.langevin.step(self._targets())
            for replica in self.active:
                replica.steps = self.step
            self._retire(self._heat_faults())
            if self.active and self.step % self.plan.settings.stride == 0:
                self._look()
            self._retire([self._finished(replica) for replica in self.active])
            if count(before, before - len(self.active)):
                self._retire([StopReason.WALLTIME] * len(self.active))
        return self.replicas

    def _targets(self) -> FloatArray:
        return np.array([self.ramps[replica.schedule][self.step] for replica in self.active])

    def _finished(self, replica: Replica) -> StopReason | None:
        return StopReason.COMPLETED if self.step == len(self.ramps[replica.schedule]) - 1 else None

    def _heat_faults(self) -> list[StopReason | None]:
        limit = self.plan.settings.max_temperature
        return [
            StopReason.NOT_A_NUMBER if np.isnan(now) else StopReason.TEMPERATURE if now > limit else None
            for now in self.langevin.walkers.temperature()
        ]

    def _retire(self, reasons: Sequence[StopReason | None]) -> None:
        for replica, reason in zip(self.active, reasons, strict=True):
            if reason is not None:
                replica.stop(reason)
        keep = np.flatnonzero([reason is None for reason in reasons])
        if len(keep) < len(self.active):
            self.active = [self.active[index] for index in keep]
            self.langevin.keep(keep)

    def _look(self) -> None:
        """Ask the whole committee; stop what cannot be trusted and keep the rest as candidates."""
        walkers = self.langevin.walkers
        forces = self.committee.predict(walkers).forces
        sigma = vector_std(forces)
        scores = walker_scores(walkers, sigma, self.plan.scales)
        faults = [
            self._fault(score, ratio) for score, ratio in zip(scores.score, walkers.shortest_ratio(), strict=True)
        ]
        for row, (replica, fault) in enumerate(zip(self.active, faults, strict=True)):
            if fault is not StopReason.NOT_A_NUMBER:
                replica.max_score = max(replica.max_score, float(scores.score[row]))
            if fault is None:
                part = walkers.part(row)
                found = Candidate(
                    walkers.positions[part].copy(),
                    forces[:, part].mean(axis=0),
                    sigma[part],
                    self._origin(row, replica, scores),
                )
                if self.step:
                    replica.candidates.append(found)
                else:
                    replica.first_look = found
        self._retire(faults)

    def _fault(self, score: float, closest: float) -> StopReason | None:
        if not np.isfinite(score) or np.isnan(closest):
            return StopReason.NOT_A_NUMBER
        if closest < self.plan.settings.min_distance_scale:
            return StopReason.SHORT_DISTANCE
        return StopReason.UNCERTAINTY if score > self.plan.break_threshold else None

    def _origin(self, row: int, replica: Replica, scores: FrameScores) -> dict[str, Any]:
        species = {symbol: float(values[row]) for symbol, values in scores.species.items()}
        return {
            "kind": "exploration",
            "replica": replica.index,
            "start": replica.start,
            "step": self.step,
            "time_ps": self.plan.settings.time_ps(self.step),
            "temperature": round(float(self._targets()[row]), DIGITS),
            "stream": Stream.STRIDE.value,
            "score": round(float(scores.score[row]), DIGITS),
            "score_max_raw": round(float(scores.raw_max[row]), DIGITS),
            "score_species": {symbol: round(value, DIGITS) for symbol, value in species.items() if np.isfinite(value)},
        }
