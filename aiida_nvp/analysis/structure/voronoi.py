"""Voronoi volumes of the atoms: what space each has to itself."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import QhullError, Voronoi

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.statistics import FloatArray, Number, RunningBlocks
from aiida_nvp.analysis.structure.species import check_same, species_of, symbol_of
from aiida_nvp.common.errors import InputError

_MARGIN = 6.0
"""Images up to here around the cell are enough for all but a cavity (angstrom); the sum of the volumes tells."""
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class AtomVolumes:
    """Voronoi volumes of one species in cubic angstrom.

    :param mean: mean over atoms and frames.
    :param spread: standard deviation from atom to atom.
    """

    mean: Number
    spread: Number


class VoronoiVolumes:
    """Accumulates the Voronoi volumes by species.

    :param numbers: (N,) atomic numbers of every frame.
    """

    def __init__(self, numbers: NDArray[Any]) -> None:
        self._numbers = np.asarray(numbers)
        self._blocks = RunningBlocks()

    def add(self, frame: Frame) -> None:
        """Measure one frame.

        :raises InputError: if the atoms are others, or two of them lie on one point.
        """
        check_same(self._numbers, frame.numbers)
        volumes = voronoi_volumes(frame)
        groups = [volumes[self._numbers == number] for number in species_of(self._numbers)]
        self._blocks.add([[group.mean(), (group**2).mean()] for group in groups])

    def result(self) -> dict[str, AtomVolumes]:
        """Return by species the means over the frames so far.

        :raises InputError: if there was none.
        """
        mean = self._blocks.curve(lambda sums: sums[:, 0])
        spread = self._blocks.curve(lambda sums: np.sqrt(np.maximum(sums[:, 1] - sums[:, 0] ** 2, 0)))
        return {
            symbol_of(number): AtomVolumes(mean.number(row), spread.number(row))
            for row, number in enumerate(species_of(self._numbers))
        }


def voronoi_volumes(frame: Frame) -> FloatArray:
    """Return (N,) volumes in cubic angstrom of the space nearer to an atom than to any other; they fill the cell.

    :raises InputError: if two atoms lie on one point.
    """
    # No point is further from an atom than half of all edges together, and images twice as far decide everything.
    margin, widest = _MARGIN, _MARGIN + float(np.linalg.norm(frame.cell, axis=1).sum())
    volumes = _volumes(frame, margin)
    while margin < widest and abs(volumes.sum() - frame.volume) > _TOLERANCE * frame.volume:
        margin *= 1.5
        volumes = _volumes(frame, margin)
    if not ((volumes > 0).all() and abs(volumes.sum() - frame.volume) < _TOLERANCE * frame.volume):
        raise InputError("the Voronoi volumes do not fill the cell: two atoms of the frame lie on one point.")
    return volumes


def _volumes(frame: Frame, margin: float) -> FloatArray:
    atoms, fractional = len(frame.numbers), frame.fractional
    reach = margin / frame.widths
    images = [range(-int(np.ceil(extra)), int(np.ceil(extra)) + 1) for extra in reach]
    around = np.array([shift for shift in product(*images) if any(shift)])
    outside = (fractional[None] + around[:, None]).reshape(-1, 3)
    outside = outside[((outside > -reach) & (outside < 1 + reach)).all(axis=1)]
    points = np.concatenate([fractional, outside]) @ frame.cell
    try:
        found = Voronoi(points)
    except QhullError:
        # Too few images to enclose anything.
        return np.zeros(atoms)
    # A facet between two atoms is the base of two pyramids of equal height.
    ends = found.ridge_points
    corners = np.array([len(vertices) for vertices in found.ridge_vertices])
    flat = np.fromiter(chain.from_iterable(found.ridge_vertices), dtype=np.int64, count=int(corners.sum()))
    facet = np.repeat(np.arange(len(corners)), corners)
    place = found.vertices[flat]
    first = np.cumsum(corners) - corners
    following = np.arange(1, len(flat) + 1)
    following[first + corners - 1] = first
    origin = place[first][facet]
    turned = np.cross(place - origin, place[following] - origin)
    area = 0.5 * np.linalg.norm(np.stack([np.bincount(facet, turned[:, k]) for k in range(3)], axis=1), axis=1)
    # Facets without end belong to the outermost images only.
    area[np.minimum.reduceat(flat, first) < 0] = 0.0
    height = 0.5 * np.linalg.norm(points[ends[:, 1]] - points[ends[:, 0]], axis=1)
    both = np.bincount(ends.ravel(), np.repeat(area * height / 3, 2), minlength=len(points))
    return np.asarray(both[:atoms], dtype=np.float64)
