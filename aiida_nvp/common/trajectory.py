"""Molecular-dynamics trajectories as H5MD files: small, self-describing, and readable after a crash.

Layout (H5MD 1.1, DOI 10.1016/j.cpc.2014.01.018), T frames of N atoms::

    h5md/                                    version, creator
    particles/all/species                    (N,) atomic numbers
    particles/all/position/{value,step,time} (T, N, 3) float32 angstrom, never wrapped; (T,); (T,) ps
    particles/all/box/edges/{value,step,time} (T, 3, 3) float64 angstrom, rows are vectors
    observables/stage/{value,step,time}      (T,) index of the stage of the thermal schedule

The three ``step`` and ``time`` are one data set each, linked three times. A frame exists once its step is on disk:
steps are written after all else, so a process that dies at any instant leaves whole frames only.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from ase.data import chemical_symbols
from numpy.typing import ArrayLike, NDArray

from aiida_nvp import __version__
from aiida_nvp.common.errors import InputError

POSITIONS = "particles/all/position/value"
CELLS = "particles/all/box/edges/value"
SPECIES = "particles/all/species"
STAGE = "observables/stage/value"
STEP = "particles/all/position/step"
TIME = "particles/all/position/time"

FRAMES_PER_BLOCK = 16
"""Frames that share one compressed chunk and that the writer holds back before it writes them together."""

_H5MD_VERSION = (1, 1)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUPERBLOCK = struct.Struct("<8sB2xB16xQ")
_FIRST_VERSION_WITH_FLAGS = 3
_WRITER_FLAGS = 0b101


@dataclass(frozen=True)
class Trajectory:
    """T frames of the same N atoms.

    :param numbers: (N,) atomic numbers.
    :param step: (T,) strictly rising step of the integrator.
    :param time_ps: (T,) time since the start of the run in ps.
    :param positions: (T, N, 3) float32 angstrom, unwrapped: an atom that leaves the cell keeps going.
    :param cells: (T, 3, 3) angstrom, rows are vectors.
    :param stage: (T,) index of the stage of the thermal schedule.
    """

    numbers: NDArray[np.int32]
    step: NDArray[np.int64]
    time_ps: NDArray[np.float64]
    positions: NDArray[np.float32]
    cells: NDArray[np.float64]
    stage: NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check that the arrays belong together."""
        frames, atoms = len(self.time_ps), len(self.numbers)
        shapes: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
            "step": (self.step, (frames,)),
            "positions": (self.positions, (frames, atoms, 3)),
            "cells": (self.cells, (frames, 3, 3)),
            "stage": (self.stage, (frames,)),
        }
        for name, (array, shape) in shapes.items():
            if array.shape != shape:
                raise InputError(f"trajectory: `{name}` has shape {array.shape}, expected {shape}.")

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.time_ps)

    @property
    def symbols(self) -> list[str]:
        """Chemical symbol of each atom."""
        return [str(chemical_symbols[number]) for number in self.numbers]

    def at_stage(self, index: int) -> Trajectory:
        """Return the frames of stage ``index``.

        :raises InputError: if the trajectory has no frame of that stage.
        """
        here = self.stage == index
        if not here.any():
            present = ", ".join(str(value) for value in np.unique(self.stage)) or "none"
            raise InputError(f"the trajectory has no frame of stage {index}; its stages are {present}.")
        return self.select(np.flatnonzero(here))

    def select(self, frames: NDArray[np.int64] | slice) -> Trajectory:
        """Return the given frames, in that order."""
        return Trajectory(
            numbers=self.numbers,
            step=self.step[frames],
            time_ps=self.time_ps[frames],
            positions=self.positions[frames],
            cells=self.cells[frames],
            stage=self.stage[frames],
        )


