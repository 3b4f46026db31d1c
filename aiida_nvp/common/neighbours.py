"""Neighbour pairs of periodic cells, from a library that loads in a moment.

The list of `vesin` is two to three times as fast on full lists, but brings torch into every process that imports it.
It serves the inner loops of the jobs that have torch anyway; everything else takes its pairs from here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_PERIODIC = np.ones(3, dtype=bool)


@dataclass(frozen=True)
class Pairs:
    """P pairs of atoms: indices (P,), lattice shifts (P, 3) and distances (P,) in angstrom.

    The second atom is seen from the first at ``positions[second] - positions[first] + shift @ cell``.
    """

    first: IntArray
    second: IntArray
    shift: FloatArray
    distance: FloatArray


def find_pairs(positions: FloatArray, cell: FloatArray, cutoff: float, *, half: bool = False) -> Pairs:
    """Return all pairs nearer than ``cutoff``, periodic images included, however small the cell.

    :param positions: (N, 3) angstrom, inside the cell or not.
    :param cell: (3, 3) angstrom, rows are vectors.
    :param cutoff: angstrom.
    :param half: each pair once instead of in both directions.
    """
    first, second, shift, distance = neighbour_list(
        "ijSd", positions=positions, cell=cell, pbc=_PERIODIC, cutoff=cutoff
    )
    if half:
        once = _once(first, second, shift)
        first, second, shift, distance = first[once], second[once], shift[once], distance[once]
    return Pairs(first.astype(np.int64), second.astype(np.int64), shift.astype(np.float64), distance)


def _once(first: NDArray[np.int32], second: NDArray[np.int32], shift: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return (P,) one direction of each pair; an atom and its own image count where the image lies ahead."""
    x, y, z = shift.T
    ahead = (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))
    once: NDArray[np.bool_] = (first < second) | ((first == second) & ahead)
    return once
