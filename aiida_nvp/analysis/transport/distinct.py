"""Distinct van Hove function: where other ions are a time after an ion was at the origin.

    G_d(r, t) = V / (N_a N_b) < sum over i, j != i of delta(r - r_j(t) + r_i(0)) >  per volume of the shell

At t = 0 it is the partial g(r); what fills its hole at r = 0 are ions that have taken the place of another
(DOI 10.1103/PhysRev.95.249). Paths are drift-free, distances those of the nearest image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import block_average
from aiida_nvp.analysis.transport.paths import Paths
from aiida_nvp.common.errors import InputError

MOST_ORIGINS = 40

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Distinct:
    """G_d relative to an even distribution.

    :param lag_ps: (L,); ``r``: (R,) middle of each bin in angstrom.
    :param g: (L, R) with ``error`` from blocks of time origins; 1 far from the origin.
    """

    lag_ps: FloatArray
    r: FloatArray
    g: FloatArray
    error: FloatArray


def distinct_van_hove(
    paths: Paths, pair: tuple[str, str], lags_ps: Sequence[float], bin_width: float = 0.1
) -> Distinct:
    """Return G_d of two species, or of one with itself, to half the smallest width of the cell.

    :param lags_ps: each is rounded to a whole number of frames.
    :raises InputError: on an unknown species, a single ion, a lag beyond the run or a bin width that is not positive.
    """
    if not bin_width > 0:
        raise InputError(f"the bin width must be positive; it is {bin_width} angstrom.")
    first, second = (paths.ions(species) for species in pair)
    others = len(second) - (pair[0] == pair[1])
    if others < 1:
        raise InputError(f"there is one ion of {pair[0]} alone; a distinct van Hove function needs two.")
    lags = np.rint(np.asarray(lags_ps, dtype=float) / paths.interval_ps).astype(int)
    if lags.min() < 0 or lags.max() >= paths.n_frames:
        raise InputError(f"lags must lie between 0 and {(paths.n_frames - 1) * paths.interval_ps:g} ps.")
    inverse = np.linalg.inv(paths.cell)
    start, end = paths.block(first) @ inverse, paths.block(second) @ inverse
    widths = 1 / np.linalg.norm(inverse, axis=0)
    edges = np.arange(0.0, widths.min() / 2, bin_width)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    expected = len(first) * others * shells / paths.volume
    means, errors = [], []
    for lag in lags:
        origins = np.unique(np.linspace(0, paths.n_frames - lag - 1, MOST_ORIGINS).astype(int))
        counts = [_count(start[origin], end[origin + lag], paths.cell, edges, pair[0] == pair[1]) for origin in origins]
        mean, error = block_average(np.array(counts) / expected)
        means.append(mean)
        errors.append(error)
    lag_ps: FloatArray = paths.interval_ps * lags.astype(np.float64)
    return Distinct(lag_ps, edges[:-1] + bin_width / 2, np.array(means), np.array(errors))


def _count(start: FloatArray, end: FloatArray, cell: FloatArray, edges: FloatArray, same: bool) -> FloatArray:
    apart = end[None, :, :] - start[:, None, :]
    apart -= np.rint(apart)
    lengths = np.linalg.norm(apart @ cell, axis=2)
    if same:
        np.fill_diagonal(lengths, np.inf)
    return np.histogram(lengths, edges)[0].astype(np.float64)