class TrajectoryWriter:
    """Write frames one by one; a context manager.

    :param path: the H5MD file.
    :param numbers: (N,) atomic numbers.
    :param append: go on with an existing file of the same atoms instead of replacing it. A file whose writer was killed
        is repaired on the way; where there is no file yet, a new one is made.
    :param keep_to_step: with ``append``, drop stored frames of later steps: a restart goes back to its checkpoint and
        would otherwise write them twice.
    :raises InputError: if the file to go on with is damaged or holds other atoms.
    """

    def __init__(
        self, path: str | Path, numbers: ArrayLike, append: bool = False, keep_to_step: int | None = None
    ) -> None:
        """Create the file, with the frames to keep, and open it for writing."""
        self._path = Path(path)
        self._numbers = np.asarray(numbers, dtype=np.int32)
        self._pending: list[tuple[int, float, NDArray[np.float32], NDArray[np.float64], int]] = []
        kept = self._frames_to_keep(keep_to_step) if append and self._path.exists() else None
        # Written anew beside the old file, which stays whole until the new one is complete.
        fresh = self._path.with_name(f"{self._path.name}.part")
        with h5py.File(fresh, "w", libver="latest") as file:
            _create(file, self._numbers)
            if kept is not None:
                _extend(file, kept)
        os.replace(fresh, self._path)
        self._last_step = int(kept.step[-1]) if kept is not None and len(kept) else None
        self._file = h5py.File(self._path, "r+", libver="latest")
        # Single-writer mode orders the writes such that the file on disk is valid at every instant.
        self._file.swmr_mode = True

    def write(self, *, step: int, time_ps: float, positions: ArrayLike, cell: ArrayLike, stage: int = 0) -> None:
        """Add one frame.

        :param step: step of the integrator, larger than that of the frame before.
        :param time_ps: time in ps.
        :param positions: (N, 3) unwrapped positions in angstrom.
        :param cell: (3, 3) angstrom, rows are vectors.
        :param stage: index of the stage of the thermal schedule.
        :raises InputError: on a wrong shape, a value that is not finite, or a step that does not rise.
        """
        placed, box = np.asarray(positions, dtype=np.float32), np.asarray(cell, dtype=np.float64)
        if placed.shape != (len(self._numbers), 3) or box.shape != (3, 3):
            raise InputError(
                f"trajectory frame at step {step}: positions {placed.shape} and cell {box.shape} do not fit "
                f"{len(self._numbers)} atoms."
            )
        if not (np.isfinite(placed).all() and np.isfinite(box).all()):
            raise InputError(f"trajectory frame at step {step}: a coordinate is not finite.")
        if self._last_step is not None and step <= self._last_step:
            raise InputError(f"trajectory frame at step {step} follows step {self._last_step}; steps must rise.")
        # A copy, because an integrator moves its positions in place.
        self._pending.append((step, time_ps, placed.copy(), box.copy(), stage))
        self._last_step = step
        if len(self._pending) >= FRAMES_PER_BLOCK:
            self.flush()

    def flush(self) -> None:
        """Bring every frame so far to disk; call it when a checkpoint is written."""
        if not self._pending:
            return
        steps, times, positions, cells, stages = zip(*self._pending, strict=True)
        block = Trajectory(
            numbers=self._numbers,
            step=np.array(steps, dtype=np.int64),
            time_ps=np.array(times, dtype=np.float64),
            positions=np.array(positions),
            cells=np.array(cells),
            stage=np.array(stages, dtype=np.int32),
        )
        _extend(self._file, block)
        self._pending.clear()

    def close(self) -> None:
        """Write what is pending and close the file."""
        if self._file:
            self.flush()
            self._file.close()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, whatever happened: the frames written so far are valid."""
        self.close()

    def _frames_to_keep(self, last: int | None) -> Trajectory:
        stored = read_trajectory(self._path)
        if not np.array_equal(stored.numbers, self._numbers):
            raise InputError(f"{self._path.name} holds {len(stored.numbers)} other atoms; it cannot be continued.")
        return stored if last is None else stored.select(slice(0, int(np.searchsorted(stored.step, last, "right"))))


def read_trajectory(path: str | Path) -> Trajectory:
    """Read a file made by :class:`TrajectoryWriter`, also one whose writer was killed or is still at work.

    :raises InputError: if the file is missing, damaged or not an H5MD trajectory of this layout.
    """
    with open_trajectory(path) as file:
        # Steps come last on disk, so they alone say which frames are complete.
        return _part(file, slice(0, len(file[STEP])))


def read_blocks(path: str | Path) -> Iterator[Trajectory]:
    """Yield the frames of such a file some at a time, for files that need not fit into memory.

    :raises InputError: if the file is missing, damaged or not an H5MD trajectory of this layout.
    """
    with open_trajectory(path) as file:
        frames = len(file[STEP])
        for start in range(0, frames, FRAMES_PER_BLOCK):
            yield _part(file, slice(start, min(start + FRAMES_PER_BLOCK, frames)))


def _part(file: h5py.File, frames: slice) -> Trajectory:
    return Trajectory(
        numbers=file[SPECIES][:].astype(np.int32),
        step=file[STEP][frames].astype(np.int64),
        time_ps=file[TIME][frames].astype(np.float64),
        positions=file[POSITIONS][frames].astype(np.float32, copy=False),
        cells=file[CELLS][frames].astype(np.float64, copy=False),
        stage=file[STAGE][frames].astype(np.int32),
    )


@contextmanager
def open_trajectory(path: str | Path) -> Iterator[h5py.File]:
    """Open the file of a trajectory to read parts of it; what goes wrong inside the ``with`` becomes one sentence.

    :raises InputError: if the file is missing, damaged or not an H5MD trajectory of this layout.
    """
    name = Path(path).name
    try:
        live = {"libver": "latest", "swmr": True} if _writer_at_work(Path(path)) else {}
        with h5py.File(path, "r", **live) as file:
            yield file
    except FileNotFoundError as error:
        raise InputError(f"there is no trajectory file {name}.") from error
    except KeyError as error:
        raise InputError(f"{name} is HDF5 but not a trajectory of this layout ({error.args[0]}).") from error
    except (OSError, RuntimeError, InputError) as error:
        raise InputError(f"{name} is not a readable H5MD trajectory: {error}") from error


def _writer_at_work(path: Path) -> bool:
    """Read from the superblock whether a writer has the file open, or was killed while it had.

    HDF5 opens such a file only for reading beside the writer, and then waits without end for bytes that a cut file does
    not have; hence the comparison of the sizes. Offsets: HDF5 file format specification 3.0, section II.A.
    """
    with path.open("rb") as handle:
        head = handle.read(_SUPERBLOCK.size)
    if len(head) < _SUPERBLOCK.size:
        return False
    signature, version, flags, end_of_file = _SUPERBLOCK.unpack(head)
    if signature != _HDF5_SIGNATURE or version < _FIRST_VERSION_WITH_FLAGS or not flags & _WRITER_FLAGS:
        return False
    if path.stat().st_size < end_of_file:
        raise OSError(f"the file is cut off at {path.stat().st_size} of {end_of_file} bytes")
    return True


def _create(file: h5py.File, numbers: NDArray[np.int32]) -> None:
    atoms = len(numbers)
    h5md = file.create_group("h5md")
    h5md.attrs["version"] = _H5MD_VERSION
    creator = h5md.create_group("creator")
    creator.attrs["name"] = "aiida-nvp"
    creator.attrs["version"] = __version__
    h5md.create_group("author").attrs["name"] = "aiida-nvp"
    file.create_dataset(SPECIES, data=numbers)
    step = _growing(file, STEP, (), np.int64)
    time = _growing(file, TIME, (), np.float64)
    time.attrs["unit"] = "ps"
    for name, shape, kind in ((POSITIONS, (atoms, 3), np.float32), (CELLS, (3, 3), np.float64), (STAGE, (), np.int32)):
        _growing(file, name, shape, kind)
        group = file[name].parent
        if name != POSITIONS:
            group["step"], group["time"] = step, time
    for name in (POSITIONS, CELLS):
        file[name].attrs["unit"] = "Angstrom"
    box = file["particles/all/box"]
    box.attrs["dimension"] = 3
    box.attrs["boundary"] = np.array([b"periodic"] * 3)


def _growing(file: h5py.File, name: str, shape: tuple[int, ...], kind: type[np.generic]) -> h5py.Dataset:
    return file.create_dataset(
        name,
        shape=(0, *shape),
        maxshape=(None, *shape),
        chunks=(FRAMES_PER_BLOCK if shape else 1024, *(max(size, 1) for size in shape)),
        dtype=kind,
        shuffle=True,
        compression="gzip",
        compression_opts=4,
    )


def _extend(file: h5py.File, frames: Trajectory) -> None:
    start = len(file[STEP])
    columns: dict[str, NDArray[Any]] = {
        TIME: frames.time_ps,
        POSITIONS: frames.positions,
        CELLS: frames.cells,
        STAGE: frames.stage,
    }
    for name, values in columns.items():
        _put(file[name], start, values)
    # The steps say which frames exist, so they reach the disk after the frames have.
    file.flush()
    _put(file[STEP], start, frames.step)
    file.flush()


def _put(data: h5py.Dataset, start: int, values: NDArray[Any]) -> None:
    data.resize(start + len(values), axis=0)
    data[start:] = values
