"""The neighbours of every atom of a frame, found once and handed to all observables that speak of bonds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.bonds import BondRules, Bonds, IntArray, Links
from aiida_nvp.analysis.structure.species import symbol_of
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import find_pairs


@dataclass(frozen=True)
class Environment:
    """All pairs of one frame up to a reach, and those of them that are bonds.

    :param frame: the frame.
    :param rules: what counts as a bond.
    :param reach: pairs are known up to this distance in angstrom.
    :param near: both directions of all pairs within reach.
    """

    frame: Frame
    rules: BondRules
    reach: float
    near: Bonds

    @classmethod
    def of(cls, frame: Frame, rules: BondRules, reach: float = 0.0) -> Environment:
        """Find the neighbours.

        :param reach: angstrom; at least the longest bond is taken.
        """
        reach = max(reach, rules.longest)
        pairs = find_pairs(frame.positions, frame.cell, reach)
        vector = frame.positions[pairs.second] - frame.positions[pairs.first] + pairs.shift @ frame.cell
        shift = np.rint(pairs.shift).astype(np.int64)
        near = Bonds(pairs.first, pairs.second, shift, vector, pairs.distance)
        if (np.diff(near.centre) < 0).any():
            near = near.select(np.argsort(near.centre, kind="stable"))
        return cls(frame, rules, reach, near)

    @cached_property
    def _ends(self) -> tuple[IntArray, IntArray]:
        index = self.rules.index
        return index[self.near.centre], index[self.near.ligand]

    @cached_property
    def bonds(self) -> Bonds:
        """All bonds of the rules, in both directions."""
        return self.near.select(self.near.distance < self.rules.lengths[self._ends])

    @cached_property
    def former_bonds(self) -> Bonds:
        """The bonds from every former to the ligand."""
        numbers = self.frame.numbers
        mask = np.isin(numbers[self.bonds.centre], self.rules.formers)
        return self.bonds.select(mask & (numbers[self.bonds.ligand] == self.rules.ligand))

    @cached_property
    def links(self) -> Links:
        """The pairs of formers that share ligands."""
        return Links.of(self.former_bonds, len(self.frame.numbers))

    def around(self, centre: int, ligand: int, cutoff: float | None = None) -> Bonds:
        """Return the pairs from ``centre`` to ``ligand``, by atomic number.

        :param cutoff: angstrom; by default the bond length of the rules.
        :raises InputError: if the cutoff exceeds the reach.
        """
        limit = self.rules.length(centre, ligand) if cutoff is None else cutoff
        if limit > self.reach:
            raise InputError(
                f"neighbours are known up to {self.reach} angstrom and {symbol_of(centre)}-{symbol_of(ligand)} asks "
                f"for {limit}; find them further out."
            )
        first, second = self._ends
        here, there = self.rules.species.index(centre), self.rules.species.index(ligand)
        return self.near.select((first == here) & (second == there) & (self.near.distance < limit))

    def atoms(self, number: int) -> IntArray:
        """Return the atoms of one species."""
        return np.flatnonzero(self.rules.numbers == number)


class BondObservable(Protocol):
    """What takes the environments of the frames one after the other."""

    def add(self, environment: Environment) -> None:
        """Take the next frame."""
