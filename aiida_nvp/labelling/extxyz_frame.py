"""One frame of an extended XYZ file: text becomes a geometry with labels in eV and angstrom, or a sentence."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.extxyz import read_xyz
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import frame_id
from aiida_nvp.common.validation import validated
from aiida_nvp.labelling.label_units import Units

ID_KEY, LEVEL_KEY, INFO_KEY, SOURCES_KEY = "nvp_frame_id", "nvp_level_of_theory", "nvp_info", "nvp_sources"
_ENTROPY = 1e-6
_DECIMALS = 6
_UNREADABLE = (OSError, ValueError, KeyError, IndexError, TypeError, AssertionError)

FloatArray = NDArray[np.float64]


class ReadSettings(BaseModel):
    """How a file is to be read.

    :param keys: names in the file, where they differ: of the energy of the cell, the forces (columns), the stress in
        ASE's sign, or instead the virial (minus the stress times the volume, an energy).
    :param units: as in :class:`~aiida_nvp.labelling.label_units.Units`.
    :param keep_stress: whether a stress in the file is a label too.
    :param checked: whether a doubt is an error; otherwise it is a remark.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: dict[Literal["energy", "forces", "stress", "virial"], str] = {}
    units: dict[Literal["energy", "length", "forces", "stress"], str] = {}
    keep_stress: bool = True
    checked: bool = True


def read_choices(values: Mapping[str, Any]) -> ReadSettings:
    """Check plain values and return the settings.

    :raises InputError: naming every value that does not fit.
    """
    return validated(ReadSettings, values, "reading extended XYZ")


@dataclass(frozen=True)
class Chunk:
    """The text of one frame; :param number: from 0; :param line: of the file, from 1."""

    number: int
    line: int
    text: str

    @property
    def name(self) -> str:
        """How a sentence on this frame begins."""
        return f"extended XYZ: frame {self.number} (line {self.line})"


@dataclass(frozen=True)
class LabelledFrame:
    """One frame with its labels in eV and angstrom.

    :param raw: all that the file says of it beside geometry and labels.
    """

    chunk: Chunk
    atoms: Atoms
    raw: Mapping[str, Any]

    @classmethod
    def read(cls, chunk: Chunk, choices: ReadSettings, units: Units) -> LabelledFrame:
        """Read one frame.

        :raises InputError: with the number of the frame, if it has no cell with a volume, no periodicity or no labels.
        """
        try:
            atoms: Atoms = next(read_xyz(io.StringIO(chunk.text), index=0))
        except _UNREADABLE as error:
            raise InputError(f"{chunk.name} cannot be read: {' '.join(str(error).split()) or 'cut short'}.") from error
        values = {**atoms.info, **atoms.arrays, **(atoms.calc.results if atoms.calc is not None else {})}
        length = units.factor("length")
        plain = Atoms(atoms.numbers, atoms.positions * length, cell=atoms.cell.array * length, pbc=atoms.pbc)
        _check_cell(chunk, plain)
        results = _labels(chunk, plain, values, choices, units)
        plain.calc = SinglePointCalculator(plain, **results)
        used = set(choices.keys.values()) | {"energy", "forces", "stress", "free_energy", "virial"}
        return cls(chunk, plain, {key: value for key, value in atoms.info.items() if key not in used})

    @property
    def info(self) -> dict[str, Any]:
        """What was stored with the frame here, or its number and what else the file says of it."""
        stored = self.raw.get(INFO_KEY)
        if isinstance(stored, Mapping):
            return dict(stored)
        said = {key: _scalar(value) for key, value in self.raw.items() if not key.startswith("nvp_")}
        kept = {key: value for key, value in sorted(said.items()) if value is not None}
        return {"origin": {"kind": "imported", "number": self.chunk.number}, **({"given": kept} if kept else {})}

    @property
    def sources(self) -> dict[str, str]:
        """UUIDs behind the frame, if the file names them."""
        stored = self.raw.get(SOURCES_KEY)
        return {str(key): str(value) for key, value in stored.items()} if isinstance(stored, Mapping) else {}


