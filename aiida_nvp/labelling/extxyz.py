"""Labelled frames in extended XYZ: other people's files in, with every doubt said, and our own out and in again.

What a data set knows of a frame beyond geometry and labels stands in the comment line under keys that begin with
``nvp_``, so that a file that was written here comes back with the same ids, labels and origins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import frame_id
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.labelling.extxyz_frame import (
    ID_KEY,
    INFO_KEY,
    LEVEL_KEY,
    SOURCES_KEY,
    LabelledFrame,
    ReadSettings,
    split_frames,
)
from aiida_nvp.labelling.label_units import NOT_MEASURED, Units, WorkRatio, unit_doubts, work_ratio

SAME_ENERGY: float = 1e-3
"""Energies of one geometry that differ by more eV an atom are not two digits of one label."""

Watch = Callable[[Sequence[Any]], Iterable[Any]]
"""Hands on what it is given, one at a time, and may show how far it is."""


@dataclass
class ReadFrames:
    """Labelled frames of one file, each geometry once, in eV and angstrom.

    :param atoms: with labels in a SinglePointCalculator.
    :param info: one mapping of JSON values a frame.
    :param sources: UUIDs that the file names, by frame.
    :param level_of_theory: hash that the file states for all of its frames, if it does.
    :param work: how energies and forces go together.
    :param remarks: sentences on what was noticed and is no error.
    """

    atoms: list[Atoms] = field(default_factory=list)
    info: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    level_of_theory: str | None = None
    work: WorkRatio = NOT_MEASURED
    remarks: list[str] = field(default_factory=list)

    def frame_set(self, level: str) -> FrameSet:
        """Return the set, its labels of the level of theory with this hash."""
        return FrameSet.from_atoms(self.atoms, self.info, level_of_theory=level)


def read_extxyz(source: str | Path, settings: ReadSettings | None = None, watch: Watch = iter) -> ReadFrames:
    """Read the labelled frames of an extended XYZ file.

    :param source: the path of the file, or its text.
    :param watch: is given the frames as they are read, for instance to show progress.
    :raises InputError: for a frame that cannot be read, has no volume, no periodicity or no labels, with its number,
        counted from 0; if the file holds two labels for one geometry; or, if the settings say ``checked``, if the
        numbers betray another unit than the stated one.
    """
    choices = settings or ReadSettings()
    units = Units(**{str(quantity): unit for quantity, unit in choices.units.items()})
    chunks = list(split_frames(_text(source)))
    if not chunks:
        raise InputError("extended XYZ: the file holds no frame.")
    frames = [LabelledFrame.read(chunk, choices, units) for chunk in watch(chunks)]
    labelled = [frame.atoms for frame in frames]
    work = work_ratio(labelled)
    read = ReadFrames(level_of_theory=_common_level(frames), work=work)
    # A file that was written here states its units by that, and may well hold relaxed structures.
    own = read.level_of_theory is not None and not choices.units and not choices.keys
    doubts = ([] if own else unit_doubts(labelled, units, work)) + _gather(frames, read)
    if doubts and choices.checked:
        raise InputError(
            f"extended XYZ: {' Also, '.join(doubts)} If all is meant as it is, read it with checked: false."
        )
    read.remarks += doubts + _missing_stress(frames)
    return read


def write_extxyz(frames: FrameSet, sources: Sequence[Mapping[str, str]] | None = None) -> str:
    """Return the text of an extended XYZ file that :func:`read_extxyz` turns into the same frames and labels.

    Units are eV and angstrom, the stress has ASE's sign. Numbers are written to their last digit.

    :param sources: UUIDs by frame.
    :raises InputError: if the number of sources differs from the number of frames.
    """
    origins = list(sources) if sources is not None else [{}] * len(frames)
    if len(origins) != len(frames):
        raise InputError(f"extended XYZ: {len(origins)} sources for {len(frames)} frames.")
    return "".join(_written(frames, index, origin) for index, origin in enumerate(origins))


def _text(source: str | Path) -> str:
    if isinstance(source, str):
        return source
    try:
        return source.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"extended XYZ: {source} cannot be read ({error}).") from error


def _common_level(frames: Sequence[LabelledFrame]) -> str | None:
    levels: dict[str | None, LabelledFrame] = {}
    for frame in frames:
        level = frame.raw.get(LEVEL_KEY)
        levels.setdefault(None if level is None else str(level), frame)
    if len(levels) > 1:
        named = ", ".join(f"{str(level)[:12]} from frame {frame.chunk.number} on" for level, frame in levels.items())
        raise InputError(f"extended XYZ: the file mixes levels of theory ({named}); a data set holds one.")
    return next(iter(levels))


def _gather(frames: Sequence[LabelledFrame], read: ReadFrames) -> list[str]:
    """Fill ``read``, each geometry once; return a doubt where one geometry has two labels."""
    first: dict[str, LabelledFrame] = {}
    repeated, torn = 0, ""
    for frame in frames:
        known = first.setdefault(frame_id(frame.atoms), frame)
        if known is frame:
            read.atoms.append(frame.atoms)
            read.info.append(frame.info)
            read.sources.append(frame.sources)
            continue
        repeated += 1
        apart = frame.atoms.get_potential_energy() - known.atoms.get_potential_energy()
        if abs(apart) > SAME_ENERGY * len(frame.atoms) and not torn:
            torn = (
                f"frames {known.chunk.number} and {frame.chunk.number} are one geometry with energies {apart:+.3g} eV "
                "apart: two states or two levels of theory."
            )
    if repeated:
        read.remarks.append(f"{repeated} of {len(frames)} frames repeat a geometry and were left out.")
    return [torn] if torn else []


def _missing_stress(frames: Sequence[LabelledFrame]) -> list[str]:
    without = [frame.chunk.number for frame in frames if "stress" not in frame.atoms.calc.results]
    if not 0 < len(without) < len(frames):
        return []
    return [f"{len(without)} of {len(frames)} frames have no stress, frame {without[0]} first."]


def _written(frames: FrameSet, index: int, source: Mapping[str, str]) -> str:
    atoms, here = frames.atoms(index), frames.slice_of(index)
    columns, rows = "species:S:1:pos:R:3", frames.positions[here]
    comment = {"Lattice": " ".join(map(repr, frames.cells[index].ravel().tolist()))}
    comment["pbc"] = " ".join("T" if periodic else "F" for periodic in frames.pbc[index])
    if frames.energy is not None and frames.forces is not None:
        columns, rows = f"{columns}:forces:R:3", np.hstack([rows, frames.forces[here]])
        comment["energy"] = repr(float(frames.energy[index]))
    if frames.stress is not None and np.isfinite(frames.stress[index]).all():
        comment["stress"] = " ".join(map(repr, frames.stress[index].ravel().tolist()))
    comment |= {"Properties": columns, ID_KEY: frame_id(atoms)}
    if frames.level_of_theory is not None:
        comment[LEVEL_KEY] = frames.level_of_theory
    comment |= {INFO_KEY: _json(frames.info[index]), SOURCES_KEY: _json(source)}
    head = " ".join(f"{key}={_quoted(value)}" for key, value in comment.items())
    symbols = atoms.get_chemical_symbols()
    body = (f"{s} {' '.join(map(repr, row))}\n" for s, row in zip(symbols, rows.tolist(), strict=True))
    return f"{len(atoms)}\n{head}\n{''.join(body)}"


def _json(values: Mapping[str, Any]) -> str:
    return "_JSON " + json.dumps(dict(values), sort_keys=True)


def _quoted(value: str) -> str:
    # ASE takes whatever follows a backslash as it stands, so a backslash of JSON needs one of its own.
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if any(sign in escaped for sign in " \"'{}[]") else escaped
