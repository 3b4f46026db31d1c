"""The shortest closed path through the cells of a channel, over the images of the cell that it winds through."""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import product
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

_OFFSETS = np.array([step for step in product((-1, 0, 1), repeat=3) if any(step)], dtype=np.int64)
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


def shortest_closed_path(inside: NDArray[np.bool_], graph: Graph, winding: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return (K, 3) unwrapped indices of the cells of the shortest closed path, within one per cent of its length.

    Every closed path crosses the plane of cells that the fewest cells of the channel lie in, so it begins on it.
    """
    axis, plane = min(
        ((axis, plane) for axis in np.flatnonzero(winding) for plane in range(inside.shape[axis])),
        key=lambda cut: int(np.take(inside, cut[1], axis=cut[0]).sum()),
    )
    forward = winding * np.sign(winding[axis])
    # One cell of the simulation to each side of the straight line: a way around within a channel stays there.
    lowest, span = np.minimum(forward, 0) - 1, np.abs(forward) + 3
    sources = np.flatnonzero(graph.where[:, axis] == plane)
    floor = _to_next_plane(graph, sources, (int(axis), int(span[axis])), int(forward[axis] - lowest[axis]))
    states = len(graph.where) * int(span.prod())
    length, came = np.full(states, np.inf, dtype=np.float32), np.full(states, -1, dtype=np.int32)
    nodes = _narrowed_down(graph, _Task(forward, lowest, span, int(axis), floor, length, came), sources)
    return nodes if forward[axis] == winding[axis] else nodes[::-1] - nodes[-1] + nodes[0]


def _narrowed_down(graph: Graph, task: _Task, sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the cells of the shortest path from a source to its image, by halving groups of sources.

    The least way from any source of a group to the image of any is a bound for all of them, and of a single source it
    is the answer; the most promising group is halved first (branch and bound).
    """
    best, nodes = np.inf, np.zeros((0, 3), dtype=np.int64)
    groups = [(0.0, 0, sources)]
    count = 0
    while groups:
        least, _, group = heappop(groups)
        if least >= (1 - _TOLERANCE) * best:
            break
        for half in _halves(graph, group):
            length, found = _search(graph, task, half, (1 - _TOLERANCE) * best)
            if length < best and len(half) == 1:
                best, nodes = length, found
            elif length < best:
                count += 1
                heappush(groups, (length, count, half))
    return nodes


def _halves(graph: Graph, group: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    if len(group) == 1:
        return [group]
    where = graph.where[group]
    order = np.argsort(where[:, np.argmax(np.ptp(where, axis=0))], kind="stable")
    return [group[order[: len(group) // 2]], group[order[len(group) // 2 :]]]


class _Task(NamedTuple):
    """What one winding vector asks of a search.

    :param winding: (3,) with a positive component along ``axis``.
    :param lowest: (3,) lowest image of the cell to look at, and the number of images ``span`` along each axis.
    :param floor: (C, span[axis]) least way from a cell of an image to the plane where the next period begins.
    :param length: way to each cell of each image, infinite between searches, and ``came`` the one before, -1; each
        search leaves them as it found them, for filling them anew would cost more than the search.
    """

    winding: NDArray[Any]
    lowest: NDArray[Any]
    span: NDArray[Any]
    axis: int
    floor: NDArray[Any]
    length: NDArray[Any]
    came: NDArray[Any]


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
def _search(graph: Graph, task: _Task, group: NDArray[Any], bound: float) -> tuple[float, NDArray[Any]]:
    """Return the length and the cells of the shortest path from any cell of a group to the image of any.

    Infinity and no cells beyond the bound.
    """
    touched = [np.int64(0) for _ in range(0)]
    state = _reach(graph, task, group, bound, touched)
    if state < 0:
        length, nodes = np.inf, np.zeros((0, 3), dtype=np.int64)
    else:
        length = float(task.length[state])
        nodes = _backtrack(graph, task.came, state, (task.lowest, task.span))
    for place in touched:
        task.length[place], task.came[place] = np.inf, -1
    return length, nodes


@numba.njit(cache=True)
def _reach(graph: Graph, task: _Task, group: NDArray[Any], bound: float, touched: list[Any]) -> int:
    """Search, writing into the task and listing in ``touched`` where; return the last state, -1 beyond the bound."""
    span, length = task.span, task.length
    images = span[0] * span[1] * span[2]
    begin, end = _image(-task.lowest, span), _image(task.winding - task.lowest, span)
    target = np.zeros(len(graph.where), dtype=np.bool_)
    target[group] = True
    ball = _ball(graph, group, task.winding - task.lowest)
    # An empty list alone would not tell the compiler what it holds.
    queue = [(np.float32(0.0), np.float32(0.0), np.int64(0)) for _ in range(0)]
    for source in group:
        length[source * images + begin] = 0.0
        touched.append(np.int64(source * images + begin))
        queue.append((np.float32(0.0), np.float32(0.0), np.int64(source * images + begin)))
    while len(queue) > 0:
        through, so_far, state = heappop(queue)
        here, image = state // images, state % images
        if through >= bound:
            return -1
        if target[here] and image == end:
            return int(state)
        if so_far > length[state]:
            continue
        place = (image // (span[1] * span[2]), image // span[2] % span[1], image % span[2])
        for step in range(len(_OFFSETS)):
            other, beyond = graph.near[here, step], _next_image(place, graph.over, (here, step), span)
            new, there = np.float32(so_far + graph.step[step]), other * images + beyond
            if other >= 0 and beyond >= 0 and new < length[there]:
                least = new + _least(graph, task, (other, beyond), ball)
                if least < bound:
                    if length[there] == np.inf:
                        touched.append(np.int64(there))
                    length[there], task.came[there] = new, state
                    heappush(queue, (np.float32(least), new, np.int64(there)))
    return -1


@numba.njit(cache=True, inline="always")
def _next_image(image: tuple[int, int, int], over: NDArray[Any], step: tuple[int, int], span: NDArray[Any]) -> int:
    """Return the image after a step from a cell, -1 outside of those that are looked at."""
    cell, which = step
    u, v, w = image[0] + over[cell, which, 0], image[1] + over[cell, which, 1], image[2] + over[cell, which, 2]
    if u < 0 or v < 0 or w < 0 or u >= span[0] or v >= span[1] or w >= span[2]:
        return -1
    return int((u * span[1] + v) * span[2] + w)


@numba.njit(cache=True, inline="always")
def _least(graph: Graph, task: _Task, place: tuple[int, int], ball: tuple[NDArray[Any], float]) -> float:
    """Return a bound for the way that is left: straight to the ball of the targets, or to the plane they lie in."""
    cell, image = place
    centre, radius = ball
    shape, span = graph.number.shape, task.span
    x, y, z = graph.where[cell]
    u, v, w = image // (span[1] * span[2]), image // span[2] % span[1], image % span[2]
    rest = (centre[0] - x - u * shape[0], centre[1] - y - v * shape[1], centre[2] - z - w * shape[2])
    straight = _distance(graph.to_angstrom, rest) - radius
    return float(max(straight, task.floor[cell, (u, v, w)[task.axis]]))


@numba.njit(cache=True)
def _ball(graph: Graph, group: NDArray[Any], image: NDArray[Any]) -> tuple[NDArray[Any], float]:
    """Return centre (in cells of the grid) and radius in angstrom of a ball around an image of a group."""
    centre = np.zeros(3)
    for cell in group:
        centre += graph.where[cell] / len(group)
    radius = 0.0
    for cell in group:
        away = centre - graph.where[cell]
        radius = max(radius, _distance(graph.to_angstrom, (away[0], away[1], away[2])))
    for axis in range(3):
        centre[axis] += image[axis] * graph.number.shape[axis]
    return centre, radius


@numba.njit(cache=True)
def _distance(to_angstrom: NDArray[Any], steps: tuple[float, float, float]) -> float:
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
