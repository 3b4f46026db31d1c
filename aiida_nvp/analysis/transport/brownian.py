"""Covariance of mean-square displacements of walkers whose steps are independent, exactly.

A walker takes Gaussian steps of variance ``step`` a frame and axis, and is seen with Gaussian noise of variance
``noise`` around its path: the rattling in a cage, which is forgotten within a frame. All time origins count, so that
displacements overlap, and neither the errors at two lags nor those of two origins are independent. For two lags of n
and m frames, seen from K_n and K_m origins,

    cov = 2 / (K_n K_m) sum over origins i and j of C_ij^2,

with C_ij the covariance of the displacement from i over n frames with that from j over m (Wick's theorem). C depends on
j - i alone, which leaves one sum over this difference (DOI 10.1103/PhysRevE.85.061916; 10.1103/PhysRevE.82.041914).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AXES = 3

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def msd_covariance(lags: IntArray, frames: int, step: float, noise: float) -> FloatArray:
    """Return the (L, L) covariance of the MSD of one walker in three dimensions, in angstrom^4.

    :param lags: (L,) in frames, each from 1 to ``frames`` - 1.
    :param frames: number of frames T of the run.
    :param step: variance of a step along an axis in angstrom^2, 2 D times the interval.
    :param noise: variance of the noise along an axis in angstrom^2.
    """
    covariance = np.empty((len(lags), len(lags)))
    for row, n in enumerate(lags):
        for column in range(row, len(lags)):
            value = _one(int(n), int(lags[column]), frames, step, noise)
            covariance[row, column] = covariance[column, row] = value
    return covariance


def _one(n: int, m: int, frames: int, step: float, noise: float) -> float:
    origins_n, origins_m = frames - n, frames - m
    # Displacements farther apart than this share neither a step nor a frame.
    first, last = max(-m, 1 - origins_n), min(n, origins_m - 1)
    apart = np.arange(first, last + 1)
    overlap = np.minimum(n, apart + m) - np.maximum(0, apart)
    shared = step * np.maximum(overlap, 0.0)
    ends = (apart == 0).astype(float) - (apart == -m) - (apart == n) + (apart == n - m)
    pairs = np.minimum(origins_n, origins_m - apart) - np.maximum(0, -apart)
    total = float((pairs * (shared + noise * ends) ** 2).sum())
    return 2 * AXES * total / (origins_n * origins_m)
