"""Clusters of a periodic grid and the winding rank of each, fast enough for every frame of a run.

Rows of the grid are cut into runs of occupied cells, runs that touch are united, and the labels on opposite faces are
stitched by union-find with displacement vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.channels.winding import Forest, find, hermite, join, make_forest, pack, rank
from aiida_nvp.common.errors import InputError

FACES, EDGES, CORNERS = 6, 18, 26
_REACH = {
    FACES: ((1, 0, 0), (0, 1, 0)),
    EDGES: ((1, 0, 1), (0, 1, 1), (1, 1, 0), (1, -1, 0)),
    CORNERS: ((1, 0, 1), (0, 1, 1), (1, 1, 1), (1, -1, 1)),
}
"""Rows ahead of a row that hold neighbours of its cells, and by how many cells runs may miss each other and touch."""


@dataclass(frozen=True)
class Clusters:
    """The C clusters of a periodic (n, m, k) grid, numbered from 1.

    :param labels: (n, m, k) int32 number of the cluster of each cell, 0 where empty.
    :param sizes: (C,) cells of each cluster.
    :param percolating: (W,) numbers of those that percolate, in rising order.
    :param bases: (W, 3, 3) integer rows that span the winding vectors of the closed paths in each of them, in cells of
        the simulation and Hermite normal form; rows of zeros are unused.
    """

    labels: NDArray[np.int32]
    sizes: NDArray[np.int64]
    percolating: NDArray[np.int64]
    bases: NDArray[np.int32]

    @property
    def count(self) -> int:
        """Number of clusters."""
        return len(self.sizes)

    @property
    def ranks(self) -> NDArray[np.int64]:
        """(C,) winding rank of each: 0 pocket, 1 channel, 2 sheet, 3 network."""
        ranks = np.zeros(self.count, dtype=np.int64)
        ranks[self.percolating - 1] = (self.bases != 0).any(axis=2).sum(axis=1)
        return ranks

    @property
    def rank(self) -> int:
        """The largest rank, 0 for an empty grid."""
        return int(self.ranks.max(initial=0))

    @property
    def channel(self) -> NDArray[np.bool_]:
        """(n, m, k) cells of the clusters that percolate."""
        inside: NDArray[np.bool_] = np.concatenate([[False], self.ranks > 0])[self.labels]
        return inside


def clusters(occupied: NDArray[np.bool_], neighbours: int = FACES) -> Clusters:
    """Find the clusters of a periodic (n, m, k) grid.

    :param neighbours: 6 for cells that share a face, 18 also an edge, 26 also a corner.
    :raises InputError: if the grid has not three axes or there is no such number of neighbours.
    """
    if occupied.ndim != len("xyz"):
        raise InputError(f"clusters need a grid of three axes; this one has {occupied.ndim}.")
    if neighbours not in _REACH:
        raise InputError(f"a cell of a grid has 6, 18 or 26 neighbours, not {neighbours}.")
    return Clusters(*_cluster(np.ascontiguousarray(occupied, dtype=np.bool_), _REACH[neighbours]))


class Runs(NamedTuple):
    """Runs of occupied cells along the last axis: start and stop of each, and the first run of each row."""

    start: NDArray[Any]
    stop: NDArray[Any]
    first: NDArray[Any]


@numba.njit(cache=True)
def _runs(rows: NDArray[Any]) -> Runs:
    length = rows.shape[1]
    # As little as most grids need: memory handed back to the system after every call costs more than the search.
    start = np.empty(len(rows) * length // 8 + length, dtype=np.int32)
    stop = np.empty_like(start)
    first = np.empty(len(rows) + 1, dtype=np.int32)
    count = 0
    for row in range(len(rows)):
        first[row] = count
        if count + length > len(start):
            start = np.concatenate((start, np.empty_like(start)))
            stop = np.concatenate((stop, np.empty_like(stop)))
        inside = False
        for z in range(length):
            now = rows[row, z]
            if now != inside:
                if now:
                    start[count] = z
                else:
                    stop[count] = z
                    count += 1
                inside = now
        if inside:
            stop[count] = length
            count += 1
    first[len(rows)] = count
    return Runs(start[:count], stop[:count], first)


@numba.njit(cache=True)
def _unite_inside(runs: Runs, shape: tuple[int, int, int], reach: tuple[Any, ...]) -> NDArray[Any]:
    """Return the parent of each run after all links that cross no face of the grid."""
    parent = np.arange(len(runs.start), dtype=np.int32)
    for x in range(shape[0]):
        for y in range(shape[1]):
            for dx, dy, touch in reach:
                if x + dx < shape[0] and 0 <= y + dy < shape[1]:
                    _join_rows(parent, runs, (x * shape[1] + y, (x + dx) * shape[1] + y + dy), touch)
    return parent


@numba.njit(cache=True)
def _join_rows(parent: NDArray[Any], runs: Runs, rows: tuple[int, int], touch: int) -> None:
    """Unite the runs of two rows that overlap, or come within ``touch`` cells."""
    start, stop, first = runs
    a, last_a, b, last_b = first[rows[0]], first[rows[0] + 1], first[rows[1]], first[rows[1] + 1]
    while a < last_a and b < last_b:
        if start[a] < stop[b] + touch and start[b] < stop[a] + touch:
            i, j = _root(parent, a), _root(parent, b)
            parent[max(i, j)] = min(i, j)
        # Sums, because a branch would be guessed wrongly half of the time.
        behind = int(stop[a] < stop[b])
        a += behind
        b += 1 - behind


@numba.njit(cache=True)
def _root(parent: NDArray[Any], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True)
def _open_names(parent: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the number, from 0, of the open cluster of each run, and how many there are."""
    name = np.empty(len(parent), dtype=np.int32)
    count = 0
    for run in range(len(parent)):
        # A root is the lowest run of its cluster and therefore named first.
        if parent[run] == run:
            name[run] = count
            count += 1
        else:
            name[run] = name[_root(parent, run)]
    return name, count


