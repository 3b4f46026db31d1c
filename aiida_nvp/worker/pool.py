"""Exploration: many runs with one model, watched by the committee, in a pool whose free places are filled at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.stages import Ensemble
from aiida_nvp.common.units import FEMTOSECOND_ASE
from aiida_nvp.common.vocabulary import StopReason, Stream
from aiida_nvp.uncertainty.committee import ATOMS_PER_CALL, Committee, Prediction
from aiida_nvp.uncertainty.information import information_rows, most_uncertain
from aiida_nvp.uncertainty.last_layer import pool_features
from aiida_nvp.uncertainty.residuals import AtomScores
from aiida_nvp.uncertainty.score import FrameScores
from aiida_nvp.worker.integrator import Integrator
from aiida_nvp.worker.md import CURABLE, Walkers, out_of_bounds, part_of, walker_scores
from aiida_nvp.worker.replicas import DIGITS, Candidate, Plan, Replica, State

FloatArray = NDArray[np.float64]
Reasons = list[StopReason | None]


def explore(
    committee: Committee, plan: Plan, replicas: Sequence[Replica], count: Callable[[int, int], bool]
) -> list[Replica]:
    """Run replicas to their ends and return them in order; finished ones are left as they are.

    :param replicas: new ones or, of an exploration that was stopped, those that it returned.
    :param count: called after each step with the replica steps made and the replicas finished; True asks to stop.
    """
    pool = _Pool(committee, plan, [replica for replica in replicas if not replica.finished])
    pool.run(count)
    return list(replicas)


@dataclass(frozen=True)
class _Asked:
    """The committee's answer about some cells."""

    walkers: Walkers
    prediction: Prediction
    atoms: AtomScores
    scores: FrameScores
    faults: Reasons
    pooled: FloatArray
    information: NDArray[np.float32]

    def candidate(self, row: int, origin: dict[str, Any]) -> Candidate:
        part = self.walkers.part(row)
        distance = self.atoms.distance
        return Candidate(
            positions=self.walkers.positions[part].copy(),
            cell=self.walkers.cells[row].copy(),
            forces_mean=self.prediction.forces[:, part].mean(axis=0),
            sigma=self.atoms.sigma[part],
            origin=origin,
            distance=np.full(part.stop - part.start, np.nan) if distance is None else distance[part],
            features=self.pooled[row],
            information=self.information[row],
        )


