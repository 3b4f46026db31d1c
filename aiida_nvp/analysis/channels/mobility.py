"""Which ions move: the displacement of each ion over a window, its spread over the ions, and whether it lasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from aiida_nvp.analysis.channels.density import host_frame, species_indices
from aiida_nvp.analysis.channels.estimate import Interval, bootstrap
from aiida_nvp.common import ranks
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory

_IONS_FOR_RANKS = 3
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class MobilityMap:
    """How far each of n ions moves within a window.

    :param ions: (n,) index of each ion in the trajectory.
    :param places: (n, 3) angstrom, mean position in the host, not wrapped.
    :param msd: (n,) mean square displacement over the window, all time origins (angstrom^2).
    :param quantiles: of ``msd`` at 5, 25, 50, 75 and 95 %.
    :param mean: over the ions.
    :param mobile_share: share of the ions beyond the cutoff; None without one.
    :param half_share: smallest share of the ions that carries half of the motion; 0.5 where all move alike.
    :param null_half_share: what ``half_share`` would be for equal ions in Brownian motion, from the number of windows
        that fit into the run: smaller values than this are heterogeneity, equal ones are chance.
    :param persistence: rank correlation of the ions' mobility in the two halves of the run: 1 if the same ions stay
        mobile, 0 if they change; None if a half is no longer than the window.
    """

    ions: NDArray[np.int64]
    places: NDArray[np.float64]
    msd: NDArray[np.float64]
    quantiles: tuple[float, ...]
    mean: Interval | None
    mobile_share: Interval | None
    half_share: Interval | None
    null_half_share: float
    persistence: Interval | None


def mobility_map(
    trajectory: Trajectory, species: str, window: int, cutoff: float | None = None, seed: int = 0
) -> MobilityMap:
    """Return the mobility of each ion of a species, seen from the rest of the atoms.

    Intervals are from drawing ions anew; they are None for a single ion.

    :param window: frames.
    :param cutoff: root mean square displacement in angstrom from which on an ion counts as mobile, about half the
        distance between sites.
    :raises InputError: on an unknown species, a window that does not fit, or a cutoff that is not positive.
    """
    if not 1 <= window < len(trajectory):
        raise InputError(f"mobility: a window of {window} frames does not fit into {len(trajectory)} frames.")
    if cutoff is not None and not cutoff > 0:
        raise InputError(f"mobility: the cutoff must be positive; it is {cutoff} angstrom.")
    paths = host_paths(trajectory, species)
    msd = window_msd(paths, window)
    count, half = len(msd), len(paths) // 2
    persistence = None
    if half > window and count >= _IONS_FOR_RANKS:
        first, second = window_msd(paths[:half], window), window_msd(paths[half:], window)
        persistence = bootstrap(lambda drawn: spearman(first[drawn], second[drawn]), count, seed)
    several = count > 1
    return MobilityMap(
        ions=species_indices(trajectory, species),
        places=paths.mean(axis=0),
        msd=msd,
        quantiles=tuple(np.quantile(msd, _QUANTILES).tolist()),
        mean=bootstrap(lambda drawn: float(msd[drawn].mean()), count, seed) if several else None,
        mobile_share=bootstrap(lambda drawn: float((msd[drawn] > cutoff**2).mean()), count, seed)
        if several and cutoff is not None
        else None,
        half_share=bootstrap(lambda drawn: half_share(msd[drawn]), count, seed) if several else None,
        null_half_share=brownian_half_share(max(1, (len(paths) - 1) // window)),
        persistence=persistence,
    )


def host_paths(trajectory: Trajectory, species: str) -> NDArray[np.float64]:
    """Return (T, n, 3) paths in angstrom of a species in the frame where the other atoms rest, in the mean cell.

    :raises InputError: on an unknown species.
    """
    paths: NDArray[np.float64] = np.stack(list(host_frame(trajectory, species))) @ trajectory.cells.mean(axis=0)
    return paths


def half_share(values: NDArray[np.float64]) -> float:
    """Return the smallest share of the samples that adds up to half of all, interpolated; 0.5 for equals."""
    total = np.concatenate([[0.0], np.cumsum(np.sort(values)[::-1])])
    if not total[-1] > 0:
        return float("nan")
    return float(np.interp(0.5 * total[-1], total, np.arange(len(total)) / len(values)))


def brownian_half_share(windows: int) -> float:
    """Return the half share of equal Brownian ions whose squared displacement is averaged over independent windows.

    The mean of w windows is distributed as chi^2 with 3 w degrees of freedom; the samples above its value x carry the
    share that chi^2 with 3 w + 2 degrees has above x, for x p_k(x) = k p_(k+2)(x). A single window gives 0.226.
    """
    return float(chi2.sf(chi2.median(3 * windows + 2), 3 * windows))


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the rank correlation; NaN where one side is constant, which a bootstrap leaves out."""
    found = ranks.spearman(first, second)
    return float("nan") if found is None else found


def window_msd(paths: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return (n,) mean square displacements over a window of frames from (T, n, 3) paths, all time origins."""
    moved: NDArray[np.float64] = np.sum((paths[window:] - paths[:-window]) ** 2, axis=2).mean(axis=0)
    return moved
