"""Trajectories of other programs, turned frame by frame into the one format that everything here reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from ase import Atoms
from ase.io import iread
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from aiida_nvp.common.bounds import CountFromZero, Positive
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.lammps_dump import FIRST_LINE, read_dump
from aiida_nvp.common.trajectory import TrajectoryWriter, read_blocks
from aiida_nvp.common.units import FEMTOSECONDS_PER_PICOSECOND
from aiida_nvp.common.unwrap import Unwrapper

FloatArray = NDArray[np.float64]
Tell = Callable[[int], None]

H5MD = (".h5", ".h5md", ".hdf5")
TIME_KEY = "time_ps"
"""Key under which a frame of an extended XYZ or ASE file may say its time."""

_ASE_FORMATS = {".xyz": "extxyz", ".extxyz": "extxyz", ".traj": "traj"}
_WRAPPED_FORMATS = ("vasp-xdatcar",)


class ReadSettings(BaseModel):
    """What a file does not say of itself.

    :param interval_ps: time between two stored frames, for files that state no time.
    :param timestep_fs: time step of the integrator, for dumps that state the step only.
    :param species: symbols of the types 1, 2, ... of a LAMMPS dump without the column ``element``.
    :param unwrapped: whether positions have never been folded back into the cell; without a word they are followed by
        their shortest images, unless the file tells.
    :param skip: frames left out at the beginning of each file.
    :param every: of the rest each n-th is read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval_ps: Positive | None = None
    timestep_fs: Positive | None = None
    species: tuple[str, ...] = ()
    unwrapped: bool | None = None
    skip: CountFromZero = 0
    every: Annotated[int, Field(ge=1)] = 1


@dataclass(frozen=True)
class PlainFrame:
    """One frame as its file states it; None for what it does not state.

    :param stage: index of the stage of the thermal schedule, 0 where the file knows no stages.
    """

    numbers: NDArray[np.int64]
    positions: FloatArray
    cell: FloatArray
    unwrapped: bool | None
    step: int | None
    time_ps: float | None
    stage: int = 0


def convert(paths: Sequence[Path], target: Path, settings: ReadSettings, tell: Tell | None = None) -> int:
    """Write the frames of ``paths``, which are consecutive parts of one run, to the H5MD file ``target``.

    No more than a few frames are held in memory, but for an ``XDATCAR``, which its reader takes whole.

    :param tell: is given the number of frames so far.
    :return: number of frames.
    :raises InputError: if a file is missing, unreadable or empty, atoms change, no time can be told, or the path of an
        atom is ambiguous.
    """
    unwrapper = Unwrapper()
    writer: TrajectoryWriter | None = None
    first: NDArray[np.int64] | None = None
    count, last = 0, -np.inf
    try:
        for path in paths:
            for index, frame in enumerate(_chosen(path, settings)):
                where = f"frame {settings.skip + index * settings.every} of {path.name}"
                if first is None or writer is None:
                    first, writer = frame.numbers, TrajectoryWriter(target, frame.numbers)
                _check(frame, first, where)
                known = settings.unwrapped if settings.unwrapped is not None else frame.unwrapped
                placed = frame.positions if known else unwrapper.follow(frame.positions, frame.cell, where)
                time = _time(frame, count, settings, path.name)
                if not time > last:
                    raise InputError(
                        f"{where} is of {time:g} ps, not later than the frame before ({last:g} ps); files are read as "
                        "parts of one run, in the order that they are given."
                    )
                writer.write(step=count, time_ps=time, positions=placed, cell=frame.cell, stage=frame.stage)
                count, last = count + 1, time
                if tell is not None:
                    tell(count)
    finally:
        if writer is not None:
            writer.close()
    if count == 0:
        raise InputError(f"{', '.join(path.name for path in paths)}: no frame is left to read.")
    return count


def read_frames(path: Path, settings: ReadSettings) -> Iterator[PlainFrame]:
    """Yield all frames of a file: extended XYZ, LAMMPS text dump, ASE ``.traj``, ``XDATCAR`` or H5MD of this project.

    :raises InputError: if the file is missing, of no known format, or a frame cannot be read.
    """
    if not path.is_file():
        raise InputError(f"there is no trajectory file {path}.")
    if path.suffix in H5MD:
        yield from _h5md(path)
    elif _begins_with(path, FIRST_LINE) or _begins_with(path, "ITEM: UNITS"):
        for frame in read_dump(path, settings.species):
            fs = settings.timestep_fs
            time = None if fs is None else frame.step * fs / FEMTOSECONDS_PER_PICOSECOND
            unwrapped = True if frame.unwrapped else None
            yield PlainFrame(frame.numbers, frame.positions, frame.cell, unwrapped, frame.step, time)
    else:
        kind = "vasp-xdatcar" if path.name.startswith("XDATCAR") else _ASE_FORMATS.get(path.suffix)
        if kind is None:
            known = ", ".join([*_ASE_FORMATS, *H5MD, "LAMMPS text dumps", "XDATCAR"])
            raise InputError(f"{path.name} is of no format that is read here; known are {known}.")
        yield from _by_ase(path, kind)


def _chosen(path: Path, settings: ReadSettings) -> Iterator[PlainFrame]:
    for index, frame in enumerate(read_frames(path, settings)):
        if index >= settings.skip and (index - settings.skip) % settings.every == 0:
            yield frame


def _check(frame: PlainFrame, numbers: NDArray[np.int64], where: str) -> None:
    if len(frame.numbers) != len(numbers):
        raise InputError(f"{where} has {len(frame.numbers)} atoms, the first frame {len(numbers)}.")
    if not np.array_equal(frame.numbers, numbers):
        raise InputError(f"{where} has its atoms in another order than the first frame.")
    if not (np.isfinite(frame.cell).all() and abs(np.linalg.det(frame.cell)) > 0):
        raise InputError(f"{where} has no periodic cell in three dimensions.")


def _time(frame: PlainFrame, index: int, settings: ReadSettings, name: str) -> float:
    if settings.interval_ps is not None:
        return index * settings.interval_ps * settings.every
    if frame.time_ps is not None:
        return frame.time_ps
    if frame.step is not None:
        raise InputError(f"{name} states steps but not their length; give `timestep_fs` or `interval_ps`.")
    raise InputError(f"{name} states no time; give `interval_ps`, the time between two stored frames.")


def _h5md(path: Path) -> Iterator[PlainFrame]:
    for stored in read_blocks(path):
        numbers = stored.numbers.astype(np.int64)
        for index, positions in enumerate(stored.positions.astype(np.float64)):
            step, time = int(stored.step[index]), float(stored.time_ps[index])
            yield PlainFrame(numbers, positions, stored.cells[index], True, step, time, int(stored.stage[index]))


def _by_ase(path: Path, kind: str) -> Iterator[PlainFrame]:
    frames: Iterator[Any] = iter(iread(path, index=":", format=kind))
    count = 0
    while True:
        try:
            atoms: Atoms = next(frames)
        except StopIteration:
            return
        except Exception as error:
            raise InputError(f"frame {count} of {path.name} cannot be read: {error}") from error
        time = atoms.info.get(TIME_KEY)
        yield PlainFrame(
            atoms.numbers.astype(np.int64),
            atoms.positions.astype(np.float64),
            np.asarray(atoms.cell.array, dtype=np.float64),
            False if kind in _WRAPPED_FORMATS else None,
            None,
            None if time is None else float(time),
        )
        count += 1


def _begins_with(path: Path, text: str) -> bool:
    with path.open("rb") as handle:
        return handle.read(len(text)) == text.encode()
