"""The shortest way through a channel across one period, its tortuosity, and the largest sphere that passes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aiida_nvp.analysis.channels.clusters import clusters
from aiida_nvp.analysis.channels.search import make_graph, shortest_closed_path
from aiida_nvp.analysis.channels.sweep import sweep
from aiida_nvp.common.errors import InputError

_SAMPLES_PER_CELL = 4
_BEYOND = 0.5
"""The nearest image lies within half a cell."""


@dataclass(frozen=True)
class ChannelPath:
    """The shortest closed path of one winding vector.

    :param winding: cells of the simulation that the path crosses along each cell vector.
    :param length: angstrom.
    :param straight: distance between the ends, the length of the winding vector (angstrom).
    :param nodes: (K, 3) corners of the path, unwrapped fractional coordinates, both ends included.
    """

    winding: tuple[int, int, int]
    length: float
    straight: float
    nodes: NDArray[np.float64]

    @property
    def tortuosity(self) -> float:
        """Length over straight distance, 1 for a straight channel."""
        return self.length / self.straight


def channel_paths(channel: NDArray[np.bool_], cell: NDArray[np.float64]) -> list[ChannelPath]:
    """Return the shortest closed path of each basis vector of the largest cluster that percolates, none without one.

    Every closed path crosses the plane of cells that the fewest cells of the channel lie in. Groups of these are
    halved, the most promising first, until no other can hold a path shorter by more than one per cent; each is judged
    by a search with the straight distance and the way to the next such plane as bounds (A*: DOI
    10.1109/TSSC.1968.300136). A step leads to one of 26 neighbours, around no corner that steps through faces could not
    take; then corners that see each other are joined. The length is therefore an upper bound, exact for straight
    stretches, and for winding ones known to a few per cent. Ways that leave the straight line by more than one period
    are not found.

    :param channel: (n, m, k) cells of a grid.
    :param cell: (3, 3) angstrom, rows are vectors.
    :raises InputError: if the cell has no volume.
    """
    box = np.asarray(cell, dtype=np.float64)
    if not abs(np.linalg.det(box)) > 0:
        raise InputError("paths through a channel need a cell with a volume.")
    found = clusters(channel)
    if not len(found.percolating):
        return []
    largest = int(np.argmax(found.sizes[found.percolating - 1]))
    inside = found.labels == found.percolating[largest]
    graph = make_graph(inside, box)
    paths = []
    for row in found.bases[largest]:
        if row.any():
            nodes = shortest_closed_path(inside, graph, row.astype(np.int64))
            paths.append(_described(nodes, inside, row.astype(np.int64), box))
    return paths


def channel_radius(channel: NDArray[np.bool_], cell: NDArray[np.float64]) -> float | None:
    """Return the radius in angstrom of the largest sphere that can pass through the channel in some direction.

    Its centre follows the best path of the distances to the wall, which lies half a cell of the grid before the centre
    of the nearest cell outside. None where nothing percolates or there is no wall.
    """
    if channel.all():
        return None
    shell = np.zeros_like(channel)
    for axis in range(3):
        shell |= np.roll(channel, 1, axis) | np.roll(channel, -1, axis)
    shape = np.array(channel.shape)
    wall = np.argwhere(shell & ~channel) / shape
    images = np.concatenate([wall + shift for shift in product((-1, 0, 1), repeat=3)])
    near = ((images >= -_BEYOND) & (images < 1 + _BEYOND)).all(axis=1)
    away, _ = cKDTree(images[near] @ cell).query(np.argwhere(channel) / shape @ cell)
    distance = np.zeros(channel.shape)
    distance[channel] = away - 0.5 * np.cbrt(abs(np.linalg.det(cell)) / channel.size)
    levels = sweep(distance).levels
    return levels[1].density if levels else None


def _described(
    nodes: NDArray[np.int64], inside: NDArray[np.bool_], winding: NDArray[np.int64], cell: NDArray[np.float64]
) -> ChannelPath:
    shape = np.array(inside.shape)
    to_angstrom = cell / shape[:, None]
    corners = _pulled(nodes, inside, to_angstrom)
    # Once more from the middle, because the first end was kept in its place.
    turn = len(corners) // 2
    corners = _pulled(np.concatenate([corners[turn:], corners[1 : turn + 1] + winding * shape]), inside, to_angstrom)
    return ChannelPath(
        winding=(int(winding[0]), int(winding[1]), int(winding[2])),
        length=float(np.linalg.norm(np.diff(corners, axis=0) @ to_angstrom, axis=1).sum()),
        straight=float(np.linalg.norm(winding @ cell)),
        nodes=(corners + 0.5) / shape,
    )


@numba.njit(cache=True)
def _pulled(nodes: NDArray[Any], inside: NDArray[Any], to_angstrom: NDArray[Any]) -> NDArray[Any]:
    """Return the corners of the shortest chain of nodes that see each other in a row."""
    count = len(nodes)
    best = np.full(count, np.inf)
    came = np.zeros(count, dtype=np.int64)
    best[0] = 0.0
    for later in range(1, count):
        for earlier in range(later):
            step = (nodes[later] - nodes[earlier]).astype(np.float64) @ to_angstrom
            length = best[earlier] + np.sqrt((step**2).sum())
            if length < best[later] and (later == earlier + 1 or _sees(nodes[earlier], nodes[later], inside)):
                best[later], came[later] = length, earlier
    chain = [count - 1]
    while chain[-1] > 0:
        chain.append(came[chain[-1]])
    corners = np.empty((len(chain), 3), dtype=np.int64)
    for index in range(len(chain)):
        corners[index] = nodes[chain[len(chain) - 1 - index]]
    return corners


@numba.njit(cache=True)
def _sees(start: NDArray[Any], end: NDArray[Any], inside: NDArray[Any]) -> bool:
    samples = _SAMPLES_PER_CELL * np.abs(end - start).max()
    index = np.empty(3, dtype=np.int64)
    for sample in range(1, samples):
        for axis in range(3):
            place = start[axis] + 0.5 + (end[axis] - start[axis]) * (sample / samples)
            index[axis] = int(np.floor(place)) % inside.shape[axis]
        if not inside[index[0], index[1], index[2]]:
            return False
    return True
