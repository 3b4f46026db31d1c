"""Rings of the network: closed paths of formers joined by shared ligands that no path through the network cuts short.

A ring counts if, for any two of its formers, no path is shorter than the one along the ring: shortest-path rings, also
called primitive (Franzblau 1991, DOI 10.1103/PhysRevB.44.4925). Other definitions count others. The size is the number
of formers. Paths are followed into the images of the cell, so that a chain that closes only through its faces is no
ring, and a small cell gives the rings of its crystal. Two formers that share an edge make no ring of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import Number, RunningBlocks, ratio
from aiida_nvp.analysis.structure.bonds import BondRules, Links
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.common.errors import InputError

SMALLEST = 3
_LARGEST = 24
_BALL = 4096
"""Formers within half of the largest ring; more means that nearly everything is linked to everything."""


@dataclass(frozen=True)
class RingStatistics:
    """Rings by size.

    :param per_former: rings of each size that occurs, divided by the number of formers.
    :param mean_size: mean size of all rings found.
    :param largest: size up to which rings were looked for.
    """

    per_former: dict[int, Number]
    mean_size: Number
    largest: int


class Rings:
    """Accumulates the rings of the network.

    :param rules: with formers.
    :param largest: rings of more formers are not looked for; time rises steeply with it.
    :raises InputError: without formers, or if the size makes no sense.
    """

    def __init__(self, rules: BondRules, largest: int = 10) -> None:
        if not rules.formers:
            raise InputError("rings need the species that form the network; name the formers.")
        if not SMALLEST <= largest <= _LARGEST:
            raise InputError(f"the largest ring must have {SMALLEST} to {_LARGEST} formers; it is {largest}.")
        self._largest = largest
        self._formers = int(np.isin(rules.numbers, rules.formers).sum())
        self._blocks = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Count the rings of one frame.

        :raises InputError: if the formers are linked so densely that rings lose their meaning.
        """
        self._blocks.add(count_rings(environment.links, len(environment.frame.numbers), self._largest) / self._formers)

    def result(self) -> RingStatistics:
        """Return the means over the frames so far.

        :raises InputError: if there was none.
        """
        curve = self._blocks.curve()
        sizes = np.arange(self._largest + 1, dtype=np.float64)
        return RingStatistics(
            per_former={int(n): curve.number(int(n)) for n in np.flatnonzero(curve.mean > 0)},
            mean_size=self._blocks.number(lambda counts: ratio(counts @ sizes, counts.sum())),
            largest=self._largest,
        )


def count_rings(links: Links, atoms: int, largest: int) -> NDArray[np.float64]:
    """Return (largest + 1,) numbers of shortest-path rings in a cell by size.

    :param links: the pairs of atoms that are joined, each once.
    :param atoms: number of atoms in the cell.
    :raises InputError: if the atoms are linked too densely.
    """
    first = np.concatenate([links.first, links.second])
    order = np.argsort(first, kind="stable")
    to = np.concatenate([links.second, links.first])[order]
    shift = np.concatenate([links.shift, -links.shift])[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(first, minlength=atoms))]).astype(np.int64)
    counts: NDArray[np.float64] = _rings(starts, to, shift, largest)
    if counts[0] < 0:
        raise InputError(
            f"more than {_BALL} formers lie within {largest // 2} links of one; shorten the bonds or the largest ring."
        )
    return counts


@numba.njit(cache=True)
def _ball(
    root: int, net: tuple[Any, Any, Any], radius: int, node: NDArray[Any], index: tuple[Any, Any]
) -> tuple[int, Any, Any]:
    """List the nodes within ``radius`` links of the root, in the periodic network, and how they are joined.

    Writes atom and shift into ``node``; ``index`` is a chain of nodes by atom. Returns the number of nodes, -1 if they
    do not fit, and the neighbours of each as ranges of a list.
    """
    starts, to, shift = net
    head, following = index
    node[0, 0], node[0, 1:] = root, 0
    head[root], following[0] = 0, -1
    size, begin, end = 1, 0, 1
    for _ in range(radius):
        for place in range(begin, end):
            for link in range(starts[node[place, 0]], starts[node[place, 0] + 1]):
                if _find(node, index, place, to[link], shift[link]) >= 0:
                    continue
                if size == len(node):
                    return -1, starts, to
                node[size, 0] = to[link]
                node[size, 1:] = node[place, 1:] + shift[link]
                following[size] = head[to[link]]
                head[to[link]] = size
                size += 1
        begin, end = end, size
    ranges = np.zeros(size + 1, dtype=np.int64)
    links = 0
    for place in range(size):
        links += starts[node[place, 0] + 1] - starts[node[place, 0]]
    joined = np.empty(links, dtype=np.int64)
    count = 0
    for place in range(size):
        for link in range(starts[node[place, 0]], starts[node[place, 0] + 1]):
            other = _find(node, index, place, to[link], shift[link])
            if other >= 0:
                joined[count] = other
                count += 1
        ranges[place + 1] = count
    return size, ranges, joined