@numba.njit(cache=True)
def _nodes(runs: Runs, names: tuple[NDArray[Any], int], shape: tuple[int, int, int]) -> tuple[NDArray[Any], int]:
    """Give the open clusters that reach a face numbers from 0; the others are -1 and need no stitching."""
    name, count = names
    node = np.full(count, -1, dtype=np.int32)
    nodes = 0
    for x in range(shape[0]):
        for y in range(shape[1]):
            row = x * shape[1] + y
            edge = x in (0, shape[0] - 1) or y in (0, shape[1] - 1)
            for run in range(runs.first[row], runs.first[row + 1]):
                if (edge or runs.start[run] == 0 or runs.stop[run] == shape[2]) and node[name[run]] < 0:
                    node[name[run]] = nodes
                    nodes += 1
    return node, nodes


@numba.njit(cache=True)
def _stitch(runs: Runs, name: NDArray[Any], nodes: tuple[NDArray[Any], int], sides: tuple[Any, Any]) -> Forest:
    """Unite open clusters through the faces of the grid; ``sides`` are its shape and the reach."""
    shape, reach = sides
    forest = make_forest(nodes[1])
    named = (runs, name, nodes[0])
    first = runs.first
    for x in range(shape[0]):
        for y in range(shape[1]):
            row = x * shape[1] + y
            if first[row] == first[row + 1]:
                continue
            if runs.start[first[row]] == 0:
                _join_ends(forest, named, (row, row, shape[2]), 0)
            if not (reach[0][2] or x in (0, shape[0] - 1) or y in (0, shape[1] - 1)):
                continue
            for dx, dy, touch in reach:
                over_x, over_y = (x + dx) // shape[0], (y + dy) // shape[1]
                other = (x + dx - over_x * shape[0]) * shape[1] + y + dy - over_y * shape[1]
                cells = pack(over_x, over_y, 0)
                if cells != 0:
                    _join_wrapped(forest, named, (row, other, cells), touch)
                if touch:
                    _join_ends(forest, named, (row, other, shape[2]), cells)
                    _join_ends(forest, named, (other, row, shape[2]), -cells)
    return forest


