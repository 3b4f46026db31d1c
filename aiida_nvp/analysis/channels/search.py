"""The shortest closed path through the cells of a channel, over the images of the cell that it winds through."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import product
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

_OFFSETS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)], dtype=np.int64)
_SEARCHES = 32
_TOLERANCE = 0.01
"""A search is not worth its time for less than this share of the length."""


class Graph(NamedTuple):
    """Cells of the channel and their steps.

    :param where: (C, 3) indices of the cells in the grid.
    :param near: (C, 26) cell that a step leads to, -1 where there is none.
    :param over: (C, 26, 3) periodic cells that it crosses.
    :param number: (n, m, k) cell of the channel, -1 outside.
    :param to_angstrom: (3, 3) a step of the grid times this is a distance.
    :param step: (26,) length of each step in angstrom.
    """

    where: NDArray[Any]
    near: NDArray[Any]
    over: NDArray[Any]
    number: NDArray[Any]
    to_angstrom: NDArray[Any]
    step: NDArray[Any]


def make_graph(inside: NDArray[np.bool_], cell: NDArray[np.float64]) -> Graph:
    """Return the graph of the cells inside, in a (3, 3) cell in angstrom."""
    where = np.argwhere(inside)
    number = np.full(inside.shape, -1, dtype=np.int32)
    number[inside] = np.arange(len(where))
    near, over = _steps(number, where, _OFFSETS)
    to_angstrom = cell / np.array(inside.shape)[:, None]
    return Graph(where, near, over, number, to_angstrom, np.linalg.norm(_OFFSETS @ to_angstrom, axis=1))


@numba.njit(cache=True)
def _steps(number: NDArray[Any], where: NDArray[Any], offsets: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    near = np.full((len(where), len(offsets)), -1, dtype=np.int32)
    over = np.zeros((len(where), len(offsets), 3), dtype=np.int8)
    for here in range(len(where)):
        for step in range(len(offsets)):
            if _passes(number, where[here], offsets[step]):
                near[here, step] = _at(number, where[here] + offsets[step])
                for axis in range(3):
                    over[here, step, axis] = (where[here, axis] + offsets[step, axis]) // number.shape[axis]
    return near, over


@numba.njit(cache=True)
def _at(number: NDArray[Any], index: NDArray[Any]) -> int:
    return int(number[index[0] % number.shape[0], index[1] % number.shape[1], index[2] % number.shape[2]])


@numba.njit(cache=True)
def _passes(number: NDArray[Any], start: NDArray[Any], step: NDArray[Any]) -> bool:
    """Tell whether steps through faces, each of them along the step, lead through the channel as well."""
    if _at(number, start + step) < 0:
        return False
    if np.abs(step).sum() == 1:
        return True
    for axis in range(3):
        if step[axis] != 0:
            rest = step.copy()
            rest[axis] = 0
            if _passes(number, start, rest):
                return True
    return False


def shortest_closed_path(
    inside: NDArray[np.bool_], graph: Graph, winding: NDArray[np.int64], cell: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Return (K, 3) unwrapped indices of the cells of the shortest closed path that was found."""
    axis, plane = min(
        ((axis, plane) for axis in np.flatnonzero(winding) for plane in range(inside.shape[axis])),
        key=lambda cut: int(np.take(inside, cut[1], axis=cut[0]).sum()),
    )
    forward = winding * np.sign(winding[axis])
    sources = np.flatnonzero(graph.where[:, axis] == plane)
    # One cell of the simulation to each side of the straight line: a way around within a channel stays there.
    lowest, span = np.minimum(forward, 0) - 1, np.abs(forward) + 3
    floor = _to_next_plane(graph, sources, (int(axis), int(span[axis])), int(forward[axis] - lowest[axis]))
    task = _Task(forward, lowest, span, int(axis), floor)
    least = floor[sources, -lowest[axis]]
    best, nodes = np.inf, np.zeros((0, 3), dtype=np.int64)
    for source in sources[np.argsort(least, kind="stable")][:_SEARCHES]:
        enough = (1 - _TOLERANCE) * best
        if max(floor[source, -lowest[axis]], np.linalg.norm(winding @ cell)) >= enough:
            break
        length, found = _search(graph, task, source, enough)
        if length < best:
            best, nodes = length, found
    return nodes if forward[axis] == winding[axis] else nodes[::-1] - nodes[-1] + nodes[0]


class _Task(NamedTuple):
    """What one winding vector asks of a search.

    :param winding: (3,) with a positive component along ``axis``.
    :param lowest: (3,) lowest image of the cell to look at, and the number of images ``span`` along each axis.
    :param floor: (C, span[axis]) least way from a cell of an image to the plane where the next period begins.
    """

    winding: NDArray[Any]
    lowest: NDArray[Any]
    span: NDArray[Any]
    axis: int
    floor: NDArray[Any]


