"""Paths of ions over a whole run, handed out block by block, so that a run need not fit into memory.

What a displacement needs is one ion at all times, what a file holds is all ions at one time. A provider of paths turns
one into the other and takes two motions out that no ion makes by itself: that of a reference (by default the centre of
mass of all atoms), and that of a cell that breathes. In a cell that changes, a displacement is measured in fractional
coordinates and multiplied by the mean cell. Volume fluctuations then add nothing to it, however far an ion has gone,
which unwrapping in Cartesian coordinates does not guarantee (DOI 10.1063/5.0008316).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_masses
from numpy.typing import NDArray

from aiida_nvp.analysis.structure.species import atoms_of
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import (
    CELLS,
    FRAMES_PER_BLOCK,
    POSITIONS,
    SPECIES,
    STAGE,
    STEP,
    TIME,
    Trajectory,
    open_trajectory,
)

IONS_PER_BLOCK = 256
MEMORY_BYTES = 256_000_000
"""What a provider that reads a file may hold of it at once."""
MINIMUM_FRAMES = 4
MOST_CELL_CHANGE = 0.1
"""Beyond this change of a cell against its mean the frames are those of a compression, not of a state."""

_STEADY_CELL = 1e-9
_STEADY_INTERVAL = 1e-3
_FLOAT32_BYTES = 4
_SLAB_BYTES = 16_000_000

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Paths(ABC):
    """T equally spaced frames of N ions, read by blocks of ions.

    :param numbers: (N,) atomic numbers.
    :param time_ps: (T,) time of each frame.
    :param cells: (T, 3, 3) angstrom, rows are vectors.
    :param rest: species whose common centre of mass is the frame of reference; None for all atoms, empty for the
        coordinates as they are.
    :raises InputError: on fewer than four frames, unequal intervals, an unknown species, or a cell that changes by more
        than a tenth.
    """

    def __init__(
        self, numbers: NDArray[np.int32], time_ps: FloatArray, cells: FloatArray, rest: Sequence[str] | None = None
    ) -> None:
        self.numbers = numbers
        self.interval_ps = frame_interval(time_ps)
        self.n_frames = len(time_ps)
        self.cell: FloatArray = cells.mean(axis=0)
        self._rest = rest
        self._to_mean_cell = _to_mean_cell(cells, self.cell)
        self._drift: FloatArray | None = None

    @property
    def volume(self) -> float:
        """Volume of the mean cell in angstrom^3."""
        return float(abs(np.linalg.det(self.cell)))

    def ions(self, species: str) -> IntArray:
        """Return the indices of the ions of ``species``.

        :raises InputError: if there are none.
        """
        return atoms_of(self.numbers, species)

    def block(self, ions: IntArray) -> FloatArray:
        """Return (T, n, 3) paths in angstrom of the n ions with these indices, without drift."""
        return self._finish(self._raw(ions))

    def blocks(self, ions: IntArray, size: int = IONS_PER_BLOCK) -> Iterator[FloatArray]:
        """Yield the paths of ``ions`` in their order, ``size`` at a time."""
        for start in range(0, len(ions), size):
            yield self.block(ions[start : start + size])

    @abstractmethod
    def _raw(self, ions: IntArray) -> NDArray[np.float32]:
        """Return (T, n, 3) coordinates as stored."""

    @abstractmethod
    def _slabs(self) -> Iterator[NDArray[np.float32]]:
        """Yield all atoms, some frames at a time."""

    def _finish(self, raw: NDArray[np.float32]) -> FloatArray:
        paths = raw.astype(np.float64)
        if self._to_mean_cell is not None:
            paths = paths @ self._to_mean_cell
        if self._rest is None or len(self._rest):
            paths -= self._reference()[:, None, :]
        return paths

    def _reference(self) -> FloatArray:
        """Return (T, 3) the way that the reference has gone since the first frame."""
        if self._drift is None:
            weights = self._weights()
            centre = np.concatenate(
                [np.einsum("n,tna->ta", weights, slab.astype(np.float64)) for slab in self._slabs()]
            )
            if self._to_mean_cell is not None:
                centre = np.einsum("ta,tab->tb", centre, self._to_mean_cell)
            self._drift = centre - centre[0]
        return self._drift

    def _weights(self) -> FloatArray:
        weights: FloatArray = atomic_masses[self.numbers].copy()
        if self._rest is not None:
            resting = np.concatenate([self.ions(species) for species in self._rest])
            weights[np.setdiff1d(np.arange(len(weights)), resting)] = 0.0
        weights /= weights.sum()
        return weights


class MemoryPaths(Paths):
    """Paths from a trajectory in memory.

    :param trajectory: the frames.
    :param rest: see :class:`Paths`.
    """

    def __init__(self, trajectory: Trajectory, rest: Sequence[str] | None = None) -> None:
        super().__init__(trajectory.numbers, trajectory.time_ps, trajectory.cells, rest)
        self._positions = trajectory.positions

    def _raw(self, ions: IntArray) -> NDArray[np.float32]:
        consecutive = len(ions) > 0 and bool((np.diff(ions) == 1).all())
        # A slice is a view, which spares the copy that an index array makes.
        return self._positions[:, ions[0] : ions[-1] + 1] if consecutive else self._positions[:, ions]

    def _slabs(self) -> Iterator[NDArray[np.float32]]:
        frames = frames_per_slab(len(self.numbers))
        for start in range(0, self.n_frames, frames):
            yield self._positions[start : start + frames]


class FilePaths(Paths):
    """Paths from an H5MD file of this project, with bounded memory.

    The chunks of the file hold all atoms of some frames, so that one ion costs a pass over the file. Each pass
    therefore takes as many ions as the memory holds. One more pass finds the drift.

    :param path: the H5MD file.
    :param stage: index of the stage of the thermal schedule; None for all frames.
    :param rest: see :class:`Paths`.
    :param memory_bytes: most bytes of coordinates held between blocks.
    :raises InputError: also if the file is missing or damaged, or the stage is not in it.
    """

    def __init__(
        self,
        path: str | Path,
        stage: int | None = None,
        rest: Sequence[str] | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        with open_trajectory(path) as file:
            frames = len(file[STEP])
            stages = file[STAGE][:frames]
            numbers, times, cells = file[SPECIES][:], file[TIME][:frames], file[CELLS][:frames]
        self._path = Path(path)
        self._frames = np.arange(frames) if stage is None else np.flatnonzero(stages == stage)
        if stage is not None and not len(self._frames):
            present = ", ".join(str(value) for value in np.unique(stages)) or "none"
            raise InputError(f"the trajectory has no frame of stage {stage}; its stages are {present}.")
        super().__init__(numbers.astype(np.int32), times[self._frames], cells[self._frames], rest)
        self._memory_bytes = memory_bytes

    def blocks(self, ions: IntArray, size: int = IONS_PER_BLOCK) -> Iterator[FloatArray]:
        """Yield the paths of ``ions`` in their order, ``size`` at a time, with as few passes over the file as fit."""
        bytes_of_ion = 3 * _FLOAT32_BYTES * self.n_frames
        at_once = max(1, self._memory_bytes // (bytes_of_ion * size)) * size
        for start in range(0, len(ions), at_once):
            raw = self._raw(ions[start : start + at_once])
            for first in range(0, raw.shape[1], size):
                yield self._finish(raw[:, first : first + size])

    def _raw(self, ions: IntArray) -> NDArray[np.float32]:
        raw = np.empty((self.n_frames, len(ions), 3), dtype=np.float32)
        done = 0
        for slab in self._slabs():
            raw[done : done + len(slab)] = slab[:, ions]
            done += len(slab)
        return raw

    def _slabs(self) -> Iterator[NDArray[np.float32]]:
        size = frames_per_slab(len(self.numbers))
        with open_trajectory(self._path) as file:
            stored = file[POSITIONS]
            for start in range(0, int(self._frames[-1]) + 1, size):
                inside = self._frames[(self._frames >= start) & (self._frames < start + size)]
                if len(inside):
                    # One read of consecutive frames, because HDF5 is slow at picking single ones.
                    yield stored[inside[0] : inside[-1] + 1][inside - inside[0]]


def frame_interval(time_ps: FloatArray) -> float:
    """Return the time between frames in ps.

    :param time_ps: (T,) time of each frame.
    :raises InputError: on too few frames or unequal intervals.
    """
    if len(time_ps) < MINIMUM_FRAMES:
        raise InputError(f"{len(time_ps)} frames are too few to analyse; at least {MINIMUM_FRAMES} are needed.")
    intervals = np.diff(time_ps)
    mean = float(intervals.mean())
    if not mean > 0 or np.abs(intervals - mean).max() > _STEADY_INTERVAL * mean:
        raise InputError("the frames are not equally spaced in time; displacements need a constant interval.")
    return mean


def frames_per_slab(atoms: int) -> int:
    """Return how many frames of ``atoms`` atoms are worth one read: whole chunks of the file, some megabytes."""
    bytes_of_chunk = 3 * _FLOAT32_BYTES * max(atoms, 1) * FRAMES_PER_BLOCK
    return FRAMES_PER_BLOCK * max(1, _SLAB_BYTES // bytes_of_chunk)


def _to_mean_cell(cells: FloatArray, mean: FloatArray) -> FloatArray | None:
    """Return (T, 3, 3) matrices from each cell to the mean cell, or None where the cell is constant."""
    change = float(np.abs(cells - mean).max() / np.linalg.norm(mean, axis=1).max())
    if change < _STEADY_CELL:
        return None
    if change > MOST_CELL_CHANGE:
        raise InputError(
            f"the cell departs from its mean by {change:.0%} within these frames; displacements need a steady cell "
            f"(at most {MOST_CELL_CHANGE:.0%}), so analyse a stage after the volume has settled."
        )
    matrices: FloatArray = np.linalg.inv(cells) @ mean
    return matrices
