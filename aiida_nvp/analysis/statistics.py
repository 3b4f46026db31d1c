"""Errors of averages over correlated samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aiida_nvp.common.errors import InputError

BLOCKS = 5
"""Consecutive blocks of a run: few enough to outlast the correlation time, enough for a standard error."""

FloatArray = NDArray[np.float64]


def block_average(samples: NDArray[Any], blocks: int = BLOCKS) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard error over the first axis, the error from the scatter of consecutive blocks.

    Blocking: DOI 10.1063/1.457480. With a single sample the error is NaN.

    :param samples: (T, ...) in order of time.
    """
    values = np.asarray(samples, dtype=np.float64)
    mean = values.mean(axis=0)
    count = min(blocks, len(values))
    if count == 1:
        return mean, np.full_like(mean, np.nan)
    means = np.stack([part.mean(axis=0) for part in np.array_split(values, count)])
    return mean, means.std(axis=0, ddof=1) / np.sqrt(count)


@dataclass(frozen=True)
class Number:
    """A scalar with its standard error; the error is NaN where one sample was all."""

    mean: float
    error: float


@dataclass(frozen=True)
class Curve:
    """An array with the standard error of each element."""

    mean: FloatArray
    error: FloatArray

    def number(self, *index: int) -> Number:
        """Return one element."""
        return Number(float(self.mean[index]), float(self.error[index]))


class RunningBlocks:
    """Mean and block error of a stream of samples of one shape, in memory that does not grow with their number.

    Sums over consecutive blocks are kept. When there are twice as many as wanted, neighbours are added up and the block
    length doubles: from ``blocks`` samples on, there are between ``blocks`` and twice as many, all of one length. The
    mean runs over all samples; the error comes from the whole blocks, scaled to the number of all samples. With a
    number of samples that makes n whole blocks, both equal :func:`block_average` with n blocks.

    :param blocks: smallest number of blocks for an error, two or more.
    """

    def __init__(self, blocks: int = BLOCKS) -> None:
        self._wanted = blocks
        self._length = 1
        self._whole: list[FloatArray] = []
        self._open: FloatArray | None = None
        self._in_open = 0

    @property
    def samples(self) -> int:
        """Number of samples so far."""
        return len(self._whole) * self._length + self._in_open

    def add(self, sample: ArrayLike) -> None:
        """Take the next sample in order of time."""
        value = np.array(sample, dtype=np.float64)
        self._open = value if self._open is None else self._open + value
        self._in_open += 1
        if self._in_open == self._length:
            self._whole.append(self._open)
            self._open, self._in_open = None, 0
        if len(self._whole) == 2 * self._wanted:
            self._whole = [first + second for first, second in zip(self._whole[::2], self._whole[1::2], strict=True)]
            self._length *= 2

    @property
    def total(self) -> FloatArray:
        """The sum of all samples.

        :raises InputError: if there is none.
        """
        parts = self._whole if self._open is None else [*self._whole, self._open]
        if not parts:
            raise InputError("an average needs at least one frame; there was none.")
        total: FloatArray = np.sum(parts, axis=0)
        return total

    def curve(self, function: Callable[[FloatArray], FloatArray] | None = None) -> Curve:
        """Return the mean of the samples, or ``function`` of that mean, with its standard error.

        The error of a function is that of the delete-one jackknife over blocks (Quenouille 1956,
        10.1093/biomet/43.3-4.353), which for a linear function is the scatter of the block means: correlations between
        the elements of a sample, as of a ratio and what it is divided by, are in it.

        :raises InputError: if there is no sample.
        """
        shaped = function or (lambda values: values)
        mean = np.asarray(shaped(self.total / self.samples), dtype=np.float64)
        count = len(self._whole)
        if count < len(("one", "other")):
            return Curve(mean, np.full_like(mean, np.nan))
        whole = np.sum(self._whole, axis=0)
        rest = (count - 1) * self._length
        left_out = np.stack([np.asarray(shaped((whole - block) / rest), np.float64) for block in self._whole])
        spread = (count - 1) / count * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0)
        return Curve(mean, np.sqrt(spread * count * self._length / self.samples))

    def number(self, function: Callable[[FloatArray], FloatArray] | None = None) -> Number:
        """Return :meth:`curve` of a scalar."""
        curve = self.curve(function)
        return Number(float(curve.mean), float(curve.error))


def ratio(top: ArrayLike, bottom: ArrayLike) -> FloatArray:
    """Return ``top / bottom``, NaN where the divisor is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(top, np.float64), np.asarray(bottom, np.float64))
    quotient: FloatArray = np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom != 0)
    return quotient
