"""Where the ions of a species are: counts on a grid that moves with the cell, one frame after the other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numba
import numpy as np
from ase import Atoms
from ase.data import atomic_masses
from ase.io.cube import write_cube
from numpy.typing import ArrayLike, NDArray

from aiida_nvp.analysis.structure.species import atoms_of
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory

_TRUNCATE = 3.0
"""Widths at which the blur ends: beyond them a cell that no ion visited stays exactly empty."""


class DensityGrid:
    """A streaming histogram in fractional coordinates; its memory does not depend on the number of frames.

    Under a variable cell the grid deforms with it: the cells of the grid follow the material, and lengths are those of
    the mean cell.

    :param shape: cells of the grid along the three cell vectors.
    :raises InputError: if one of them is not positive.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        if len(shape) != len("xyz") or min(shape) < 1:
            raise InputError(f"a density grid needs three positive numbers of cells, not {shape}.")
        self.counts = np.zeros(shape, dtype=np.int64)
        self.frames = 0
        self._cells = np.zeros((3, 3))

    @classmethod
    def for_cell(cls, cell: ArrayLike, spacing: float) -> Self:
        """Return an empty grid of about ``spacing`` angstrom along each vector of a (3, 3) cell.

        :raises InputError: if the spacing is not positive.
        """
        if not spacing > 0:
            raise InputError(f"the spacing of a density grid must be positive; it is {spacing} angstrom.")
        n, m, k = np.maximum(1, np.rint(np.linalg.norm(np.asarray(cell), axis=1) / spacing)).astype(int).tolist()
        return cls((n, m, k))

    def add(self, positions: ArrayLike, cell: ArrayLike) -> None:
        """Count the (N, 3) positions in angstrom, wrapped or not, of one frame in its (3, 3) cell.

        :raises InputError: if a position is not finite.
        """
        box = np.asarray(cell, dtype=np.float64)
        self.add_fractional(np.asarray(positions, dtype=np.float64) @ np.linalg.inv(box), box)

    def add_fractional(self, fractional: NDArray[np.float64], cell: ArrayLike) -> None:
        """Count (N, 3) fractional coordinates of one frame.

        :raises InputError: if a coordinate is not finite.
        """
        if not np.isfinite(fractional).all():
            raise InputError(f"density: a position of frame {self.frames} is not finite.")
        _count(np.ascontiguousarray(fractional, dtype=np.float64), self.counts)
        self._cells += np.asarray(cell, dtype=np.float64)
        self.frames += 1

    def __add__(self, other: DensityGrid) -> DensityGrid:
        """Return the histogram of the frames of both.

        :raises InputError: if their shapes differ.
        """
        if self.counts.shape != other.counts.shape:
            raise InputError(f"density grids of {self.counts.shape} and {other.counts.shape} cells do not add up.")
        total = DensityGrid(self.counts.shape)
        total.counts = self.counts + other.counts
        total.frames = self.frames + other.frames
        total._cells = self._cells + other._cells
        return total

    @property
    def cell(self) -> NDArray[np.float64]:
        """(3, 3) mean cell in angstrom.

        :raises InputError: if no frame was added.
        """
        if not self.frames:
            raise InputError("the density grid has no frame yet.")
        return self._cells / self.frames

    @property
    def voxel_volume(self) -> float:
        """Volume in angstrom^3 of a cell of the grid in the mean cell."""
        return float(abs(np.linalg.det(self.cell))) / self.counts.size

    def density(self, blur: float = 0.0) -> NDArray[np.float64]:
        """Return the (n, m, k) mean number density in 1/angstrom^3.

        :param blur: width in angstrom of a Gaussian, cut at three widths, that smooths the counts; it is round in
            space whatever the shape of the cell, and keeps the number of ions.
        """
        per_voxel = self.counts / (self.frames or 1) / self.voxel_volume
        return per_voxel if blur <= 0 else _blurred(per_voxel, self.cell, blur)

    def write_cube(self, path: str | Path, values: NDArray[np.float64], atoms: Atoms | None = None) -> None:
        """Write ``values`` on this grid as a Gaussian cube file, for VESTA and OVITO.

        Lengths in a cube file are in bohr; the values stay as they are, and the first line says that they are in
        1/angstrom^3. The origin is the centre of the first cell of the grid.

        :param values: (n, m, k), for example :meth:`density`.
        :param atoms: what to draw along, in the mean cell; nothing by default.
        :raises InputError: if the shape is not that of the grid.
        """
        if values.shape != self.counts.shape:
            raise InputError(f"values of shape {values.shape} are not on this grid of {self.counts.shape} cells.")
        # Readers take the sign of the number of atoms for the unit of lengths: without any atom it has none.
        shown = Atoms("X", positions=[[0, 0, 0]]) if atoms is None else atoms.copy()
        shown.set_cell(self.cell)
        origin = (0.5 / np.array(values.shape)) @ self.cell
        comment = f"number density in 1/angstrom^3, mean of {self.frames} frames; lengths in bohr"
        with Path(path).open("w", encoding="ascii") as file:
            write_cube(file, shown, values, origin=origin, comment=comment)


