"""How integer counts per atom are distributed, from frame to frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import Curve, Number, RunningBlocks
from aiida_nvp.common.errors import InputError

LARGEST = 64
"""Counts of one atom stay below this; more means a cutoff that is no bond."""


@dataclass(frozen=True)
class Distribution:
    """How an integer count per atom is distributed.

    :param mean: mean over atoms and frames.
    :param error: its standard error by blocks of frames.
    :param shares: share of the atoms with count n, for each n that occurs.
    """

    mean: float
    error: float
    shares: dict[int, Number]


class Tally:
    """Accumulates the shares of atoms by one integer count, or by several together.

    :param limits: each count stays below its limit.
    """

    def __init__(self, *limits: int) -> None:
        self._limits = limits or (LARGEST,)
        self._blocks = RunningBlocks()

    def add(self, *counts: NDArray[Any]) -> None:
        """Take the counts of all atoms of one frame, an array each.

        :raises InputError: if a count reaches its limit, or there is no atom.
        """
        if not len(counts[0]):
            raise InputError("a distribution over atoms needs at least one atom.")
        for values, limit in zip(counts, self._limits, strict=True):
            if values.max() >= limit:
                raise InputError(
                    f"an atom has {values.max()} neighbours where fewer than {limit} make sense; shorten the cutoff."
                )
        place = np.ravel_multi_index(tuple(counts), self._limits)
        self._blocks.add(np.bincount(place, minlength=int(np.prod(self._limits))) / len(place))

    def result(self) -> Distribution:
        """Return the distribution of a single count.

        :raises InputError: if there was no frame.
        """
        values = np.arange(self._limits[0], dtype=np.float64)
        mean = self._blocks.number(lambda shares: shares @ values)
        return Distribution(mean.mean, mean.error, {key[0]: number for key, number in self.joint().items()})

    def joint(self) -> dict[tuple[int, ...], Number]:
        """Return the share of each combination of counts that occurs."""
        curve = self._blocks.curve()
        return {
            tuple(int(count) for count in np.unravel_index(place, self._limits)): curve.number(int(place))
            for place in np.flatnonzero(curve.mean > 0)
        }

    def merged(self, groups: Sequence[range]) -> Curve:
        """Return the share of each group of values of a single count, with errors."""
        return self._blocks.curve(lambda shares: np.array([shares[list(group)].sum() for group in groups]))

    def means(self) -> Curve:
        """Return the mean of each count, with errors."""
        grid = np.indices(self._limits).reshape(len(self._limits), -1).astype(np.float64)
        return self._blocks.curve(lambda shares: grid @ shares)