@numba.njit(cache=True)
def _find(node: NDArray[Any], index: tuple[Any, Any], place: int, atom: int, shift: NDArray[Any]) -> int:
    """Return the node of ``atom`` at a shift from that of ``place``, -1 where there is none."""
    head, following = index
    other = head[atom]
    while other >= 0:
        if (
            node[other, 1] == node[place, 1] + shift[0]
            and node[other, 2] == node[place, 2] + shift[1]
            and node[other, 3] == node[place, 3] + shift[2]
        ):
            return int(other)
        other = following[other]
    return -1


@numba.njit(cache=True)
def _distances(ranges: NDArray[Any], joined: NDArray[Any], far: int) -> NDArray[Any]:
    """Return links between all nodes of a ball, ``far`` where there are that many or more."""
    size = len(ranges) - 1
    found = np.full((size, size), far, dtype=np.int8)
    queue = np.empty(size, dtype=np.int64)
    for origin in range(size):
        row = found[origin]
        row[origin] = 0
        queue[0] = origin
        read, written = 0, 1
        while read < written:
            here = queue[read]
            read += 1
            if row[here] + 1 >= far:
                continue
            for place in range(ranges[here], ranges[here + 1]):
                other = joined[place]
                if row[other] == far:
                    row[other] = row[here] + 1
                    queue[written] = other
                    written += 1
    return found


@numba.njit(cache=True)
def _extends(path: NDArray[Any], length: int, node: int, apart: NDArray[Any], largest: int) -> bool:
    """Return whether a path may go on to a node and still become a ring without a shortcut."""
    back = apart[node, 0]
    if length + back > largest or back == 0:
        return False
    for place in range(length):
        along = length - place
        if apart[node, path[place]] < min(along, length + back - along):
            return False
    return True


@numba.njit(cache=True)
def _closed(path: NDArray[Any], length: int, apart: NDArray[Any]) -> bool:
    """Return whether no two nodes of a ring are nearer than along it."""
    for a in range(length):
        for b in range(a + 2, length):
            if apart[path[a], path[b]] < min(b - a, length - b + a):
                return False
    return True


@numba.njit(cache=True)
def _rings_from(
    node: NDArray[Any], ranges: NDArray[Any], joined: NDArray[Any], apart: NDArray[Any], counts: NDArray[Any]
) -> None:
    """Count the rings through node 0 that have no atom of a lower number."""
    largest, root = len(counts) - 1, node[0, 0]
    path = np.zeros(largest + 1, dtype=np.int64)
    cursor = np.zeros(largest + 1, dtype=np.int64)
    cursor[0], length = ranges[0], 1
    while length > 0:
        here = path[length - 1]
        if cursor[length - 1] == ranges[here + 1]:
            length -= 1
            continue
        other = joined[cursor[length - 1]]
        cursor[length - 1] += 1
        if other == 0:
            # Each ring is walked both ways; one of them counts. An atom and its images all serve as roots of a ring.
            if length >= SMALLEST and path[1] < here and _closed(path, length, apart):
                same = 0
                for place in range(length):
                    same += node[path[place], 0] == root
                counts[length] += 1.0 / same
        elif node[other, 0] >= root and length < largest and _extends(path, length, other, apart, largest):
            path[length] = other
            cursor[length] = ranges[other]
            length += 1


@numba.njit(cache=True)
def _rings(starts: NDArray[Any], to: NDArray[Any], shift: NDArray[Any], largest: int) -> NDArray[Any]:
    counts = np.zeros(largest + 1)
    atoms = len(starts) - 1
    head, following = np.full(atoms, -1, dtype=np.int64), np.empty(_BALL, dtype=np.int64)
    node = np.zeros((_BALL, 4), dtype=np.int64)
    for root in range(atoms):
        if starts[root + 1] == starts[root]:
            continue
        size, ranges, joined = _ball(root, (starts, to, shift), largest // 2, node, (head, following))
        if size < 0:
            counts[0] = -1.0
            return counts
        apart = _distances(ranges, joined, largest // 2 + 1)
        _rings_from(node, ranges, joined, apart, counts)
        for place in range(size):
            head[node[place, 0]] = -1
    return counts