def split_frames(text: str) -> Iterator[Chunk]:
    """Yield the frames of a file as text.

    :raises InputError: with the line, where a number of atoms is missing or a frame ends too early.
    """
    lines = text.splitlines(keepends=True)
    place = number = 0
    while place < len(lines) and lines[place].strip():
        try:
            count = int(lines[place])
        except ValueError:
            raise InputError(
                f"extended XYZ: line {place + 1} should hold the number of atoms of frame {number}, "
                f"it holds {lines[place].strip()[:40]!r}."
            ) from None
        if count < 1 or place + 2 + count > len(lines):
            raise InputError(f"extended XYZ: frame {number} (line {place + 1}) ends before its {count} atoms.")
        yield Chunk(number, place + 1, "".join(lines[place : place + 2 + count]))
        place, number = place + 2 + count, number + 1
    rest = next((index for index in range(place, len(lines)) if lines[index].strip()), None)
    if rest is not None:
        raise InputError(f"extended XYZ: line {rest + 1} follows an empty line; frames stand without one.")


def _check_cell(chunk: Chunk, atoms: Atoms) -> None:
    if not np.isfinite(atoms.positions).all() or not np.isfinite(atoms.cell.array).all():
        raise InputError(f"{chunk.name}: a position or a cell vector is not finite.")
    if not (atoms.numbers > 0).all():
        raise InputError(f"{chunk.name}: an atom has no element.")
    if not atoms.cell.array.any():
        raise InputError(f"{chunk.name} has no cell; give Lattice with three vectors.")
    try:
        frame_id(atoms)
    except ValueError as error:
        raise InputError(f"{chunk.name}: {error}") from error
    if not atoms.pbc.all():
        raise InputError(f"{chunk.name} is not periodic in all directions (pbc {atoms.pbc.tolist()}); labels here are.")


def _labels(
    chunk: Chunk, atoms: Atoms, values: Mapping[str, Any], choices: ReadSettings, units: Units
) -> dict[str, Any]:
    """Return the results of the calculator, converted."""
    keys = {"energy": "energy", "forces": "forces", **choices.keys}
    for quantity in ("energy", "forces"):
        if keys[quantity] not in values:
            known = [key for key in values if key not in ("numbers", "positions") and not key.startswith("nvp_")]
            held = f"it holds {', '.join(map(str, known))}; say which is meant" if known else "it holds no label at all"
            raise InputError(f"{chunk.name} has no {quantity} under `{keys[quantity]}`; {held}.")
    results: dict[str, Any] = {
        "energy": _numbers(chunk, keys["energy"], values, ()) * units.factor("energy"),
        "forces": _numbers(chunk, keys["forces"], values, (len(atoms), 3)) * units.factor("forces"),
    }
    results["energy"] = float(results["energy"])
    if "energy" not in choices.keys and "free_energy" in values:
        entropy = float(_numbers(chunk, "free_energy", values, ())) * units.factor("energy") - results["energy"]
        if abs(entropy) > _ENTROPY * len(atoms):
            raise InputError(
                f"{chunk.name} holds `energy` and `free_energy`, {entropy:+.4g} eV apart; a label needs the one whose "
                "derivative the forces are, which is `free_energy` as a rule: name it as the key of the energy."
            )
    if choices.keep_stress:
        stress = _stress(chunk, values, choices, units, atoms.get_volume())
        if stress is not None:
            results["stress"] = stress
    return results


def _stress(
    chunk: Chunk, values: Mapping[str, Any], choices: ReadSettings, units: Units, volume: float
) -> FloatArray | None:
    """Return (6,) the stress in Voigt's order, or None where there is none."""
    for quantity, factor in (("stress", units.factor("stress")), ("virial", -units.factor("energy") / volume)):
        key = choices.keys.get("virial") if quantity == "virial" else choices.keys.get("stress", "stress")
        if key is None or key not in values or (quantity == "stress" and "virial" in choices.keys):
            continue
        shape = (6,) if np.size(values[key]) == 6 else (9,)  # noqa: PLR2004 - Voigt
        full = factor * _numbers(chunk, key, {key: np.ravel(values[key])}, shape)
        if shape == (6,):
            return full
        square = full.reshape(3, 3)
        return np.asarray(0.5 * (square + square.T)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])
    return None


def _numbers(chunk: Chunk, key: str, values: Mapping[str, Any], shape: tuple[int, ...]) -> FloatArray:
    try:
        array = np.asarray(values[key], dtype=float)
    except (ValueError, TypeError):
        raise InputError(f"{chunk.name}: `{key}` is not a number but {str(values[key])[:40]!r}.") from None
    if array.shape != shape:
        raise InputError(f"{chunk.name}: `{key}` has shape {array.shape}, expected {shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"{chunk.name}: `{key}` holds a value that is not finite.")
    return array


def _scalar(value: object) -> str | float | bool | None:
    """Return what JSON knows as one value, rounded as all numbers beside frames are, or None."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating) and np.isfinite(value):
        return round(float(value), 6)
    return None
