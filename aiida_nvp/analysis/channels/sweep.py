"""One sweep over a density from its highest cell down: where it percolates, in which directions, past which sites.

Cells enter in falling order and join the neighbours that are there already (DOI 10.1103/PhysRevE.64.016706 for the
union-find). The density at which a closed path first winds around the cell is the bottleneck of the best channel: the
largest minimum over all paths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.channels.winding import Forest, hermite, join, make_forest, pack, rank
from aiida_nvp.common.errors import InputError

_STEPS = ((-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1))


@dataclass(frozen=True)
class Level:
    """Where a winding rank first appears.

    :param density: the highest value v such that the cells of at least v hold a component of this rank.
    :param peak: highest value in that component.
    :param basis: (rank, 3) integer rows that span its winding vectors, in cells of the simulation.
    """

    density: float
    peak: float
    basis: NDArray[np.int64]


@dataclass(frozen=True)
class Sweep:
    """What a sweep finds.

    :param levels: by rank 1, 2 and 3, for those that appear above zero.
    :param sites: (S,) flat index of the cell of each density maximum that stands out of its surroundings.
    :param peaks: (S,) density there.
    :param saddles: (S,) highest density on the way to a higher site; NaN where there is none.
    :param exits: (S,) highest density at which the component of the site percolates; NaN where it never does.
    """

    levels: dict[int, Level]
    sites: NDArray[np.int64]
    peaks: NDArray[np.float64]
    saddles: NDArray[np.float64]
    exits: NDArray[np.float64]


def sweep(grid: NDArray[np.float64], prominence: float = 1.0) -> Sweep:
    """Sweep a periodic (n, m, k) grid; cells of zero or less never enter, neighbours share a face.

    :param prominence: a maximum is a site if its density exceeds that of the saddle towards a higher one by exp of
        this: by a barrier of so many kT.
    :raises InputError: if the grid has not three axes or holds a value that is not finite.
    """
    if grid.ndim != len("xyz") or not np.isfinite(grid).all():
        raise InputError("a sweep needs a grid of three axes with finite values only.")
    flat = np.ascontiguousarray(grid, dtype=np.float64).reshape(-1)
    entered = np.flatnonzero(flat > 0)
    # Stable, so that equal densities enter in the same order on every machine.
    order = entered[np.argsort(-flat[entered], kind="stable")]
    found = _sweep(order, flat[order], grid.shape, float(np.exp(prominence)))
    # The last one stands for never.
    values = np.append(flat[order], np.nan)
    levels = {}
    for index, first in enumerate(found.first):
        if first >= 0:
            peak = values[found.start[found.crown[index]]]
            rows = hermite(found.basis[index])
            rows = rows[(rows != 0).any(axis=1)]
            levels[index + 1] = Level(float(values[first]), float(peak), rows.astype(np.int64))
    alive = np.flatnonzero(found.site)
    start = found.start[alive]
    return Sweep(levels, order[start], values[start], values[found.saddle[alive]], values[found.exit[alive]])


class _Found(NamedTuple):
    """What is met at which position of the order of entry, -1 for never.

    By rank less one: when it appears (``first``), under which maximum (``crown``), with which ``basis``. By maximum:
    when it enters (``start``), whether it is a ``site``, when it meets a higher one (``saddle``) and when it percolates
    (``exit``).
    """

    first: NDArray[Any]
    crown: NDArray[Any]
    basis: NDArray[Any]
    start: NDArray[Any]
    site: NDArray[Any]
    saddle: NDArray[Any]
    exit: NDArray[Any]


class _Peaks(NamedTuple):
    """By root: its winding rank, highest maximum, first and last site; by site: the next of its component or -1."""

    rank: NDArray[Any]
    top: NDArray[Any]
    head: NDArray[Any]
    tail: NDArray[Any]
    next: NDArray[Any]


class _Hills(NamedTuple):
    """Number of the maximum that a cell of the grid lies below, -1 before it enters, and the periodic cells between."""

    of: NDArray[Any]
    shift: NDArray[Any]


@numba.njit(cache=True)
def _sweep(order: NDArray[Any], values: NDArray[Any], shape: tuple[int, int, int], factor: float) -> _Found:
    """Unite hills, not cells: most links stay within a hill and need no search."""
    cells = shape[0] * shape[1] * shape[2]
    hills = _Hills(np.full(cells, -1, dtype=np.int32), np.zeros(cells, dtype=np.int64))
    forest = make_forest(len(order))
    found, peaks = _start(len(order))
    around = np.empty((len(_STEPS), 2), dtype=np.int64)
    count = 0
    for now in range(len(order)):
        here = order[now]
        _look_around(here, shape, around)
        if not _climb(hills, here, around):
            hills.of[here] = count
            found.start[count] = now
            count += 1
        for step in range(len(_STEPS)):
            there = around[step, 0]
            if hills.of[there] >= 0:
                gap = hills.shift[here] + around[step, 1] - hills.shift[there]
                if hills.of[there] != hills.of[here] or gap != 0:
                    link = (hills.of[here], hills.of[there], gap)
                    _link(forest, (found, peaks), link, now, (values, values[now] * factor))
    return _Found(
        found.first,
        found.crown,
        found.basis,
        found.start[:count],
        found.site[:count],
        found.saddle[:count],
        found.exit[:count],
    )


@numba.njit(cache=True)
def _start(count: int) -> tuple[_Found, _Peaks]:
    never = np.full(count, -1, dtype=np.int32)
    itself = np.arange(count, dtype=np.int32)
    levels = np.full(3, -1, dtype=np.int64)
    found = _Found(
        levels,
        levels.copy(),
        np.zeros((3, 3, 3), np.int32),
        never,
        np.ones(count, np.bool_),
        never.copy(),
        never.copy(),
    )
    return found, _Peaks(np.zeros(count, np.int8), itself, itself.copy(), itself.copy(), never.copy())


@numba.njit(cache=True)
def _look_around(here: int, shape: tuple[int, int, int], around: NDArray[Any]) -> None:
    """Write flat index and packed periodic cell of each neighbour."""
    x, rest = divmod(here, shape[1] * shape[2])
    y, z = divmod(rest, shape[2])
    for step, (dx, dy, dz) in enumerate(_STEPS):
        u, v, w = x + dx, y + dy, z + dz
        a, b, c = _over(u, shape[0]), _over(v, shape[1]), _over(w, shape[2])
        around[step, 0] = ((u - a * shape[0]) * shape[1] + v - b * shape[1]) * shape[2] + w - c * shape[2]
        around[step, 1] = pack(a, b, c)


@numba.njit(cache=True)
def _over(index: int, size: int) -> int:
    """Return the periodic cell of an index at most one step outside; a division would cost more than all else."""
    if index < 0:
        return -1
    return 1 if index >= size else 0


@numba.njit(cache=True)
def _climb(hills: _Hills, here: int, around: NDArray[Any]) -> bool:
    """Put a cell on the hill of a neighbour that is there already; return whether there is one."""
    for step in range(len(around)):
        there = around[step, 0]
        if hills.of[there] >= 0:
            hills.of[here] = hills.of[there]
            hills.shift[here] = hills.shift[there] - around[step, 1]
            return True
    return False


@numba.njit(cache=True)
def _link(
    forest: Forest,
    state: tuple[_Found, _Peaks],
    hills: tuple[int, int, int],
    now: int,
    scale: tuple[NDArray[Any], float],
) -> None:
    """Unite two hills, and note whose sites percolate by it and which rank appears."""
    found, peaks = state
    root, under = join(forest, hills[0], hills[1], hills[2])
    winding = rank(forest.basis[root])
    if winding > 0:
        _leave(found, peaks, root, now)
        if under >= 0:
            _leave(found, peaks, under, now)
    if under >= 0:
        _merge_sites(found, peaks, (root, under, now), scale)
    peaks.rank[root] = winding
    for index in range(winding):
        if found.first[index] < 0:
            found.first[index] = now
            found.crown[index] = peaks.top[root]
            found.basis[index] = forest.basis[root]


@numba.njit(cache=True)
def _leave(found: _Found, peaks: _Peaks, root: int, now: int) -> None:
    """Note for the sites of a component that did not percolate until now that they do."""
    if peaks.rank[root] == 0:
        site = peaks.head[root]
        while site >= 0:
            found.exit[site] = now
            site = peaks.next[site]


@numba.njit(cache=True)
def _merge_sites(found: _Found, peaks: _Peaks, merged: tuple[int, int, int], scale: tuple[NDArray[Any], float]) -> None:
    """Put the sites of two components together; a lower peak that stands out too little is none."""
    root, under, now = merged
    values, limit = scale
    high, low = (root, under) if peaks.top[root] < peaks.top[under] else (under, root)
    head, tail = peaks.head[high], peaks.tail[high]
    peak = peaks.top[low]
    if values[found.start[peak]] > limit:
        found.saddle[peak] = now
        peaks.next[tail] = peaks.head[low]
        tail = peaks.tail[low]
    else:
        found.site[peak] = False
    peaks.head[root], peaks.tail[root], peaks.top[root] = head, tail, peaks.top[high]
