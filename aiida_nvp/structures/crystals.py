"""Variants of a known crystal: repeated, with atoms missing, strained, rattled."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from ase import Atoms

from aiida_nvp.common.errors import InputError

_LARGEST_STRAIN = 0.3
_LARGEST_RATTLE = 1.0


@dataclass(frozen=True)
class Variation:
    """What is done to a crystal.

    :param repeat: supercell along the three vectors.
    :param remove: symbol to the number of atoms taken out at random (deintercalated sodium, for example).
    :param rattle: standard deviation of the displacements, angstrom.
    :param strain: largest absolute component of a random symmetric strain.
    """

    repeat: tuple[int, int, int] = (1, 1, 1)
    remove: Mapping[str, int] = field(default_factory=dict)
    rattle: float = 0.0
    strain: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values that leave no crystal."""
        if not 0 <= self.rattle <= _LARGEST_RATTLE:
            raise InputError(f"rattle is {self.rattle:g} angstrom; 0 to {_LARGEST_RATTLE:g} is expected.")
        if not 0 <= self.strain <= _LARGEST_STRAIN:
            raise InputError(f"strain is {self.strain:g}; 0 to {_LARGEST_STRAIN:g} is expected.")
        if min(self.repeat) < 1:
            raise InputError(f"repeat is {self.repeat}; three whole numbers from 1 are expected.")


def read_cif(text: str) -> Atoms:
    """Return the crystal described by the text of a CIF file.

    :raises InputError: if the text is no CIF file with a structure.
    """
    from ase.io import read  # noqa: PLC0415 - tens of megabytes, and few campaigns start from a crystal

    try:
        crystal = read(io.StringIO(text), format="cif", index=-1)
    except (ValueError, KeyError, IndexError, RuntimeError, StopIteration, AssertionError) as error:
        raise InputError(f"the text is not a CIF file with one structure ({type(error).__name__}: {error}).") from error
    if not isinstance(crystal, Atoms) or not len(crystal):
        raise InputError("the CIF file holds no atoms.")
    return crystal


def vary(crystal: Atoms, variation: Variation, seed: int | Sequence[int]) -> Atoms:
    """Return the crystal after repeat, removal, strain and rattle, in that order, sorted by species.

    :param seed: a seed or a sequence of them; the same one gives the same variant.
    :raises InputError: if more atoms are to be removed than there are.
    """
    rng = np.random.default_rng(seed)
    atoms = Atoms(crystal.numbers, positions=crystal.positions, cell=crystal.cell, pbc=True).repeat(variation.repeat)
    symbols = np.array(atoms.get_chemical_symbols())
    gone: list[int] = []
    for symbol, number in sorted(variation.remove.items()):
        sites = np.nonzero(symbols == symbol)[0]
        if not 0 <= number <= len(sites):
            raise InputError(f"cannot remove {number} {symbol}: the crystal holds {len(sites)}.")
        gone.extend(int(site) for site in rng.choice(sites, number, replace=False))
    del atoms[gone]
    if not len(atoms):
        raise InputError("nothing is left of the crystal after the removal.")
    deformation = rng.uniform(-variation.strain, variation.strain, (3, 3))
    deformation = np.eye(3) + 0.5 * (deformation + deformation.T)
    atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
    atoms.positions += rng.normal(0.0, 1.0, atoms.positions.shape) * variation.rattle
    order = np.argsort(atoms.numbers, kind="stable")
    return Atoms(atoms.numbers[order], positions=atoms.positions[order], cell=atoms.cell, pbc=True)