@numba.njit(cache=True)
def _join_ends(
    forest: Forest, named: tuple[Runs, NDArray[Any], NDArray[Any]], where: tuple[int, int, int], cells: int
) -> None:
    """Unite the run that ends a row with the one that begins another, the next cell along the last axis."""
    runs, name, node = named
    row, other, length = where
    last, begin = runs.first[row + 1] - 1, runs.first[other]
    if last < runs.first[row] or begin == runs.first[other + 1]:
        return
    if runs.stop[last] == length and runs.start[begin] == 0:
        join(forest, node[name[last]], node[name[begin]], cells + pack(0, 0, 1))


@numba.njit(cache=True)
def _join_wrapped(
    forest: Forest, named: tuple[Runs, NDArray[Any], NDArray[Any]], where: tuple[int, int, int], touch: int
) -> None:
    """Unite the runs of two rows, the second seen in another periodic cell."""
    (start, stop, first), name, node = named
    row, other, cells = where
    a, last_a, b, last_b = first[row], first[row + 1], first[other], first[other + 1]
    while a < last_a and b < last_b:
        if start[a] < stop[b] + touch and start[b] < stop[a] + touch:
            join(forest, node[name[a]], node[name[b]], cells)
        if stop[a] < stop[b]:
            a += 1
        else:
            b += 1


@numba.njit(cache=True)
def _final_names(node: NDArray[Any], forest: Forest) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the number, from 1, of each open cluster after stitching, and the root of each such number or -1."""
    final = np.zeros(len(node), dtype=np.int32)
    number = np.zeros(len(forest.parent), dtype=np.int32)
    roots = np.full(len(node), -1, dtype=np.int32)
    count = 0
    for cluster in range(len(node)):
        if node[cluster] < 0:
            count += 1
            final[cluster] = count
            continue
        root, _ = find(forest, node[cluster])
        if number[root] == 0:
            roots[count] = root
            count += 1
            number[root] = count
        final[cluster] = number[root]
    return final, roots[:count]


@numba.njit(cache=True)
def _paint(runs: Runs, numbers: tuple[NDArray[Any], NDArray[Any]], labels: NDArray[Any], count: int) -> NDArray[Any]:
    """Write the number of each run into the rows of ``labels``; return the cells of each cluster."""
    final, name = numbers
    sizes = np.zeros(count, dtype=np.int64)
    for row in range(len(labels)):
        for run in range(runs.first[row], runs.first[row + 1]):
            number = final[name[run]]
            sizes[number - 1] += runs.stop[run] - runs.start[run]
            for z in range(runs.start[run], runs.stop[run]):
                labels[row, z] = number
    return sizes


@numba.njit(cache=True)
def _cluster(occupied: NDArray[Any], reach: tuple[Any, ...]) -> tuple[NDArray[Any], ...]:
    n, m, k = occupied.shape
    runs = _runs(occupied.reshape(n * m, k))
    name, count = _open_names(_unite_inside(runs, occupied.shape, reach))
    nodes = _nodes(runs, (name, count), occupied.shape)
    forest = _stitch(runs, name, nodes, (occupied.shape, reach))
    final, roots = _final_names(nodes[0], forest)
    labels = np.zeros((n * m, k), dtype=np.int32)
    sizes = _paint(runs, (final, name), labels, len(roots))
    winding = np.array(
        [
            number
            for number in range(1, len(roots) + 1)
            if roots[number - 1] >= 0 and rank(forest.basis[roots[number - 1]])
        ],
        dtype=np.int64,
    )
    bases = np.empty((len(winding), 3, 3), dtype=np.int32)
    for index in range(len(winding)):
        bases[index] = hermite(forest.basis[roots[winding[index] - 1]])
    return labels.reshape(n, m, k), sizes, winding, bases
