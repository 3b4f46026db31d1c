"""Mean-square displacement over all time origins, and diffusivity where the motion is diffusive."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.common.trajectory import Trajectory

ANGSTROM2_PER_PS_IN_M2_PER_S = 1e-8
ION_GROUPS = 10
FIT_WINDOW = (0.1, 0.5)
"""Lags used for the slope, as shares of the length: beyond ballistic and cage motion, before origins run out."""
SLOPE_TOLERANCE = 0.2
SIGNIFICANCE = 2.0
CAGE_ANGSTROM2 = 1.0
"""Below this displacement, about half a jump between sites, a straight line is a coincidence of rattling."""

NOT_DIFFUSIVE = "not diffusive yet"


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


@dataclass(frozen=True)
class Diffusion:
    """Verdict on the long-time motion.

    :param diffusive: whether the logarithmic slope is near 1 and the diffusivity stands out of its error.
    :param slope: d ln MSD / d ln t in the fit window; NaN without motion.
    :param diffusivity_m2_s: only if diffusive.
    :param error_m2_s: its standard error over groups of ions.
    :param sentence: what to tell the user.
    """

    diffusive: bool
    slope: float
    diffusivity_m2_s: float | None
    error_m2_s: float | None
    sentence: str


def mean_square_displacement(trajectory: Trajectory, species: str) -> Msd:
    """Return the MSD of ``species``, with the drift of the centre of mass of all atoms removed.

    In a cell that changes, displacements are those of fractional coordinates in the mean cell.

    The autocorrelation is a Fourier transform (DOI 10.1051/sfn/201112010), so all origins count at every lag.

    :raises InputError: on an unknown species, or frames of which :class:`~aiida_nvp.analysis.transport.paths.Paths`
        cannot be made: too few, not equally spaced in time, of a cell that is not steady.
    """
    paths = MemoryPaths(trajectory)
    ions = paths.ions(species)
    groups = [ions[start::ION_GROUPS] for start in range(min(ION_GROUPS, len(ions)))]
    curves = np.stack([_msd_by_axis(paths.block(group)) for group in groups])
    weights = np.array([len(group) for group in groups]) / len(ions)
    axes = np.einsum("g,gta->ta", weights, curves)
    totals = curves.sum(axis=2)
    spread = totals.std(axis=0, ddof=1) if len(groups) > 1 else np.full(paths.n_frames, np.nan)
    error = spread / np.sqrt(len(groups))
    lags: NDArray[np.float64] = paths.interval_ps * np.arange(paths.n_frames, dtype=np.float64)
    return Msd(lags, axes, axes.sum(axis=1), error, totals)


def diffusion(msd: Msd) -> Diffusion:
    """Return the diffusivity MSD / 6t from a straight line through the fit window, if the motion is diffusive."""
    count = len(msd.lag_ps)
    window = slice(max(1, int(FIT_WINDOW[0] * count)), max(3, int(FIT_WINDOW[1] * count) + 1))
    lags, total = msd.lag_ps[window], msd.total[window]
    if not (total > 0).all():
        return Diffusion(False, float("nan"), None, None, f"{NOT_DIFFUSIVE}: the atoms do not move")
    slope = float(np.polyfit(np.log(lags), np.log(total), 1)[0])
    to_diffusivity = ANGSTROM2_PER_PS_IN_M2_PER_S / 6
    value = float(np.polyfit(lags, total, 1)[0]) * to_diffusivity
    each = np.polyfit(lags, msd.groups[:, window].T, 1)[0] * to_diffusivity
    error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
    if abs(slope - 1) > SLOPE_TOLERANCE:
        sentence = f"{NOT_DIFFUSIVE}: the displacement grows as t^{slope:.2f} instead of t"
        return Diffusion(False, slope, None, None, sentence)
    if total[-1] < CAGE_ANGSTROM2:
        moved = f"{np.sqrt(total[-1]):.2f} angstrom in {lags[-1]:.3g} ps"
        return Diffusion(False, slope, None, None, f"{NOT_DIFFUSIVE}: atoms moved {moved}, less than out of a cage")
    if not value > SIGNIFICANCE * error:
        return Diffusion(False, slope, None, None, f"{NOT_DIFFUSIVE}: the slope does not stand out of its error")
    return Diffusion(True, slope, value, error, f"diffusive between {lags[0]:.3g} and {lags[-1]:.3g} ps")


def _msd_by_axis(paths: NDArray[np.float64]) -> NDArray[np.float64]:
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
