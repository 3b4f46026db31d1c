"""From thousands of candidates to one batch of labels, with a reason for each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import SelectionReason, Stream
from aiida_nvp.selection.design import Design, FarthestPoint, LogDet
from aiida_nvp.selection.duplicates import near_duplicates, repeated_ids, standardise
from aiida_nvp.selection.filters import Fault
from aiida_nvp.selection.quotas import Quotas
from aiida_nvp.selection.settings import BatchSettings, Method

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_SMALLEST_POOL: Final = 3
"""The cut to the most uncertain part leaves at least this many candidates for each label."""
_WORTH_KEEPING: Final = (
    SelectionReason.BUDGET,
    SelectionReason.LESS_UNCERTAIN,
    SelectionReason.KIND,
    SelectionReason.ABOVE,
)
"""A trajectory that has given its labels gives none later, so its frames would only take the places of others."""


@dataclass(frozen=True)
class Pool:
    """F candidates.

    :param ids: frame ids.
    :param scores: (F,) calibrated, eV/angstrom.
    :param faults: what is unphysical about each, None where nothing is.
    :param streams: how each was met.
    :param trajectories: key of the trajectory that each came from.
    :param times: (F,) ps within it, NaN where unknown.
    :param kinds: what each is an example of, see :func:`aiida_nvp.selection.kinds.kinds`.
    :param features: (F, d) what likeness is measured on.
    :param atoms: (F,) number of atoms.
    :param information: (F, R, d) see :class:`aiida_nvp.selection.design.LogDet`, or None.
    :raises InputError: if the columns are of different lengths.
    """

    ids: Sequence[str]
    scores: FloatArray
    faults: Sequence[Fault | None]
    streams: Sequence[Stream]
    trajectories: Sequence[str]
    times: FloatArray
    kinds: Sequence[Mapping[str, str]]
    features: FloatArray
    atoms: IntArray
    information: NDArray[np.floating] | None = None

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        for name in self.__dataclass_fields__:
            values = getattr(self, name)
            if values is not None and len(values) != len(self.ids):
                raise InputError(f"candidates: {len(values)} {name} for {len(self.ids)} frames.")

    def reordered(self, order: Sequence[int]) -> Pool:
        """Return the candidates in another order."""
        rows = np.asarray(order, dtype=np.int64)
        return Pool(
            ids=[self.ids[i] for i in order],
            scores=self.scores[rows],
            faults=[self.faults[i] for i in order],
            streams=[self.streams[i] for i in order],
            trajectories=[self.trajectories[i] for i in order],
            times=self.times[rows],
            kinds=[self.kinds[i] for i in order],
            features=self.features[rows],
            atoms=self.atoms[rows],
            information=None if self.information is None else self.information[rows],
        )


@dataclass(frozen=True)
class Known:
    """What is labelled already.

    :param ids: frame ids.
    :param features: (K, d) where the same committee computed them.
    :param trajectories: key of a trajectory to the times of its labelled frames, ps.
    """

    ids: Set[str] = frozenset()
    features: FloatArray | None = None
    trajectories: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """The fate of one candidate.

    :param rank: counts the accepted ones from 0.
    :param detail: what exactly is meant, where the reason alone does not say it.
    :param gain: of an accepted one, what it added: nats, or the distance to the nearest frame known or taken.
    """

    reason: SelectionReason
    rank: int | None = None
    detail: str = ""
    gain: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the candidate gets a label."""
        return self.rank is not None


def choose(pool: Pool, known: Known, settings: BatchSettings, seed: int) -> list[Decision]:
    """Decide on each candidate: filter, drop duplicates, cut to the window and its most uncertain part, spread out.

    Where there is more than one place, the most uncertain candidate gets one: one atom gone wrong in a large frame is
    not lost in the choice.

    The random share is drawn first, from all physical frames of the stride stream whatever their score. Nothing is
    chosen when no physical candidate lies above the lower threshold. The order of the candidates does not matter.

    :return: (F,) one decision a candidate; equal arguments give equal decisions.
    """
    order = sorted(
        range(len(pool.ids)), key=lambda i: (pool.ids[i], pool.streams[i], pool.trajectories[i], pool.times[i])
    )
    decisions = _choose(pool.reordered(order), known, settings, seed)
    placed: list[Decision] = list(decisions)
    for index, decision in zip(order, decisions, strict=True):
        placed[index] = decision
    return placed


