"""Mean-square displacement over all time origins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from aiida_nvp.analysis.transport.paths import MemoryPaths, Paths
from aiida_nvp.common.trajectory import Trajectory

ION_GROUPS = 10


@dataclass(frozen=True)
class Msd:
    """Mean-square displacement of one species at T lags.

    :param lag_ps: (T,) in ps, from 0.
    :param axes: (T, 3) along x, y and z in angstrom^2.
    :param total: (T,) their sum.
    :param error: (T,) standard error of the total over groups of ions; NaN for a single ion.
    :param groups: (G, T) total of each group of ions.
    """

    lag_ps: NDArray[np.float64]
    axes: NDArray[np.float64]
    total: NDArray[np.float64]
    error: NDArray[np.float64]
    groups: NDArray[np.float64]


def mean_square_displacement(trajectory: Trajectory, species: str) -> Msd:
    """Return the MSD of ``species``, with the drift of the centre of mass of all atoms removed.

    In a cell that changes, displacements are those of fractional coordinates in the mean cell.

    :raises InputError: on an unknown species, or frames of which :class:`~aiida_nvp.analysis.transport.paths.Paths`
        cannot be made: too few, not equally spaced in time, of a cell that is not steady.
    """
    return mean_square_displacement_of(MemoryPaths(trajectory), species)


def mean_square_displacement_of(paths: Paths, species: str) -> Msd:
    """Return the MSD of ``species`` on its ``paths``.

    The autocorrelation is a Fourier transform (DOI 10.1051/sfn/201112010), so all origins count at every lag.

    :raises InputError: on an unknown species.
    """
    ions = paths.ions(species)
    groups = [ions[start::ION_GROUPS] for start in range(min(ION_GROUPS, len(ions)))]
    curves = np.stack([msd_by_axis(paths.block(group)) for group in groups])
    weights = np.array([len(group) for group in groups]) / len(ions)
    axes = np.einsum("g,gta->ta", weights, curves)
    totals = curves.sum(axis=2)
    spread = totals.std(axis=0, ddof=1) if len(groups) > 1 else np.full(paths.n_frames, np.nan)
    error = spread / np.sqrt(len(groups))
    lags: NDArray[np.float64] = paths.interval_ps * np.arange(paths.n_frames, dtype=np.float64)
    return Msd(lags, axes, axes.sum(axis=1), error, totals)


def msd_by_axis(paths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T, 3) for (T, n, 3) paths: MSD(m) = <x(t+m)^2 + x(t)^2> - 2 <x(t+m) x(t)> over origins t and ions."""
    frames, ions = paths.shape[:2]
    # Around the mean, because the terms cancel and large coordinates would leave only round-off.
    paths = paths - paths.mean(axis=0)
    length = next_fast_len(2 * frames, real=True)
    power = np.sum(np.abs(rfft(paths, length, axis=0)) ** 2, axis=1)
    correlation = irfft(power, length, axis=0)[:frames]
    running = np.concatenate([np.zeros((1, 3)), np.cumsum(np.sum(paths**2, axis=1), axis=0)])
    lags = np.arange(frames)
    squares = running[frames - lags] + running[-1] - running[lags]
    msd: NDArray[np.float64] = (squares - 2 * correlation) / ((frames - lags)[:, None] * ions)
    msd[0] = 0.0
    return np.maximum(msd, 0.0)