@numba.njit(cache=True)
def _to_next_plane(graph: Graph, sources: NDArray[Any], along: tuple[int, int], image: int) -> NDArray[Any]:
    """Return (C, images) the least way to any of the sources in the given image, sideways images taken as one."""
    axis, images = along
    length = np.full((len(graph.where), images), np.inf, dtype=np.float32)
    # An empty list alone would not tell the compiler what it holds.
    queue = [(np.float32(0.0), np.int64(0)) for _ in range(0)]
    for source in sources:
        length[source, image] = 0.0
        queue.append((np.float32(0.0), np.int64(source * images + image)))
    while len(queue) > 0:
        so_far, state = heappop(queue)
        here, place = state // images, state % images
        if so_far > length[here, place]:
            continue
        for step in range(len(_OFFSETS)):
            other, there = graph.near[here, step], place + graph.over[here, step, axis]
            if other >= 0 and 0 <= there < images:
                new = np.float32(so_far + graph.step[step])
                if new < length[other, there]:
                    length[other, there] = new
                    heappush(queue, (new, np.int64(other * images + there)))
    return length


@numba.njit(cache=True)
def _search(graph: Graph, task: _Task, source: int, bound: float) -> tuple[float, NDArray[Any]]:
    """Return the length and the cells of the shortest path from a cell to its image, or infinity beyond the bound."""
    shape, span = graph.number.shape, task.span
    images = span[0] * span[1] * span[2]
    length = np.full(len(graph.where) * images, np.inf, dtype=np.float32)
    came = np.full(len(graph.where) * images, -1, dtype=np.int32)
    first = source * images + _image(-task.lowest, span)
    last = source * images + _image(task.winding - task.lowest, span)
    x, y, z = graph.where[source]
    end = (
        x + (task.winding[0] - task.lowest[0]) * shape[0],
        y + (task.winding[1] - task.lowest[1]) * shape[1],
        z + (task.winding[2] - task.lowest[2]) * shape[2],
    )
    length[first] = 0.0
    queue = [(np.float32(0.0), np.float32(0.0), np.int64(first))]
    while len(queue) > 0:
        through, so_far, state = heappop(queue)
        if through >= bound or state == last:
            break
        if so_far > length[state]:
            continue
        here, image = state // images, state % images
        a, b, c = image // (span[1] * span[2]), image // span[2] % span[1], image % span[2]
        for step in range(len(_OFFSETS)):
            other = graph.near[here, step]
            if other < 0:
                continue
            over = graph.over[here, step]
            u, v, w = a + over[0], b + over[1], c + over[2]
            if u < 0 or v < 0 or w < 0 or u >= span[0] or v >= span[1] or w >= span[2]:
                continue
            new = np.float32(so_far + graph.step[step])
            target = other * images + (u * span[1] + v) * span[2] + w
            if new < length[target]:
                length[target], came[target] = new, state
                x, y, z = graph.where[other]
                rest = (end[0] - x - u * shape[0], end[1] - y - v * shape[1], end[2] - z - w * shape[2])
                least = max(_distance(graph.to_angstrom, rest), task.floor[other, (u, v, w)[task.axis]])
                if new + least < bound:
                    heappush(queue, (np.float32(new + least), new, np.int64(target)))
    if came[last] < 0:
        return np.inf, np.zeros((0, 3), dtype=np.int64)
    return float(length[last]), _backtrack(graph, came, last, (task.lowest, span))


@numba.njit(cache=True)
def _distance(to_angstrom: NDArray[Any], steps: tuple[int, int, int]) -> float:
    total = 0.0
    for axis in range(3):
        part = steps[0] * to_angstrom[0, axis] + steps[1] * to_angstrom[1, axis] + steps[2] * to_angstrom[2, axis]
        total += part * part
    return float(np.sqrt(total))


@numba.njit(cache=True)
def _image(vector: NDArray[Any], span: NDArray[Any]) -> int:
    return int((vector[0] * span[1] + vector[1]) * span[2] + vector[2])


@numba.njit(cache=True)
def _vector(image: int, span: NDArray[Any]) -> NDArray[Any]:
    rest = image // span[2]
    return np.array([rest // span[1], rest % span[1], image % span[2]])


@numba.njit(cache=True)
def _backtrack(graph: Graph, came: NDArray[Any], last: int, window: tuple[NDArray[Any], NDArray[Any]]) -> NDArray[Any]:
    lowest, span = window
    shape = np.array(graph.number.shape)
    images = span[0] * span[1] * span[2]
    path = []
    state = last
    while state >= 0:
        path.append(state)
        state = came[state]
    nodes = np.empty((len(path), 3), dtype=np.int64)
    for index in range(len(path)):
        state = path[len(path) - 1 - index]
        nodes[index] = graph.where[state // images] + (_vector(state % images, span) + lowest) * shape
    return nodes