def worth_keeping(pool: Pool, decisions: Sequence[Decision], most: int) -> list[int]:
    """Return the candidates that deserve another judgement by the next committee, the best of them first.

    Those above the window come last: a better committee may trust them.
    """
    places = {reason: reason is SelectionReason.ABOVE for reason in _WORTH_KEEPING}
    left = [index for index, decision in enumerate(decisions) if decision.reason in places]
    return sorted(left, key=lambda i: (places[decisions[i].reason], -pool.scores[i], pool.ids[i]))[:most]


def uses_information(pool: Pool, settings: BatchSettings) -> bool:
    """Return whether a batch is drawn by what it teaches; else it is by likeness."""
    return settings.method is Method.LOG_DET and pool.information is not None and pool.information.size > 0


def _choose(pool: Pool, known: Known, settings: BatchSettings, seed: int) -> list[Decision]:
    draft = _Draft(pool)
    finite = np.isfinite(pool.scores) & np.isfinite(pool.features).all(axis=1)
    if uses_information(pool, settings) and pool.information is not None:
        finite &= np.isfinite(pool.information).all(axis=(1, 2))
    draft.reject(~finite, SelectionReason.NOT_FINITE)
    for index, fault in enumerate(pool.faults):
        if fault is not None:
            draft.refuse(index, fault)
    draft.reject(repeated_ids(pool.ids, known.ids), SelectionReason.DUPLICATE)
    physical = draft.open.copy()
    left_over = np.array([stream is Stream.LEFT_OVER for stream in pool.streams], dtype=bool)
    below = pool.scores <= settings.lower
    if not (physical & ~below).any():
        draft.reject(physical & left_over, SelectionReason.KNOWN)
        draft.reject(physical, SelectionReason.BELOW)
        return draft.decisions()

    stride = np.array([stream is Stream.STRIDE for stream in pool.streams], dtype=bool)
    unbiased = np.flatnonzero(physical & stride)
    rng = np.random.default_rng(seed)
    drawn = [int(i) for i in rng.choice(unbiased, min(settings.n_random, len(unbiased)), replace=False)]

    draft.reject(below & left_over, SelectionReason.KNOWN)
    features, labelled = _on_one_scale(np.where(finite[:, None], pool.features, 0.0), known.features)
    ranking = _by_score(np.flatnonzero(physical), pool.scores)
    draft.reject(near_duplicates(features, ranking, settings.duplicate_tolerance, labelled), SelectionReason.DUPLICATE)
    draft.reject(below, SelectionReason.BELOW)
    draft.reject(pool.scores >= settings.upper, SelectionReason.ABOVE)
    quotas = Quotas(pool.trajectories, [float(time) for time in pool.times], pool.kinds, known.trajectories, settings)
    for index in drawn:
        quotas.take(index)
    draft.close_trajectories(quotas)
    wanted = settings.budget - len(drawn)
    draft.reject(
        _less_uncertain(np.flatnonzero(draft.open), pool.scores, wanted, settings), SelectionReason.LESS_UNCERTAIN
    )
    draft.draw(drawn)
    competing = np.array(_by_score(np.flatnonzero(draft.open), pool.scores), dtype=np.int64)
    rows = np.concatenate([competing, np.array(drawn, dtype=np.int64)])
    design = _design(pool, settings, features[rows], labelled, rows)
    for place in range(len(competing), len(rows)):
        design.take(place)
    draft.spread(design, competing, quotas, wanted)
    return draft.decisions()


def _design(
    pool: Pool, settings: BatchSettings, features: FloatArray, labelled: FloatArray | None, rows: IntArray
) -> Design:
    if pool.information is not None and uses_information(pool, settings):
        cost = (pool.atoms[rows] / max(float(np.median(pool.atoms)), 1.0)) ** settings.cost_exponent
        return LogDet(pool.information[rows], cost)
    return FarthestPoint(features, labelled)


