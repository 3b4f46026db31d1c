"""Exploration: many short runs with one model, watched by the committee."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import StopReason, Stream
from aiida_nvp.uncertainty.committee import ATOMS_PER_CALL, Committee, Prediction
from aiida_nvp.uncertainty.information import information_rows, most_uncertain
from aiida_nvp.uncertainty.judge import Judge
from aiida_nvp.uncertainty.last_layer import pool_features
from aiida_nvp.uncertainty.residuals import AtomScores
from aiida_nvp.uncertainty.score import FrameScores
from aiida_nvp.worker.md import Langevin, Walkers, part_of, thermostat, walker_scores
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
    :param distance: (n,) of the atoms' features from the training set; NaN where it is not known.
    :param features: (d,) pooled over the atoms; empty where the model has none.
    :param information: (R, d) rows of :func:`~aiida_nvp.uncertainty.information.information_rows`; empty without
        statistics of the training set.
    """

    positions: FloatArray
    forces_mean: FloatArray
    sigma: FloatArray
    origin: dict[str, Any]
    distance: FloatArray
    features: FloatArray
    information: NDArray[np.float32]


@dataclass
class Replica:
    """What one replica did.

    :param early_looks: times the committee was asked ahead of its stride.
    :param seen: largest last-layer sigma of an atom that it has seen.
    """

    index: int
    start: int
    schedule: int
    steps: int = 0
    stop_reason: StopReason = StopReason.COMPLETED
    max_score: float = 0.0
    candidates: list[Candidate] = field(default_factory=list)
    first_look: Candidate | None = None
    early_looks: int = 0
    seen: float = 0.0

    def stop(self, reason: StopReason) -> None:
        """End the replica; where the dynamics broke, mark the last frame that could be trusted."""
        self.stop_reason = reason
        if reason in (StopReason.COMPLETED, StopReason.WALLTIME):
            return
        last = self.candidates or ([self.first_look] if self.first_look else [])
        if last:
            origin = {**last[-1].origin, "stream": Stream.BREAK.value}
            self.candidates = [*self.candidates[:-1], replace(last[-1], origin=origin)]

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
            "early_looks": self.early_looks,
        }


def explore(
    committee: Committee, plan: Plan, replicas: Sequence[int], count: Callable[[int, int], bool]
) -> list[Replica]:
    """Run replicas to their ends and return them in order.

    :param count: called after each step with the replica steps made and the replicas finished; True asks to stop.
    """
    return [replica for batch in plan.batches(replicas) for replica in _Batch(committee, plan, batch).run(count)]


@dataclass(frozen=True)
class _Asked:
    """The committee's answer about some cells."""

    walkers: Walkers
    prediction: Prediction
    atoms: AtomScores
    scores: FrameScores
    faults: list[StopReason | None]
    pooled: FloatArray
    information: NDArray[np.float32]

    def candidate(self, row: int, origin: dict[str, Any]) -> Candidate:
        part = self.walkers.part(row)
        distance = self.atoms.distance
        return Candidate(
            positions=self.walkers.positions[part].copy(),
            forces_mean=self.prediction.forces[:, part].mean(axis=0),
            sigma=self.atoms.sigma[part],
            origin=origin,
            distance=np.full(part.stop - part.start, np.nan) if distance is None else distance[part],
            features=self.pooled[row],
            information=self.information[row],
        )


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
            elif self.active and self.step % self.plan.settings.monitor_every == 0:
                self._glance()
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
        asked = self._ask(np.arange(len(self.active)))
        for row, (replica, fault) in enumerate(zip(self.active, asked.faults, strict=True)):
            if fault is None:
                found = asked.candidate(row, self._origin(row, replica, asked.scores))
                if self.step:
                    replica.candidates.append(found)
                else:
                    replica.first_look = found
        self._retire(asked.faults)

    def _glance(self) -> None:
        """Ask the committee ahead of its stride about the replicas whose last layer is further out than before."""
        largest = self._last_layer()
        if largest is None or self.plan.judge.statistics is None:
            return
        known = np.maximum([replica.seen for replica in self.active], self.plan.judge.statistics.high)
        # Written this way round so that a sigma that is no number counts as large.
        rows = np.flatnonzero(~(largest <= self.plan.settings.monitor_factor * known))
        if not len(rows):
            return
        faults: list[StopReason | None] = [None] * len(self.active)
        for row, fault in zip(rows, self._ask(rows).faults, strict=True):
            self.active[row].early_looks += 1
            faults[row] = fault
        # What was fine becomes no candidate: frames kept for a high score would bias the stream at fixed stride.
        self._retire(faults)

    def _ask(self, rows: NDArray[np.int64]) -> _Asked:
        """Return what the committee says of the replicas at the positions ``rows`` among the active ones."""
        everything, judge = self.langevin.walkers, self.plan.judge
        walkers = everything.subset(rows)
        driven = part_of(self.langevin.driven, rows, np.isin(everything.owner, rows))
        prediction = self.committee.predict(walkers, driven)
        atoms = judge.scores(walkers.numbers, prediction)
        expected = judge.model.expected(atoms)
        scores = walker_scores(walkers, expected)
        faults = [
            self._fault(score, ratio) for score, ratio in zip(scores.score, walkers.shortest_ratio(), strict=True)
        ]
        largest = self._last_layer()
        for place, row in enumerate(rows):
            replica = self.active[row]
            if faults[place] is not StopReason.NOT_A_NUMBER:
                replica.max_score = max(replica.max_score, float(scores.score[place]))
            if largest is not None and np.isfinite(largest[row]):
                replica.seen = max(replica.seen, float(largest[row]))
        pooled = np.zeros((len(rows), 0))
        if prediction.features is not None:
            pooled = pool_features(walkers, prediction.features, self.committee.species)
        information = self._information(walkers, prediction, expected)
        return _Asked(walkers, prediction, atoms, scores, faults, pooled, information)

    def _information(self, walkers: Walkers, prediction: Prediction, expected: FloatArray) -> NDArray[np.float32]:
        statistics = self.plan.judge.statistics
        if statistics is None or prediction.features is None:
            return np.zeros((len(walkers), 0, 0), dtype=np.float32)
        return information_rows(most_uncertain(walkers.offsets, expected), statistics, prediction.features)

    def _last_layer(self) -> FloatArray | None:
        """Return for each active replica the largest last-layer sigma of its atoms, if there are statistics."""
        sigma = self.plan.judge.last_layer(self.langevin.driven)
        return None if sigma is None else np.maximum.reduceat(sigma, self.langevin.walkers.offsets[:-1])

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
            "temperature_now": round(float(self.langevin.walkers.temperature()[row]), DIGITS),
            "seed": self.plan.seed,
            "stream": Stream.STRIDE.value,
            "score": round(float(scores.score[row]), DIGITS),
            "score_max_raw": round(float(scores.raw_max[row]), DIGITS),
            "score_species": {symbol: round(value, DIGITS) for symbol, value in species.items() if np.isfinite(value)},
        }