class _Pool:
    """Replicas that advance together; ``active`` holds those running, in the order of the walkers."""

    def __init__(self, committee: Committee, plan: Plan, replicas: Sequence[Replica]) -> None:
        self.committee = committee
        self.plan = plan
        self.settings = plan.settings
        self.waiting = deque(replicas)
        self.active: list[Replica] = []
        self.integrator = Integrator(Walkers.at_rest(plan.starts.subset([])), committee.drive, [])
        self.volume = np.abs(np.linalg.det(plan.starts.cells))
        self.ended = 0

    def run(self, count: Callable[[int, int], bool]) -> None:
        tick = told = 0
        while self.active or self.waiting:
            # New ones begin in step with the others, so that the committee is asked about all of them together.
            if not self.active or tick % self.settings.stride == 0:
                self._admit()
            running = len(self.active)
            if running:
                tick += 1
                self._advance()
            stop = count(running, self.ended - told)
            told = self.ended
            if stop:
                self._interrupt()
                return

    def _admit(self) -> None:
        """Fill the free places; a replica that begins is looked at before its first step."""
        sizes = [self.plan.atoms_of(replica.index) for replica in self.active]
        chosen: list[Replica] = []
        while self.waiting:
            size = self.plan.atoms_of(self.waiting[0].index)
            if sizes and sum(sizes) + size > ATOMS_PER_CALL:
                break
            sizes.append(size)
            chosen.append(self.waiting.popleft())
        if not chosen:
            return
        begin = len(self.active)
        newcomers = self._placed(chosen)
        self.integrator = self.integrator if begin else newcomers
        if begin:
            self.integrator.join(newcomers)
        self.active += chosen
        self._look([begin + row for row, replica in enumerate(chosen) if replica.good is None])

    def _placed(self, replicas: Sequence[Replica]) -> Integrator:
        """Return an integrator with the replicas where they begin, or where they go on."""
        walkers = Walkers.at_rest(self.plan.starts.subset([replica.start for replica in replicas]))
        generators = [np.random.default_rng([self.plan.seed, replica.index]) for replica in replicas]
        fresh = [None if replica.state else source for replica, source in zip(replicas, generators, strict=True)]
        kelvin = np.array([replica.course.at(0).temperature for replica in replicas])
        walkers.velocities += walkers.thermal_noise(kelvin, fresh)
        heat = np.zeros(len(replicas))
        for row, replica in enumerate(replicas):
            state = replica.state
            if state is not None:
                part = walkers.part(row)
                walkers.positions[part], walkers.velocities[part] = state.positions, state.velocities
                walkers.cells[row], heat[row] = state.cell, state.heat
                generators[row].bit_generator.state = dict(state.random)
                replica.step, replica.part, replica.state = state.step, state.part, None
        integrator = Integrator(walkers, self.committee.drive, generators)
        integrator.heat = heat
        return integrator

    def _state(self, row: int) -> State:
        """Return the state of an active replica."""
        integrator, replica = self.integrator, self.active[row]
        walkers, part = integrator.walkers, integrator.walkers.part(row)
        positions, velocities = walkers.positions[part].copy(), walkers.velocities[part].copy()
        random, heat = integrator.generators[row].bit_generator.state, float(integrator.heat[row])
        return State(positions, velocities, walkers.cells[row].copy(), random, heat, replica.step, replica.part)

    def _advance(self) -> None:
        self.integrator.step([replica.condition() for replica in self.active])
        for replica in self.active:
            replica.advance()
        self._retire([hot or rough for hot, rough in zip(self._wreckage(), self._roughness(), strict=True)])
        self._look([row for row, replica in enumerate(self.active) if replica.due(self.settings.stride)])
        self._glance()
        self._retire([StopReason.COMPLETED if r.due(1) and r.step == r.course.total else None for r in self.active])

    def _interrupt(self) -> None:
        """Put down where each replica stands."""
        for row, replica in enumerate(self.active):
            replica.state = self._state(row)
        for replica in (*self.active, *self.waiting):
            replica.stop(StopReason.WALLTIME)

    def _wreckage(self) -> Reasons:
        volumes = self.volume[[replica.start for replica in self.active]]
        return out_of_bounds(self.integrator.walkers, volumes, self.settings)

    def _roughness(self) -> Reasons:
        """Return for each replica whether its time step is too long."""
        steps_fs = np.array([r.course.at(r.step, len(r.halvings)).timestep_fs for r in self.active])
        moved = self.integrator.walkers.fastest() * steps_fs * FEMTOSECOND_ASE
        energy = self.integrator.conserved_energy() / np.diff(self.integrator.walkers.offsets)
        reasons: Reasons = []
        for replica, way, value in zip(self.active, moved, energy, strict=True):
            stage = replica.course.stage_at(replica.step)
            slope = None
            if replica.due(1) and replica.course.stages[stage].ensemble is not Ensemble.NPT:
                slope = replica.drift.add(stage, replica.course.time_ps(replica.step), float(value))
            drifts = slope is not None and 1000 * abs(slope) > self.settings.max_drift_mev_ps
            far = way > self.settings.max_displacement
            reasons.append(StopReason.LARGE_STEP if far else StopReason.ENERGY_DRIFT if drifts else None)
        return reasons

    def _retire(self, reasons: Reasons) -> None:
        """Take out what ended, and what goes on later from its last good state with half the time step."""
        for replica, reason in zip(self.active, reasons, strict=True):
            if reason in CURABLE and replica.rewind(reason, self.settings.halvings):
                self.waiting.appendleft(replica)
            elif reason is not None:
                replica.stop(reason)
                self.ended += 1
        keep = np.flatnonzero([reason is None for reason in reasons])
        if len(keep) < len(self.active):
            self.active = [self.active[index] for index in keep]
            self.integrator.keep(keep)

    def _look(self, rows: Sequence[int]) -> None:
        """Ask the whole committee; stop what cannot be trusted and keep the rest as candidates."""
        self._judge(rows, early=False)

    def _glance(self) -> None:
        """Ask the committee ahead of its stride about the replicas whose last layer is further out than before."""
        settings, statistics = self.settings, self.plan.judge.statistics
        due = [r.due(settings.monitor_every) and not r.due(settings.stride) for r in self.active]
        if statistics is None or not any(due):
            return
        largest = self._last_layer()
        if largest is None:
            return
        known = np.maximum([replica.seen for replica in self.active], statistics.high)
        # Written this way round so that a sigma that is no number counts as large.
        rows = np.flatnonzero(np.array(due) & ~(largest <= settings.monitor_factor * known))
        self._judge([int(row) for row in rows], early=True)

    def _judge(self, rows: Sequence[int], *, early: bool) -> None:
        if not rows:
            return
        asked = self._ask(np.array(rows))
        faults: Reasons = [None] * len(self.active)
        for place, (row, fault) in enumerate(zip(rows, asked.faults, strict=True)):
            replica = self.active[row]
            replica.early_looks += early
            faults[row] = fault
            if fault is not None:
                continue
            replica.trusted = asked.candidate(place, self._origin(row, replica, asked.scores, place))
            replica.good = self._state(row)
            # Frames kept for a high score would bias the stream at fixed stride, so an early look gives none.
            if replica.step and not early:
                replica.candidates.append(replica.trusted)
        self._retire(faults)

    def _ask(self, rows: NDArray[np.int64]) -> _Asked:
        """Return what the committee says of the replicas at the positions ``rows`` among the active ones."""
        everything, judge = self.integrator.walkers, self.plan.judge
        walkers = everything.subset(rows)
        driven = part_of(self.integrator.driven, rows, np.isin(everything.owner, rows))
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
        sigma = self.plan.judge.last_layer(self.integrator.driven)
        return None if sigma is None else np.maximum.reduceat(sigma, self.integrator.walkers.offsets[:-1])

    def _fault(self, score: float, closest: float) -> StopReason | None:
        if not np.isfinite(score) or np.isnan(closest):
            return StopReason.NOT_A_NUMBER
        if closest < self.settings.min_distance_scale:
            return StopReason.SHORT_DISTANCE
        return StopReason.UNCERTAINTY if score > self.plan.break_threshold else None

    def _origin(self, row: int, replica: Replica, scores: FrameScores, place: int) -> dict[str, Any]:
        species = {symbol: float(values[place]) for symbol, values in scores.species.items()}
        return {
            "kind": "exploration",
            "replica": replica.index,
            "start": replica.start,
            "step": replica.step,
            "time_ps": replica.course.time_ps(replica.step),
            "temperature": round(replica.course.at(replica.step).temperature, DIGITS),
            "temperature_now": round(float(self.integrator.walkers.temperature()[row]), DIGITS),
            "seed": self.plan.seed,
            "stream": Stream.STRIDE.value,
            "score": round(float(scores.score[place]), DIGITS),
            "score_max_raw": round(float(scores.raw_max[place]), DIGITS),
            "score_species": {symbol: round(value, DIGITS) for symbol, value in species.items() if np.isfinite(value)},
        }