class _Draft:
    """Decisions in the making: the first reason found for a candidate stands, unless it is drawn at random."""

    def __init__(self, pool: Pool) -> None:
        self._decisions: list[Decision | None] = [None] * len(pool.ids)
        self._drawn: list[int] = []
        self._scores = pool.scores
        self._ranks = 0
        self.open = np.ones(len(pool.ids), dtype=bool)

    def reject(self, mask: BoolArray, reason: SelectionReason) -> None:
        for index in np.flatnonzero(self.open & mask):
            self.refuse(int(index), Fault(reason, ""))

    def refuse(self, index: int, fault: Fault) -> None:
        if self.open[index]:
            self._decisions[index] = Decision(fault.reason, detail=fault.detail)
            self.open[index] = False

    def close_trajectories(self, quotas: Quotas) -> None:
        """Refuse what no batch can take any more, before it competes with what can be taken."""
        for index in np.flatnonzero(self.open):
            if (fault := quotas.of_trajectory(int(index))) is not None:
                self.refuse(int(index), fault)

    def draw(self, drawn: Sequence[int]) -> None:
        self._drawn = list(drawn)
        self.open[self._drawn] = False

    def spread(self, design: Design, competing: IntArray, quotas: Quotas, wanted: int) -> None:
        """Take the most uncertain candidate, then the one that adds most, again and again.

        One of a kind that has enough waits for the others.
        """
        count = len(competing)
        open_ = np.zeros(count + len(self._drawn), dtype=bool)
        waiting = np.ones(count, dtype=bool)
        for strict in (True, False):
            open_[:count] = waiting
            waiting[:] = False
            while self._ranks < wanted and (found := self._next(design, open_, competing, wanted)) is not None:
                place, gain = found
                open_[place] = False
                index = int(competing[place])
                if (fault := quotas.of_trajectory(index)) is not None:
                    self.refuse(index, fault)
                elif strict and (fault := quotas.of_kind(index)) is not None:
                    self._decisions[index] = Decision(fault.reason, detail=fault.detail)
                    waiting[place] = True
                else:
                    design.take(place)
                    quotas.take(index)
                    value = gain if math.isfinite(gain) else None
                    self._decisions[index] = Decision(SelectionReason.UNCERTAIN, self._ranks, gain=value)
                    self._ranks += 1

    def _next(self, design: Design, open_: BoolArray, competing: IntArray, wanted: int) -> tuple[int, float] | None:
        if self._ranks == 0 and wanted > 1 and open_.any():
            # What a frame teaches counts atoms that the model knows by features; an anomaly must not hide behind it.
            scores = np.where(open_[: len(competing)], self._scores[competing], -np.inf)
            most = np.zeros_like(open_)
            most[: len(competing)] = scores == scores.max()
            open_ = most
        return design.best(open_)

    def decisions(self) -> list[Decision]:
        for rank, index in enumerate(self._drawn, start=self._ranks):
            self._decisions[index] = Decision(SelectionReason.RANDOM, rank)
        return [decision or Decision(SelectionReason.BUDGET) for decision in self._decisions]


def _by_score(indices: IntArray, scores: FloatArray) -> list[int]:
    return [int(index) for index in indices[np.argsort(-scores[indices], kind="stable")]]


def _less_uncertain(window: IntArray, scores: FloatArray, wanted: int, settings: BatchSettings) -> BoolArray:
    keep = max(math.ceil(settings.keep_most_uncertain * len(window)), _SMALLEST_POOL * wanted)
    mask = np.zeros(len(scores), dtype=bool)
    mask[_by_score(window, scores)[keep:]] = True
    return mask


def _on_one_scale(features: FloatArray, known: FloatArray | None) -> tuple[FloatArray, FloatArray | None]:
    everything = features if known is None else np.concatenate([features, known])
    return standardise(features, everything), None if known is None else standardise(known, everything)
