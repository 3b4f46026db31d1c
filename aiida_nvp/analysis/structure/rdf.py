"""All partial radial distribution functions in one pass over the pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numba
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import block_average
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory


@dataclass(frozen=True)
class PartialRdf:
    """One partial radial distribution function on B bins.

    :param g: (B,) mean over frames; 1 where the pairs are as frequent as in an ideal gas of the same atoms.
    :param error: (B,) standard error by blocks of frames.
    :param pairs: (B,) unordered pairs per frame, whose sum is the number of pairs within ``r_max``.
    """

    g: NDArray[np.float64]
    error: NDArray[np.float64]
    pairs: NDArray[np.float64]


@dataclass(frozen=True)
class Rdf:
    """All partials of a trajectory.

    :param r: (B,) bin centres in angstrom.
    :param r_max: end of the last bin, at most half the smallest perpendicular width of the cell.
    :param partials: by pair name, the heavier species first (``P-O``).
    """

    r: NDArray[np.float64]
    r_max: float
    partials: dict[str, PartialRdf]


def pair_names(numbers: NDArray[Any]) -> dict[tuple[int, int], str]:
    """Return ``{(Z_a, Z_b): "A-B"}`` for all pairs of species present, the heavier first."""
    species = sorted({int(number) for number in numbers}, reverse=True)
    pairs = combinations_with_replacement(species, 2)
    return {(a, b): f"{chemical_symbols[a]}-{chemical_symbols[b]}" for a, b in pairs}


def perpendicular_widths(cells: NDArray[Any]) -> NDArray[np.float64]:
    """Return the (T, 3) distances between opposite faces of (T, 3, 3) cells."""
    widths: NDArray[np.float64] = 1 / np.linalg.norm(np.linalg.inv(cells), axis=-2)
    return widths


def radial_distribution(trajectory: Trajectory, bin_width: float = 0.05) -> Rdf:
    """Return all partial g(r) up to half the smallest perpendicular width of any cell.

    Counts are divided by the exact shell volume and by N_a N_b / V, or N_a (N_a - 1) / 2V for like species, so that an
    ideal gas gives 1 at every size. A species with a single atom has no partial with itself.

    :param bin_width: angstrom.
    :raises InputError: if the bin does not fit into the range.
    """
    limit = 0.5 * float(perpendicular_widths(trajectory.cells).min())
    if not 0 < bin_width <= limit:
        raise InputError(f"bin_width must lie between 0 and {limit:.3g} angstrom, half the cell; it is {bin_width}.")
    bins = int(limit / bin_width + 1e-9)
    names = pair_names(trajectory.numbers)
    counts = np.stack([_histogram(trajectory, frame, bins, bin_width) for frame in range(len(trajectory))])
    edges = np.arange(bins + 1, dtype=np.float64) * float(bin_width)
    shells = 4 / 3 * np.pi * np.diff(edges**3)
    density = 1 / np.abs(np.linalg.det(trajectory.cells))[:, None]
    partials = {}
    for row, ((a, b), name) in enumerate(names.items()):
        total = _number_of_pairs(trajectory.numbers, a, b)
        if total:
            g, error = block_average(counts[:, row] / (total * shells * density))
            partials[name] = PartialRdf(g, error, counts[:, row].mean(axis=0))
    centres: NDArray[np.float64] = 0.5 * (edges[:-1] + edges[1:])
    return Rdf(centres, bins * bin_width, partials)


def _number_of_pairs(numbers: NDArray[Any], a: int, b: int) -> float:
    first, second = int((numbers == a).sum()), int((numbers == b).sum())
    return first * (first - 1) / 2 if a == b else float(first * second)


def _histogram(trajectory: Trajectory, frame: int, bins: int, bin_width: float) -> NDArray[np.int64]:
    cell = trajectory.cells[frame]
    fractional = trajectory.positions[frame].astype(np.float64) @ np.linalg.inv(cell)
    species = sorted({int(number) for number in trajectory.numbers}, reverse=True)
    index = np.searchsorted(-np.array(species), -trajectory.numbers)
    order = np.argsort(index, kind="stable")
    table = _pair_rows(species)
    columns = np.ascontiguousarray((fractional[order] % 1.0).T)
    counts: NDArray[np.int64] = _count_pairs(
        columns, index[order], table, np.ascontiguousarray(cell), np.array([bins, bin_width])
    )
    return counts


def _pair_rows(species: Sequence[int]) -> NDArray[np.int64]:
    table = np.zeros((len(species), len(species)), dtype=np.int64)
    for row, (a, b) in enumerate(combinations_with_replacement(range(len(species)), 2)):
        table[a, b] = table[b, a] = row
    return table


@numba.njit(cache=True, fastmath=True)
def _count_pairs(
    fractional: NDArray[Any], species: NDArray[Any], table: NDArray[Any], cell: NDArray[Any], grid: NDArray[Any]
) -> NDArray[Any]:
    """Histogram all minimum-image distances; (pairs of species, bins).

    Rounding fractional differences gives the nearest image of every pair closer than half the perpendicular width.
    """
    atoms, bins, scale = fractional.shape[1], int(grid[0]), 1.0 / grid[1]
    counts = np.zeros((table.max() + 1, bins + 1), dtype=np.int64)
    slot = np.empty(atoms, dtype=np.int32)
    x, y, z = fractional[0], fractional[1], fractional[2]
    for i in range(atoms - 1):
        # Distances first, histogram after: the first loop has no branch and no scatter, so it vectorises.
        for j in range(i + 1, atoms):
            u = x[j] - x[i]
            v = y[j] - y[i]
            w = z[j] - z[i]
            u -= np.rint(u)
            v -= np.rint(v)
            w -= np.rint(w)
            dx = u * cell[0, 0] + v * cell[1, 0] + w * cell[2, 0]
            dy = u * cell[0, 1] + v * cell[1, 1] + w * cell[2, 1]
            dz = u * cell[0, 2] + v * cell[1, 2] + w * cell[2, 2]
            slot[j] = np.int32(min(np.sqrt(dx * dx + dy * dy + dz * dz) * scale, float(bins)))
        for j in range(i + 1, atoms):
            counts[table[species[i], species[j]], slot[j]] += 1
    return counts[:, :bins]
