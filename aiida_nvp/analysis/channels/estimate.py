"""A number and how sure it is: from two halves of a run, or from drawing the ions anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

DRAWS = 1000
LEVEL = 0.95
_PAIR = 2


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error.

    :param value: None where the quantity does not exist, for example the threshold of what never percolates.
    :param error: standard error; None where the samples do not tell.
    """

    value: float | None
    error: float | None


@dataclass(frozen=True)
class Interval:
    """A value with a bootstrap interval.

    :param value: of the sample itself.
    :param error: standard deviation over the draws.
    :param low: 2.5 % quantile of the draws.
    :param high: 97.5 % quantile.
    """

    value: float
    error: float
    low: float
    high: float


def from_halves(whole: float | None, halves: Sequence[float | None]) -> Estimate:
    """Return the value of a whole run with half the difference of its two halves, the standard error of their mean."""
    known = [value for value in halves if value is not None]
    return Estimate(whole, abs(known[0] - known[1]) / 2 if whole is not None and len(known) == _PAIR else None)


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], size: int, seed: int, draws: int = DRAWS) -> Interval:
    """Return ``statistic`` of samples 0 to size - 1, its error and its 95 % interval by drawing with replacement.

    Percentile bootstrap (Efron 1979, DOI 10.1214/aos/1176344552). Samples must be independent of each other.

    :param statistic: takes the indices of the samples drawn.
    :raises InputError: if there are fewer than two samples.
    """
    if size < _PAIR:
        raise InputError(f"an interval needs at least two samples; there are {size}.")
    generator = np.random.default_rng(seed)
    drawn = np.array([statistic(generator.integers(size, size=size)) for _ in range(draws)])
    # A draw can leave a statistic undefined, such as a contrast without ions on one side.
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < _PAIR:
        raise InputError("an interval needs a statistic that is defined for most draws of the samples.")
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = float(statistic(np.arange(size, dtype=np.int64)))
    return Interval(value, float(drawn.std(ddof=1)), float(low), float(high))
