"""Text dumps of LAMMPS, read frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

FloatArray = NDArray[np.float64]

FIRST_LINE = "ITEM: TIMESTEP"
_AXES = ("x", "y", "z")


@dataclass(frozen=True)
class DumpFrame:
    """One frame, atoms in the order of their id.

    :param unwrapped: whether the positions say through which images the atoms went.
    """

    step: int
    numbers: NDArray[np.int64]
    positions: FloatArray
    cell: FloatArray
    unwrapped: bool


def read_dump(path: Path, species: Sequence[str]) -> Iterator[DumpFrame]:
    """Yield the frames of a dump; one that breaks off at the end of the file is left out.

    :param species: symbols of types 1, 2, ... for a dump without the column ``element``.
    :raises InputError: if columns are missing, the box is not periodic, or a type has no symbol.
    """
    with path.open(encoding="utf-8") as handle:
        while (line := handle.readline()) != "":
            if not line.startswith(FIRST_LINE):
                if line.startswith("ITEM:"):  # UNITS and TIME stand before the first step
                    handle.readline()
                    continue
                raise InputError(f"{path.name} is no LAMMPS text dump: a frame begins with {line.strip()!r}.")
            frame = _frame(handle, path.name, species)
            if frame is None:
                return
            yield frame


def _frame(handle: TextIO, name: str, species: Sequence[str]) -> DumpFrame | None:
    step = handle.readline().strip()
    handle.readline()
    count = handle.readline().strip()
    bounds = handle.readline().split()
    sides = [handle.readline().split() for _ in _AXES]
    columns = handle.readline().split()[2:]
    rows = [line.split() for line in islice(handle, int(count or 0))]
    if not columns or len(rows) < int(count) or len(rows[-1]) < len(columns):
        return None
    where = f"{name}, step {step}"
    if any(word in bounds for word in ("abc", "origin")):
        raise InputError(f"{where}: a box of general orientation is not read; dump with `triclinic/general no`.")
    flags = [word for word in bounds if len(word) == len("pp") and set(word) <= set("pfsm")]
    if any(flag != "pp" for flag in flags):
        raise InputError(f"{where}: the box is not periodic in all three directions ({' '.join(flags)}).")
    table = {column: [row[index] for row in rows] for index, column in enumerate(columns)}
    origin, cell = _box(np.array(sides, dtype=float))
    positions, unwrapped = _positions(table, origin, cell, where)
    order = np.argsort(np.array(table["id"], dtype=np.int64)) if "id" in table else np.arange(len(rows))
    return DumpFrame(int(step), _numbers(table, species, where)[order], positions[order], cell, unwrapped)


def _box(sides: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return origin and (3, 3) cell; the bounds of a tilted box enclose it and have to be taken back."""
    low, high = sides[:, 0].copy(), sides[:, 1].copy()
    xy, xz, yz = sides[:, 2] if sides.shape[1] > 2 else np.zeros(3)  # noqa: PLR2004 - two bounds, then the tilt
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    width = high - low
    return low, np.array([[width[0], 0.0, 0.0], [xy, width[1], 0.0], [xz, yz, width[2]]])


def _positions(
    table: Mapping[str, Sequence[str]], origin: FloatArray, cell: FloatArray, where: str
) -> tuple[FloatArray, bool]:
    for suffix, scaled, unwrapped in (("u", False, True), ("su", True, True), ("", False, False), ("s", True, False)):
        names = [axis + suffix for axis in _AXES]
        if all(name in table for name in names):
            values = _columns(table, names)
            positions = values @ cell if scaled else values - origin
            images = [f"i{axis}" for axis in _AXES]
            if not unwrapped and all(name in table for name in images):
                return positions + _columns(table, images) @ cell, True
            return positions, unwrapped
    raise InputError(f"{where}: no columns of positions; dump `xu yu zu`, or `x y z ix iy iz`.")


def _columns(table: Mapping[str, Sequence[str]], names: Sequence[str]) -> FloatArray:
    return np.stack([np.array(table[name], dtype=float) for name in names], axis=1)


def _numbers(table: Mapping[str, Sequence[str]], species: Sequence[str], where: str) -> NDArray[np.int64]:
    if "element" in table:
        symbols = list(table["element"])
    elif "type" in table and species:
        types = [int(value) for value in table["type"]]
        if max(types) > len(species):
            raise InputError(f"{where}: atoms of type {max(types)}, but `species` names {len(species)} types only.")
        symbols = [species[kind - 1] for kind in types]
    else:
        raise InputError(f"{where}: atoms without a symbol; give `species`, the symbols of types 1, 2, ... in order.")
    unknown = sorted({symbol for symbol in symbols if symbol not in atomic_numbers})
    if unknown:
        raise InputError(f"{where}: {', '.join(unknown)} is no chemical symbol.")
    return np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64)
