"""From thousands of candidates to one batch of labels, with a reason for each."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import SelectionReason, Stream
from aiida_nvp.selection.duplicates import near_duplicates, nearest, repeated_ids, standardise

FloatArray = NDArray[np.float64]

_SMALLEST_POOL: Final = 3
"""The cut to the most uncertain part leaves at least this many candidates for each label."""


@dataclass(frozen=True)
class BatchSettings:
    """How a batch is drawn.

    :param budget: labels in the batch.
    :param lower: with ``upper``, the window of scores worth a label, eV/angstrom.
    :param random_share: share of the budget drawn at random from all physical frames of the stride stream: the only
        frames that test and calibrate without bias.
    :param keep_most_uncertain: share of the window that competes on diversity.
    :param max_per_replica: frames from one replica (their random ones included, which no quota holds back).
    :param duplicate_tolerance: frames nearer than this in standardised features count as one.
    """

    budget: int
    lower: float
    upper: float
    random_share: float = 0.15
    keep_most_uncertain: float = 0.5
    max_per_replica: int = 4
    duplicate_tolerance: float = 0.02

    def __post_init__(self) -> None:
        """Refuse what can select nothing.

        :raises InputError: with the offending value.
        """
        if self.budget < 1:
            raise InputError(f"the label budget is {self.budget}; at least 1 label a cycle is needed.")
        if not 0 <= self.lower < self.upper:
            raise InputError(f"the score window runs from {self.lower:g} to {self.upper:g}; it has to rise from 0 up.")
        if not 0 <= self.random_share <= 1:
            raise InputError(f"random_share is {self.random_share:g}; a share from 0 to 1 is expected.")
        if not 0 < self.keep_most_uncertain <= 1:
            raise InputError(f"keep_most_uncertain is {self.keep_most_uncertain:g}; a share up to 1 is expected.")
        if self.max_per_replica < 1:
            raise InputError(f"max_per_replica is {self.max_per_replica}; at least 1 is needed.")

    @property
    def n_random(self) -> int:
        """Frames drawn at random; at least one where a share is wanted and the budget allows two frames."""
        if self.random_share == 0:
            return 0
        return min(self.budget, max(round(self.budget * self.random_share), 1 if self.budget > 1 else 0))


@dataclass(frozen=True)
class Pool:
    """F candidates.

    :param ids: frame ids.
    :param scores: (F,) calibrated, eV/angstrom.
    :param too_close: (F,) whether atoms are too close.
    :param streams: how each was met.
    :param replicas: index of the replica each came from.
    :param features: (F, d) what diversity is measured on.
    """

    ids: Sequence[str]
    scores: FloatArray
    too_close: NDArray[np.bool_]
    streams: Sequence[Stream]
    replicas: Sequence[int]
    features: FloatArray

    def __post_init__(self) -> None:
        """Refuse columns of different lengths."""
        for name in ("scores", "too_close", "streams", "replicas", "features"):
            if len(getattr(self, name)) != len(self.ids):
                raise InputError(f"candidates: {len(getattr(self, name))} {name} for {len(self.ids)} frames.")


@dataclass(frozen=True)
class Known:
    """What is labelled already: ids, and (K, d) features where the same committee computed them."""

    ids: Set[str] = frozenset()
    features: FloatArray | None = None


@dataclass(frozen=True)
class Decision:
    """The fate of one candidate; ``rank`` counts the accepted ones from 0."""

    reason: SelectionReason
    rank: int | None = None

    @property
    def accepted(self) -> bool:
        """Whether the candidate gets a label."""
        return self.rank is not None


def choose(pool: Pool, known: Known, settings: BatchSettings, seed: int) -> list[Decision]:
    """Decide on each candidate: filter, drop duplicates, cut to the window and its most uncertain part, spread out.

    The random share is drawn first, from all physical frames of the stride stream whatever their score. Nothing is
    chosen when no physical candidate lies above the lower threshold.

    :return: (F,) one decision a candidate; equal arguments give equal decisions.
    """
    draft = _Draft(pool, settings)
    finite = np.isfinite(pool.scores) & np.isfinite(pool.features).all(axis=1)
    draft.reject(~finite, SelectionReason.NOT_FINITE)
    draft.reject(pool.too_close, SelectionReason.TOO_CLOSE)
    draft.reject(repeated_ids(pool.ids, known.ids), SelectionReason.DUPLICATE)
    physical = draft.open.copy()
    if not (physical & (pool.scores > settings.lower)).any():
        draft.reject(physical, SelectionReason.BELOW)
        return draft.decisions()

    stride = np.array([stream == Stream.STRIDE for stream in pool.streams], dtype=bool)
    unbiased = np.nonzero(physical & stride)[0]
    rng = np.random.default_rng(seed)
    drawn = rng.choice(unbiased, min(settings.n_random, len(unbiased)), replace=False)

    features, labelled = _on_one_scale(np.where(finite[:, None], pool.features, 0.0), known.features)
    ranking = _by_score(np.nonzero(physical)[0], pool.scores)
    draft.reject(near_duplicates(features, ranking, settings.duplicate_tolerance, labelled), SelectionReason.DUPLICATE)
    draft.reject(pool.scores <= settings.lower, SelectionReason.BELOW)
    draft.reject(pool.scores >= settings.upper, SelectionReason.ABOVE)
    wanted = settings.budget - len(drawn)
    draft.reject(
        _less_uncertain(np.nonzero(draft.open)[0], pool.scores, wanted, settings), SelectionReason.LESS_UNCERTAIN
    )
    draft.spread(features, labelled, [int(index) for index in drawn], wanted)
    return draft.decisions()


class _Draft:
    """Decisions in the making: the first reason found for a candidate stands, unless it is drawn at random."""

    def __init__(self, pool: Pool, settings: BatchSettings) -> None:
        self._pool, self._settings = pool, settings
        self._reasons: list[SelectionReason | None] = [None] * len(pool.ids)
        self._ranked: list[int] = []
        self.open = np.ones(len(pool.ids), dtype=bool)

    def reject(self, mask: NDArray[np.bool_], reason: SelectionReason) -> None:
        for index in np.nonzero(self.open & mask)[0]:
            self._reasons[index] = reason
        self.open &= ~mask

    def spread(self, features: FloatArray, labelled: FloatArray | None, drawn: list[int], wanted: int) -> None:
        """Take the candidate farthest from all that is known or taken, again and again.

        With nothing to be far from, begin with the most uncertain one (Gonzalez 1985, 10.1016/0304-3975(85)90224-5).
        """
        for index in drawn:
            self._reasons[index], self.open[index] = SelectionReason.RANDOM, False
        quota = Counter(self._pool.replicas[index] for index in drawn)
        fixed = features[drawn] if labelled is None else np.concatenate([labelled, features[drawn]])
        competing = np.array(_by_score(np.nonzero(self.open)[0], self._pool.scores), dtype=np.int64)
        distance = nearest(features[competing], fixed)
        chosen: list[int] = []
        while len(chosen) < wanted and (distance >= 0).any():
            place = int(np.argmax(distance))
            index = int(competing[place])
            distance[place] = -1.0
            replica = self._pool.replicas[index]
            if quota[replica] >= self._settings.max_per_replica:
                self._reasons[index] = SelectionReason.QUOTA
                continue
            quota[replica] += 1
            chosen.append(index)
            self._reasons[index] = SelectionReason.UNCERTAIN
            apart = np.linalg.norm(features[competing] - features[index], axis=1)
            distance = np.where(distance < 0, distance, np.minimum(distance, apart))
        self._ranked = [*chosen, *drawn]

    def decisions(self) -> list[Decision]:
        rank = {index: position for position, index in enumerate(self._ranked)}
        return [
            Decision(reason or SelectionReason.BUDGET, rank.get(index)) for index, reason in enumerate(self._reasons)
        ]


def _by_score(indices: NDArray[np.int64], scores: FloatArray) -> list[int]:
    return [int(index) for index in indices[np.argsort(-scores[indices], kind="stable")]]


def _less_uncertain(
    window: NDArray[np.int64], scores: FloatArray, wanted: int, settings: BatchSettings
) -> NDArray[np.bool_]:
    keep = max(math.ceil(settings.keep_most_uncertain * len(window)), _SMALLEST_POOL * wanted)
    mask = np.zeros(len(scores), dtype=bool)
    mask[_by_score(window, scores)[keep:]] = True
    return mask


def _on_one_scale(features: FloatArray, known: FloatArray | None) -> tuple[FloatArray, FloatArray | None]:
    everything = features if known is None else np.concatenate([features, known])
    return standardise(features, everything), None if known is None else standardise(known, everything)
