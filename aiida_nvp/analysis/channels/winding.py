"""Union-find with displacement vectors: which parts of a periodic system hang together, and how they wind around it.

Each node stores its parent and the number of periodic cells between the two, packed into one integer so that adding
displacements is one addition. A link that closes a loop adds the loop's winding vector to the lattice of its component,
kept as an integer basis in row echelon form. Clusters: Hoshen and Kopelman 1976, DOI 10.1103/PhysRevB.14.3438; union by
size: Tarjan 1975, DOI 10.1145/321879.321884; winding: Newman and Ziff 2001, DOI 10.1103/PhysRevE.64.016706.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Packed = Any
"""Three components in one integer of 64 bits."""

_BITS = 21
_HALF = 1 << (_BITS - 1)
_MASK = (1 << _BITS) - 1


class Forest(NamedTuple):
    """Components of N nodes.

    :param parent: (N,) int32, a root is its own parent.
    :param shift: (N,) int64, packed cells from the parent to the node.
    :param size: (N,) int32 nodes of the component, valid at roots.
    :param basis: (N, 3, 3) int32 rows that span the winding vectors of the component, valid at roots.
    """

    parent: NDArray[Any]
    shift: NDArray[Any]
    size: NDArray[Any]
    basis: NDArray[Any]


@numba.njit(cache=True)
def make_forest(nodes: int) -> Forest:
    """Return ``nodes`` components of one node each."""
    return Forest(
        np.arange(nodes, dtype=np.int32),
        np.zeros(nodes, dtype=np.int64),
        np.ones(nodes, dtype=np.int32),
        np.zeros((nodes, 3, 3), dtype=np.int32),
    )


@numba.njit(cache=True)
def pack(x: int, y: int, z: int) -> Packed:
    """Return one integer for a vector of cells; the packed sum is the sum of the packed."""
    return np.int64(x) + (np.int64(y) << _BITS) + (np.int64(z) << (2 * _BITS))


@numba.njit(cache=True)
def unpack(packed: Packed) -> NDArray[Any]:
    """Return the (3,) vector of :func:`pack`."""
    vector = np.empty(3, dtype=np.int64)
    for axis in range(3):
        low = packed & _MASK
        if low >= _HALF:
            low -= _MASK + 1
        vector[axis] = low
        packed = (packed - low) >> _BITS
    return vector


@numba.njit(cache=True)
def find(forest: Forest, node: int) -> tuple[int, Packed]:
    """Return the root of a node and the packed cells from the root to the node; halves the path on the way."""
    parent, shift = forest.parent, forest.shift
    total = np.int64(0)
    while parent[node] != node:
        up = parent[node]
        shift[node] += shift[up]
        parent[node] = parent[up]
        total += shift[node]
        node = parent[node]
    return node, total


@numba.njit(cache=True)
def insert(basis: NDArray[Any], vector: NDArray[Any]) -> None:
    """Add a (3,) vector to the lattice that the rows of ``basis`` span; the vector is used up.

    Row i starts at component i. Euclid's algorithm leaves the greatest common divisor of leading components in the row.
    """
    for axis in range(3):
        while vector[axis] != 0:
            if basis[axis, axis] == 0:
                basis[axis] = vector
                vector[:] = 0
                return
            vector -= (vector[axis] // basis[axis, axis]) * basis[axis]
            if vector[axis] != 0:
                for k in range(3):
                    basis[axis, k], vector[k] = vector[k], basis[axis, k]


@numba.njit(cache=True)
def rank(basis: NDArray[Any]) -> int:
    """Return the number of rows in use: 0 pocket, 1 channel, 2 sheet, 3 network."""
    return int(basis[0, 0] != 0) + int(basis[1, 1] != 0) + int(basis[2, 2] != 0)


@numba.njit(cache=True)
def hermite(basis: NDArray[Any]) -> NDArray[Any]:
    """Return the one basis of the same lattice with positive leading components and the least entries above them."""
    form = basis.copy()
    for axis in range(3):
        if form[axis, axis] < 0:
            form[axis] = -form[axis]
        for above in range(axis):
            if form[axis, axis] != 0:
                form[above] -= (form[above, axis] // form[axis, axis]) * form[axis]
    return form


@numba.njit(cache=True)
def join(forest: Forest, first: int, second: int, cells: Packed) -> tuple[int, int]:
    """Link two nodes, the second seen ``cells`` (packed) away from the first.

    :returns: root of what is now one component, and the root that went under it, or -1 where both were one already.
    """
    top, up = find(forest, first)
    low, down = find(forest, second)
    gap = up + cells - down
    if top == low:
        if gap != 0:
            insert(forest.basis[top], unpack(gap))
        return top, -1
    if forest.size[top] < forest.size[low]:
        top, low, gap = low, top, -gap
    forest.parent[low] = top
    forest.shift[low] = gap
    forest.size[top] += forest.size[low]
    for axis in range(3):
        if forest.basis[low, axis, axis] != 0:
            insert(forest.basis[top], forest.basis[low, axis].astype(np.int64))
    return top, low
