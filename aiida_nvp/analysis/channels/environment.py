"""Whether the mobility of an ion goes with what surrounds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_nvp.analysis.channels.density import species_indices
from aiida_nvp.analysis.channels.estimate import Interval, bootstrap
from aiida_nvp.analysis.channels.mobility import host_paths, spearman, window_msd
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.common.trajectory import Trajectory

_FRAMES = 50
_LEAST_IONS = 10


@dataclass(frozen=True)
class EnvironmentCorrelation:
    """How the number of neighbours of one species goes with the mobility of an ion.

    :param neighbour: species of the neighbours.
    :param cutoff: angstrom.
    :param mean_neighbours: mean over ions and frames.
    :param spread: standard deviation over the ions of their mean over frames.
    :param spearman: rank correlation with the mobility, its interval by drawing ions anew; None where all ions have
        the same number of neighbours or the same mobility.
    :param sentence: what the interval says.
    """

    neighbour: str
    cutoff: float
    mean_neighbours: float
    spread: float
    spearman: Interval | None
    sentence: str


def environment_correlations(
    trajectory: Trajectory, species: str, cutoffs: Mapping[str, float], window: int, seed: int = 0
) -> list[EnvironmentCorrelation]:
    """Correlate the mobility of each ion of ``species`` with its neighbours.

    Mobility is the mean square displacement over the window; neighbours are averages over at most 50 evenly spaced
    frames of the same run. The rank correlation (Spearman 1904, DOI 10.2307/1412159) asks for no straight line. Each
    interval stands for itself: of twenty without any effect one is expected to exclude zero.

    :param cutoffs: angstrom by species of the neighbours.
    :param window: frames.
    :raises InputError: on an unknown species, a cutoff that is not positive, a window that does not fit, or fewer than
        ten ions.
    """
    ions = species_indices(trajectory, species)
    if len(ions) < _LEAST_IONS:
        raise InputError(f"environment: {len(ions)} ions of {species} are too few to correlate; ten are needed.")
    if not 1 <= window < len(trajectory):
        raise InputError(f"environment: a window of {window} frames does not fit into {len(trajectory)} frames.")
    for neighbour, cutoff in cutoffs.items():
        species_indices(trajectory, neighbour)
        if not cutoff > 0:
            raise InputError(f"environment: the cutoff to {neighbour} must be positive; it is {cutoff} angstrom.")
    counts = _mean_neighbours(trajectory, ions, cutoffs)
    mobility = window_msd(host_paths(trajectory, species), window)
    return [_correlation(name, cutoffs[name], around, mobility, seed) for name, around in counts.items()]


def _mean_neighbours(
    trajectory: Trajectory, ions: NDArray[np.int64], cutoffs: Mapping[str, float]
) -> dict[str, NDArray[np.float64]]:
    frames = np.unique(np.linspace(0, len(trajectory) - 1, _FRAMES).astype(np.int64))
    totals = {name: np.zeros(len(trajectory.numbers)) for name in cutoffs}
    for frame in frames.tolist():
        pairs = find_pairs(
            trajectory.positions[frame].astype(np.float64), trajectory.cells[frame], max(cutoffs.values(), default=0.0)
        )
        kind = trajectory.numbers[pairs.second]
        for name, cutoff in cutoffs.items():
            near = (kind == atomic_numbers[name]) & (pairs.distance < cutoff)
            totals[name] += np.bincount(pairs.first[near], minlength=len(trajectory.numbers))
    return {name: total[ions] / len(frames) for name, total in totals.items()}


def _correlation(
    name: str, cutoff: float, around: NDArray[np.float64], mobility: NDArray[np.float64], seed: int
) -> EnvironmentCorrelation:
    if not np.isfinite(spearman(around, mobility)):
        sentence = f"all ions have the same number of {name} within {cutoff:g} angstrom, or the same mobility"
        return EnvironmentCorrelation(name, cutoff, float(around.mean()), float(around.std()), None, sentence)
    found = bootstrap(lambda drawn: spearman(around[drawn], mobility[drawn]), len(around), seed)
    interval = f"rank correlation {found.value:+.2f}, 95 % interval {found.low:+.2f} to {found.high:+.2f}"
    if found.low > 0:
        sentence = f"ions with more {name} around them move more: {interval}"
    elif found.high < 0:
        sentence = f"ions with more {name} around them move less: {interval}"
    else:
        sentence = f"no effect of {name} stands out of the scatter of the ions: {interval}"
    return EnvironmentCorrelation(name, cutoff, float(around.mean()), float(around.std()), found, sentence)
