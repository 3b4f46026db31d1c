"""Free volume and cavities: the space outside the atoms, and where a probe of some radius finds room in it.

On a grid each point knows its *clearance*, the distance to the nearest atom less the radius of that atom. Points of
positive clearance are free. Points where the centre of a probe may lie hang together, through the faces of the cell
too, as cavities. The results depend on the radii, which are stated: no scale of atoms is the true one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import covalent_radii
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from aiida_nvp.analysis.channels.clusters import clusters
from aiida_nvp.analysis.channels.sweep import sweep
from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.statistics import FloatArray, Number, RunningBlocks
from aiida_nvp.analysis.structure.species import check_same, parse, species_of
from aiida_nvp.common.errors import InputError

_FIRST_REACH = 4.0


@dataclass(frozen=True)
class CavityResult:
    """Free space of a run.

    :param free_share: share of the volume outside all atoms.
    :param probe_share: share where the centre of the probe may lie.
    :param cavities_per_nm3: separate cavities for the probe.
    :param largest_radius: radius in angstrom of the largest sphere that fits between the atoms, mean over frames.
    :param largest_ever: the same in any frame.
    :param passing_radius: radius of the largest sphere that can cross the cell; zero where none can.
    :param void_share: share of the volume of the largest cavity for the probe.
    """

    free_share: Number
    probe_share: Number
    cavities_per_nm3: Number
    largest_radius: Number
    largest_ever: float
    passing_radius: Number
    void_share: Number


class Cavities:
    """Accumulates the free space.

    :param numbers: (N,) atomic numbers of every frame.
    :param radii: radius in angstrom by species; others have their covalent radius (Cordero et al. 2008, DOI
        10.1039/B801115J).
    :param probe: radius of the probe in angstrom.
    :param spacing: of the grid in angstrom.
    :raises InputError: on an unknown species, a radius that is negative, or a grid that is none.
    """

    def __init__(
        self,
        numbers: NDArray[Any],
        radii: Mapping[str, float] | None = None,
        probe: float = 1.0,
        spacing: float = 0.5,
    ) -> None:
        self._numbers = np.asarray(numbers)
        self.radii = {number: float(covalent_radii[number]) for number in species_of(self._numbers)}
        for name, radius in (radii or {}).items():
            self.radii[parse(name, 1, self._numbers)[0]] = radius
        if not (probe >= 0 and spacing > 0 and min(self.radii.values()) >= 0):
            raise InputError(
                f"cavities need radii and a probe of at least 0 and a positive spacing; they are "
                f"{sorted(self.radii.values())}, {probe} and {spacing}."
            )
        self._probe, self._spacing = probe, spacing
        self._largest = 0.0
        self._blocks = RunningBlocks()

    def add(self, frame: Frame) -> None:
        """Look at one frame.

        :raises InputError: if the atoms are others.
        """
        check_same(self._numbers, frame.numbers)
        clear = clearance(frame, self.radii, self._spacing)
        groups = clusters(clear > self._probe)
        first = sweep(np.maximum(clear, 0.0)).levels.get(1)
        largest = float(clear.max())
        self._largest = max(self._largest, largest)
        self._blocks.add(
            [
                (clear > 0).mean(),
                (clear > self._probe).mean(),
                1000 * groups.count / frame.volume,
                largest,
                0.0 if first is None else first.density,
                groups.sizes.max(initial=0) / clear.size,
            ]
        )

    def result(self) -> CavityResult:
        """Return the means over the frames so far.

        :raises InputError: if there was none.
        """
        curve = self._blocks.curve()
        free, probe, count, largest, passing, void = (curve.number(kind) for kind in range(6))
        return CavityResult(free, probe, count, largest, max(self._largest, 0.0), passing, void)


def clearance(frame: Frame, radii: Mapping[int, float], spacing: float) -> FloatArray:
    """Return (n, m, k) distances in angstrom from the points of a periodic grid to the surface of the nearest atom.

    :param radii: angstrom by atomic number.
    :param spacing: largest step of the grid along a cell vector in angstrom.
    """
    shape = np.maximum(np.ceil(np.linalg.norm(frame.cell, axis=1) / spacing), 1).astype(np.int64)
    grid = np.stack(np.meshgrid(*[np.arange(n) / n for n in shape], indexing="ij"), axis=-1).reshape(-1, 3)
    points, nearest = grid @ frame.cell, np.full(len(grid), np.inf)
    for number, radius in radii.items():
        inside = frame.fractional[frame.numbers == number]
        distance = np.full(len(grid), np.inf)
        missing, reach = np.arange(len(grid)), _FIRST_REACH
        # Far from all atoms of a species only its distance from a closer one matters, so that the search may end.
        while len(missing):
            found, _ = cKDTree(_with_images(inside, frame, reach) @ frame.cell).query(
                points[missing], distance_upper_bound=reach
            )
            distance[missing] = found
            missing = missing[(found > reach) & (nearest[missing] > reach - radius)]
            reach *= 2
        nearest = np.minimum(nearest, distance - radius)
    return np.asarray(nearest.reshape(shape))


def _with_images(inside: FloatArray, frame: Frame, reach: float) -> FloatArray:
    """Return fractional coordinates of atoms and of their images within ``reach`` of the cell."""
    extra = reach / frame.widths
    found = inside
    for axis in range(3):
        steps = np.arange(-int(np.ceil(extra[axis])), int(np.ceil(extra[axis])) + 1)
        moved = found[None] + steps[:, None, None] * np.eye(3)[axis]
        moved = moved.reshape(-1, 3)
        found = moved[(moved[:, axis] > -extra[axis]) & (moved[:, axis] < 1 + extra[axis])]
    return found
