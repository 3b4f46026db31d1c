"""What counts as a bond, bonds, and the links that shared ligands make between polyhedra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import FloatArray
from aiida_nvp.analysis.structure.species import index_of, parse, species_of, symbol_of
from aiida_nvp.common.errors import InputError

IntArray = NDArray[np.int64]

_SPAN = 64
"""Lattice shifts stay below half of this, so that a pair and its shift make one integer."""


class BondRules:
    """What counts as a bond, which species form the network and which one bridges.

    :param numbers: (N,) atomic numbers of every frame.
    :param lengths: longest bond in angstrom by pair of species, the same in both directions.
    :param formers: species whose polyhedra make the network, for example P and V.
    :param ligand: the species that surrounds and bridges them.
    :raises InputError: on a species that is not there, a length that is not positive, one pair given twice, or a
        former without a bond to the ligand.
    """

    def __init__(
        self, numbers: NDArray[Any], lengths: Mapping[str, float], formers: Sequence[str] = (), ligand: str = "O"
    ) -> None:
        self.numbers = np.asarray(numbers)
        self.species = species_of(self.numbers)
        self.index = index_of(self.numbers)
        self.lengths = np.zeros((len(self.species), len(self.species)))
        for name, length in lengths.items():
            a, b = (self.species.index(number) for number in parse(name, 2, self.numbers))
            if not 0 < length < np.inf:
                raise InputError(f"the bond length of {name} must be positive; it is {length}.")
            if self.lengths[a, b] not in {0.0, length}:
                raise InputError(
                    f"the bond length of {name} is given twice, {self.lengths[a, b]} and {length}; keep one of them."
                )
            self.lengths[a, b] = self.lengths[b, a] = length
        self.formers = tuple(sorted({parse(name, 1, self.numbers)[0] for name in formers}, reverse=True))
        self.ligand = parse(ligand, 1, self.numbers)[0] if formers else 0
        for former in self.formers:
            if not self.length(former, self.ligand):
                raise InputError(
                    f"{symbol_of(former)} is to form the network but has no bond length; give "
                    f"{symbol_of(former)}-{symbol_of(self.ligand)}."
                )

    def length(self, first: int, second: int) -> float:
        """Return the longest bond between two species by atomic number in angstrom, 0 where they do not bond."""
        return float(self.lengths[self.species.index(first), self.species.index(second)])

    @property
    def longest(self) -> float:
        """The longest bond of all in angstrom."""
        return float(self.lengths.max(initial=0.0))


@dataclass(frozen=True)
class Bonds:
    """B bonds, seen from one end and sorted by it.

    :param centre: (B,) atom at the near end.
    :param ligand: (B,) atom at the far end.
    :param shift: (B, 3) lattice vectors between the two.
    :param vector: (B, 3) angstrom, from centre to ligand.
    :param distance: (B,) angstrom.
    """

    centre: IntArray
    ligand: IntArray
    shift: IntArray
    vector: FloatArray
    distance: FloatArray

    def __len__(self) -> int:
        """Return the number of bonds."""
        return len(self.centre)

    def select(self, which: NDArray[Any]) -> Bonds:
        """Return some of the bonds, by mask or in the order of the given places."""
        return Bonds(
            self.centre[which], self.ligand[which], self.shift[which], self.vector[which], self.distance[which]
        )

    def counts(self, atoms: int) -> IntArray:
        """Return (N,) the bonds of each atom."""
        return np.bincount(self.centre, minlength=atoms).astype(np.int64)

    def starts(self, atoms: int) -> IntArray:
        """Return (N + 1,) where the bonds of each atom begin."""
        return np.concatenate([[0], np.cumsum(self.counts(atoms))])


@dataclass(frozen=True)
class Links:
    """L pairs of formers that share at least one ligand, each once.

    :param first: (L,) atom.
    :param second: (L,) atom, ``shift`` lattice vectors away; larger than ``first``, or its own image.
    :param shift: (L, 3) lattice vectors.
    :param shared: (L,) how many ligands they share: 1 a corner, 2 an edge, 3 or more a face.
    """

    first: IntArray
    second: IntArray
    shift: IntArray
    shared: IntArray

    @classmethod
    def of(cls, held: Bonds, atoms: int) -> Links:
        """Find the links that bonds from formers to ligands make.

        :param atoms: number of atoms in the cell.
        """
        # Seen from the ligand, a former lies at minus the shift of its bond.
        order = np.argsort(held.ligand, kind="stable")
        ligand, centre, shift = held.ligand[order], held.centre[order], held.shift[order]
        pairs: list[tuple[IntArray, IntArray]] = []
        offset = 1
        while (places := np.flatnonzero(ligand[offset:] == ligand[:-offset])).size:
            pairs.append((places, places + offset))
            offset += 1
        near = np.concatenate([pair[0] for pair in pairs]) if pairs else np.zeros(0, dtype=np.int64)
        far = np.concatenate([pair[1] for pair in pairs]) if pairs else np.zeros(0, dtype=np.int64)
        return cls._merge(centre[near], centre[far], shift[near] - shift[far], atoms)

    @classmethod
    def _merge(cls, first: IntArray, second: IntArray, shift: IntArray, atoms: int) -> Links:
        code = ((shift[:, 0] * _SPAN) + shift[:, 1]) * _SPAN + shift[:, 2]
        turned = (first > second) | ((first == second) & (code < 0))
        first, second = np.where(turned, second, first), np.where(turned, first, second)
        shift = np.where(turned[:, None], -shift, shift)
        code = np.where(turned, -code, code)
        _, place, shared = np.unique((first * atoms + second) * _SPAN**3 + code, return_index=True, return_counts=True)
        return cls(first[place], second[place], shift[place], shared.astype(np.int64))

    def __len__(self) -> int:
        """Return the number of linked pairs."""
        return len(self.first)