def species_density(trajectory: Trajectory, species: str, spacing: float = 0.5) -> DensityGrid:
    """Return the histogram of one species, seen from the rest of the atoms.

    :param spacing: edge of a cell of the grid in angstrom.
    :raises InputError: on an unknown species.
    """
    (whole,) = density_parts(trajectory, species, spacing, 1)
    return whole


def density_parts(trajectory: Trajectory, species: str, spacing: float, parts: int) -> list[DensityGrid]:
    """Return the histograms of consecutive parts of a run on one common grid; their sum is that of the run.

    :raises InputError: on an unknown species, or fewer frames than parts.
    """
    if len(trajectory) < parts:
        raise InputError(f"a density in {parts} parts needs as many frames; the trajectory has {len(trajectory)}.")
    template = DensityGrid.for_cell(trajectory.cells[0], spacing)
    grids = [DensityGrid(template.counts.shape) for _ in range(parts)]
    frames = zip(host_frame(trajectory, species), trajectory.cells, strict=True)
    for index, (fractional, cell) in enumerate(frames):
        grids[index * parts // len(trajectory)].add_fractional(fractional, cell)
    return grids


def host_frame(trajectory: Trajectory, species: str) -> Iterator[NDArray[np.float64]]:
    """Yield, frame by frame, (n, 3) unwrapped fractional coordinates of a species in the frame where its host rests.

    The host is all other atoms: channels belong to it, and a thermostat lets it drift. Without a host nothing is
    subtracted.

    :raises InputError: on an unknown species.
    """
    chosen = species_indices(trajectory, species)
    host = np.setdiff1d(np.arange(len(trajectory.numbers)), chosen)
    masses = atomic_masses[trajectory.numbers[host]]
    start = None
    for positions, cell in zip(trajectory.positions, trajectory.cells, strict=True):
        fractional = positions.astype(np.float64) @ np.linalg.inv(cell)
        centre = masses @ fractional[host] / masses.sum() if len(host) else np.zeros(3)
        start = centre if start is None else start
        yield fractional[chosen] - (centre - start)


def species_indices(trajectory: Trajectory, species: str) -> NDArray[np.int64]:
    """Return the atoms of a species.

    :raises InputError: if there are none.
    """
    return atoms_of(trajectory.numbers, species, "mobile species")


@numba.njit(cache=True)
def _count(fractional: NDArray[Any], counts: NDArray[Any]) -> None:
    n, m, k = counts.shape
    for ion in range(len(fractional)):
        x = int(np.floor(fractional[ion, 0] * n)) % n
        y = int(np.floor(fractional[ion, 1] * m)) % m
        z = int(np.floor(fractional[ion, 2] * k)) % k
        counts[x, y, z] += 1


def _blurred(values: NDArray[np.float64], cell: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    kernel = _kernel(values.shape, cell, width)
    product = np.fft.rfftn(values) * np.fft.rfftn(kernel)
    smooth: NDArray[np.float64] = np.fft.irfftn(product, s=values.shape, axes=(0, 1, 2))
    # What is smaller than the least that one count can leave is round-off of a cell that none has reached.
    least = kernel[kernel > 0].min() * values[values > 0].min(initial=np.inf)
    smooth[smooth < 0.5 * least] = 0.0
    return smooth


def _kernel(shape: tuple[int, ...], cell: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return the periodic Gaussian of unit sum around the first cell of the grid."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0) / np.array(shape)
    reach = np.ceil(_TRUNCATE * width / heights).astype(int)
    steps = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij"), axis=-1).reshape(-1, 3)
    squared = np.sum((steps / np.array(shape) @ cell) ** 2, axis=1)
    near = squared <= (_TRUNCATE * width) ** 2
    weights = np.exp(-squared[near] / (2 * width**2))
    kernel = np.zeros(shape)
    np.add.at(kernel, tuple((steps[near] % np.array(shape)).T), weights / weights.sum())
    return kernel
