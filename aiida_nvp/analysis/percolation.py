"""Whether the space that mobile ions visit joins up through the periodic cell, and in how many directions.

A connected cluster percolates when a closed path inside it winds around the cell. The winding vectors of all its closed
paths span a lattice whose rank is the dimension: 0 a pocket, 1 a channel, 2 a sheet, 3 a network.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory

Links = dict[int, list[tuple[int, NDArray[np.int64]]]]


@dataclass(frozen=True)
class Clusters:
    """Clusters of a periodic grid.

    :param count: number of clusters.
    :param ranks: (count,) winding rank of each.
    """

    count: int
    ranks: NDArray[np.int64]

    @property
    def rank(self) -> int:
        """The largest rank, 0 for an empty grid."""
        return int(self.ranks.max(initial=0))


@dataclass(frozen=True)
class Percolation:
    """How the density of mobile ions percolates.

    :param visited_rank: winding rank of all cells of the grid that were visited.
    :param visited_share: their share of the volume.
    :param threshold_ratio: highest density, relative to the mean, at which the denser part still percolates; None if
        even the whole visited part does not.
    :param threshold_error: half the difference between the two halves of the run; None where one has no threshold.
    :param threshold_share: share of the volume at or above the threshold.
    """

    visited_rank: int
    visited_share: float
    threshold_ratio: float | None
    threshold_error: float | None
    threshold_share: float | None


def clusters(occupied: NDArray[np.bool_]) -> Clusters:
    """Find the clusters of face-sharing cells of a periodic (n, m, k) grid, with the winding rank of each."""
    labels, count = label(occupied)
    links = _links_across_faces(labels)
    place: dict[int, NDArray[np.int64]] = {}
    ranks = []
    for start in range(1, count + 1):
        if start not in place:
            loops = _loops(start, links, place)
            ranks.append(int(np.linalg.matrix_rank(np.array(loops))) if loops else 0)
    return Clusters(len(ranks), np.array(ranks, dtype=np.int64))


def density(trajectory: Trajectory, species: str, spacing: float = 0.5) -> NDArray[np.float64]:
    """Return the mean number of ``species`` in each cell of a grid of about ``spacing`` angstrom over the box.

    :raises InputError: on an unknown species.
    """
    chosen = np.flatnonzero(trajectory.numbers == atomic_numbers.get(species, 0))
    if not len(chosen):
        shown = ", ".join(sorted(set(trajectory.symbols)))
        raise InputError(f"mobile species {species!r} is not in the trajectory, which has {shown}.")
    shape = np.maximum(1, np.rint(np.linalg.norm(trajectory.cells[0], axis=1) / spacing)).astype(int)
    inverse = np.linalg.inv(trajectory.cells)
    fractional = np.einsum("tna,tab->tnb", trajectory.positions[:, chosen].astype(np.float64), inverse).reshape(-1, 3)
    index = np.floor(fractional * shape).astype(np.int64) % shape
    counts = np.bincount(np.ravel_multi_index(tuple(index.T), tuple(shape)), minlength=int(shape.prod()))
    return counts.reshape(shape) / len(trajectory)


def percolation(trajectory: Trajectory, species: str, spacing: float = 0.5, blur: float = 0.5) -> Percolation:
    """Describe the percolation of the density of ``species``.

    :param spacing: edge of a cell of the grid (angstrom).
    :param blur: width of the Gaussian that smooths the counts before a threshold is sought (angstrom).
    :raises InputError: on an unknown species.
    """
    counts = density(trajectory, species, spacing)
    smooth = _smooth(counts, blur / spacing)
    visited = counts > 0
    threshold = percolation_threshold(smooth)
    half = len(trajectory) // 2
    halves = [
        percolation_threshold(_smooth(density(trajectory.select(part), species, spacing), blur / spacing))
        for part in (slice(0, half), slice(half, None))
        if half
    ]
    both = [value for value in halves if value is not None]
    scale = float(counts.mean())
    return Percolation(
        visited_rank=clusters(visited).rank,
        visited_share=float(visited.mean()),
        threshold_ratio=None if threshold is None else threshold / scale,
        threshold_error=abs(both[0] - both[1]) / (2 * scale) if len(both) == len(("first", "second")) else None,
        threshold_share=None if threshold is None else float((smooth >= threshold).mean()),
    )


def percolation_threshold(grid: NDArray[np.float64]) -> float | None:
    """Return the largest value v such that the cells with at least v percolate in some direction.

    None if not even the cells above zero do. Bisection over the values that occur: the answer is exact.
    """
    levels = np.unique(grid[grid > 0])
    if not len(levels) or clusters(grid > 0).rank == 0:
        return None
    low, high = 0, len(levels)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if clusters(grid >= levels[middle]).rank else (low, middle)
    return float(levels[low])


def _smooth(counts: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    # Cut off at three widths: beyond it the cells keep an exact zero and stay empty.
    smooth: NDArray[np.float64] = gaussian_filter(counts, width, mode="wrap", truncate=3.0)
    return smooth


def _links_across_faces(labels: NDArray[np.int32]) -> Links:
    links: Links = defaultdict(list)
    for axis, (last, first) in _face_pairs(labels):
        step = np.zeros(3, dtype=np.int64)
        step[axis] = 1
        links[last].append((first, step))
        links[first].append((last, -step))
    return links


def _face_pairs(labels: NDArray[np.int32]) -> Iterator[tuple[int, tuple[int, int]]]:
    for axis in range(3):
        last, first = np.moveaxis(labels, axis, 0)[[-1, 0]]
        both = (last > 0) & (first > 0)
        pairs = set(zip(last[both].tolist(), first[both].tolist(), strict=True))
        for pair in sorted(pairs):
            yield axis, pair


def _loops(start: int, links: Links, place: dict[int, NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    """Walk one cluster, note in which periodic image each open piece is met, return the windings of closed paths."""
    place[start] = np.zeros(3, dtype=np.int64)
    loops, front = [], [start]
    while front:
        here = front.pop()
        for there, step in links.get(here, []):
            reached = place[here] + step
            if there not in place:
                place[there] = reached
                front.append(there)
            elif (reached != place[there]).any():
                loops.append(reached - place[there])
    return loops
