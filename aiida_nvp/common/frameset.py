"""A set of frames of any sizes, with or without labels, in one file with deterministic bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import canonical, frame_id

_ARRAYS = ("numbers", "offsets", "positions", "cells", "pbc", "energy", "forces", "stress")
_HEADER = "header"
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class FrameSet:
    """Ragged arrays of F frames with N atoms in all.

    :param numbers: (N,) atomic numbers.
    :param offsets: (F + 1,) first atom of each frame, then N.
    :param positions: (N, 3) angstrom, canonical.
    :param cells: (F, 3, 3) angstrom, rows are vectors.
    :param pbc: (F, 3) periodicity.
    :param energy: (F,) eV, or None for an unlabelled set.
    :param forces: (N, 3) eV/angstrom, or None.
    :param stress: (F, 3, 3) eV/angstrom^3, ASE sign, NaN where not computed, or None.
    :param info: one mapping of JSON scalars a frame: where it comes from and why (no UUIDs: those differ between
        equal runs and live beside the set).
    :param level_of_theory: hash that all labels share, or None for an unlabelled set.
    """

    numbers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    positions: FloatArray
    cells: FloatArray
    pbc: NDArray[np.bool_]
    energy: FloatArray | None = None
    forces: FloatArray | None = None
    stress: FloatArray | None = None
    info: tuple[Mapping[str, Any], ...] = field(default=())
    level_of_theory: str | None = None

    def __post_init__(self) -> None:
        """Check shapes and values, so that a set that exists is a set that can be used."""
        n_frames, n_atoms = len(self.cells), len(self.numbers)
        if not self.info:
            object.__setattr__(self, "info", tuple({} for _ in range(n_frames)))
        shapes = {
            "offsets": (self.offsets, (n_frames + 1,)),
            "positions": (self.positions, (n_atoms, 3)),
            "cells": (self.cells, (n_frames, 3, 3)),
            "pbc": (self.pbc, (n_frames, 3)),
            "energy": (self.energy, (n_frames,)),
            "forces": (self.forces, (n_atoms, 3)),
            "stress": (self.stress, (n_frames, 3, 3)),
        }
        for name, (array, shape) in shapes.items():
            if array is not None and array.shape != shape:
                raise InputError(f"frame set: `{name}` has shape {array.shape}, expected {shape}.")
        if len(self.info) != n_frames:
            raise InputError(f"frame set: {len(self.info)} info entries for {n_frames} frames.")
        if n_frames and (self.offsets[0] != 0 or self.offsets[-1] != n_atoms or (np.diff(self.offsets) < 1).any()):
            raise InputError("frame set: `offsets` must rise from 0 to the number of atoms.")
        if (self.energy is None) != (self.forces is None):
            raise InputError("frame set: energy and forces come together or not at all.")
        for name in ("positions", "cells", "energy", "forces"):
            array = getattr(self, name)
            if array is not None and not np.isfinite(array).all():
                raise InputError(f"frame set: `{name}` holds a value that is not finite.")
        if self.labelled and self.level_of_theory is None:
            raise InputError("frame set: labels without a level of theory cannot be compared or merged.")

    @classmethod
    def from_atoms(
        cls,
        frames: Sequence[Atoms],
        info: Sequence[Mapping[str, Any]] | None = None,
        level_of_theory: str | None = None,
    ) -> FrameSet:
        """Collect ASE frames, made canonical; labels are read from their calculators when ``level_of_theory`` is given.

        :raises InputError: if labels are asked for and a frame has none.
        """
        clean = [canonical(atoms) for atoms in frames]
        labels = _read_labels(frames) if level_of_theory is not None else {}
        return cls(
            numbers=_join([a.numbers for a in clean], (0,)).astype(np.int32),
            offsets=np.cumsum([0, *(len(a) for a in clean)], dtype=np.int64),
            positions=_join([a.positions for a in clean], (0, 3)),
            cells=np.array([a.cell.array for a in clean], dtype=float).reshape(-1, 3, 3),
            pbc=np.array([a.pbc for a in clean], dtype=bool).reshape(-1, 3),
            info=tuple(dict(entry) for entry in info) if info is not None else (),
            level_of_theory=level_of_theory,
            **labels,
        )

    @property
    def labelled(self) -> bool:
        """Whether the set carries energies and forces."""
        return self.energy is not None

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.cells)

    def __iter__(self) -> Iterator[Atoms]:
        """Iterate over the frames as ASE Atoms."""
        return (self.atoms(index) for index in range(len(self)))

    def slice_of(self, index: int) -> slice:
        """Return the range of atoms that belong to frame ``index``."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def atoms(self, index: int) -> Atoms:
        """Return frame ``index`` as ASE Atoms; labels, if any, sit in a SinglePointCalculator."""
        here = self.slice_of(index)
        atoms = Atoms(self.numbers[here], self.positions[here], cell=self.cells[index], pbc=self.pbc[index])
        if self.energy is not None and self.forces is not None:
            results: dict[str, Any] = {"energy": float(self.energy[index]), "forces": self.forces[here].copy()}
            if self.stress is not None and np.isfinite(self.stress[index]).all():
                full = self.stress[index]
                results["stress"] = full[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
            atoms.calc = SinglePointCalculator(atoms, **results)
        return atoms

    def ids(self) -> list[str]:
        """Return the canonical id of each frame."""
        return [frame_id(self.atoms(index)) for index in range(len(self))]

    def species(self) -> list[str]:
        """Return the chemical symbols present, by atomic number."""
        return [str(chemical_symbols[number]) for number in np.unique(self.numbers)]

    def subset(self, indices: Sequence[int]) -> FrameSet:
        """Return the frames at ``indices``, in that order."""
        rows = [np.arange(self.offsets[i], self.offsets[i + 1]) for i in indices]
        atoms = np.concatenate(rows) if rows else np.empty(0, dtype=np.int64)
        frames = np.asarray(indices, dtype=np.int64)
        return FrameSet(
            numbers=self.numbers[atoms],
            offsets=np.cumsum([0, *(len(row) for row in rows)], dtype=np.int64),
            positions=self.positions[atoms],
            cells=self.cells[frames],
            pbc=self.pbc[frames],
            energy=None if self.energy is None else self.energy[frames],
            forces=None if self.forces is None else self.forces[atoms],
            stress=None if self.stress is None else self.stress[frames],
            info=tuple(self.info[i] for i in frames),
            level_of_theory=self.level_of_theory,
        )

    def without_labels(self) -> FrameSet:
        """Return the geometries alone."""
        return replace(self, energy=None, forces=None, stress=None, level_of_theory=None)

    @property
    def content_hash(self) -> str:
        """SHA-256 over all that the set holds."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def to_bytes(self) -> bytes:
        """Return the file content: an npz whose bytes depend on the frames alone."""
        header = {"info": [dict(entry) for entry in self.info], "level_of_theory": self.level_of_theory}
        arrays: dict[str, Any] = {name: getattr(self, name) for name in _ARRAYS if getattr(self, name) is not None}
        text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
        buffer = io.BytesIO()
        arrays[_HEADER] = np.frombuffer(text, dtype=np.uint8)
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def save(self, path: str | Path) -> None:
        """Write the set; the file appears whole or not at all."""
        temporary = Path(f"{path}.part")
        temporary.write_bytes(self.to_bytes())
        os.replace(temporary, path)

    @classmethod
    def load(cls, source: str | Path | IO[bytes]) -> FrameSet:
        """Read a set written by :meth:`save`.

        :raises InputError: if the file is not a frame set or is damaged.
        """
        try:
            # Read first: numpy leaves a file open when it turns out to be no archive.
            content = Path(source).read_bytes() if isinstance(source, str | Path) else source.read()
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in _ARRAYS if name in stored.files}
                header = json.loads(bytes(stored[_HEADER]).decode())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"not a readable frame set ({error}).") from error
        return cls(info=tuple(header["info"]), level_of_theory=header["level_of_theory"], **arrays)


def concatenate(sets: Sequence[FrameSet]) -> FrameSet:
    """Join sets that share a level of theory (or are all unlabelled); duplicates are kept.

    :raises InputError: on mixed levels of theory or a mix of labelled and unlabelled sets.
    """
    levels = {s.level_of_theory for s in sets}
    if len(levels) > 1:
        shown = ", ".join(sorted(str(level)[:12] for level in levels))
        raise InputError(f"cannot join frames of different levels of theory ({shown}); a data set holds one only.")
    if not sets:
        return FrameSet.from_atoms([])
    labelled = sets[0].labelled
    stresses = [s.stress if s.stress is not None else np.full((len(s), 3, 3), np.nan) for s in sets]
    return FrameSet(
        numbers=np.concatenate([s.numbers for s in sets]),
        offsets=np.cumsum([0, *(n for s in sets for n in np.diff(s.offsets))], dtype=np.int64),
        positions=np.concatenate([s.positions for s in sets]),
        cells=np.concatenate([s.cells for s in sets]),
        pbc=np.concatenate([s.pbc for s in sets]),
        energy=np.concatenate([s.energy for s in sets if s.energy is not None]) if labelled else None,
        forces=np.concatenate([s.forces for s in sets if s.forces is not None]) if labelled else None,
        stress=np.concatenate(stresses) if labelled else None,
        info=tuple(entry for s in sets for entry in s.info),
        level_of_theory=levels.pop(),
    )


def _join(parts: Sequence[Any], empty_shape: tuple[int, ...]) -> FloatArray:
    return np.concatenate(parts) if parts else np.empty(empty_shape)


def _read_labels(frames: Sequence[Atoms]) -> dict[str, FloatArray]:
    energies, forces, stresses = [], [], []
    for index, atoms in enumerate(frames):
        try:
            energies.append(float(atoms.get_potential_energy()))
            forces.append(np.array(atoms.get_forces(), dtype=np.float64))
        except (RuntimeError, PropertyNotImplementedError) as error:
            raise InputError(f"frame {index} has no energy and forces ({error}).") from error
        try:
            stresses.append(np.array(atoms.get_stress(voigt=False), dtype=np.float64))
        except (RuntimeError, PropertyNotImplementedError):
            stresses.append(np.full((3, 3), np.nan))
    return {
        "energy": np.array(energies, dtype=float),
        "forces": _join(forces, (0, 3)),
        "stress": np.array(stresses, dtype=float).reshape(-1, 3, 3),
    }
