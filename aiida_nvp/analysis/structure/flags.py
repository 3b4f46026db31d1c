"""What sound oxide glass does not have: bonds between formers or between ligands, tetrahedra that share edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from ase.data import covalent_radii

from aiida_nvp.analysis.statistics import Number, RunningBlocks
from aiida_nvp.analysis.structure.bonds import BondRules, IntArray
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.species import parse, symbol_of
from aiida_nvp.common.errors import InputError

_SLACK = 1.1
"""A bond is at most this times the sum of covalent radii (Cordero et al. 2008, DOI 10.1039/B801115J)."""
_TETRAHEDRON = 4


@dataclass(frozen=True)
class RedFlags:
    """Numbers a frame of what should not be there.

    :param wrong_bonds: bonds by pair of species; two formers that share a ligand are near each other without a bond
        and do not count.
    :param limits: longest such bond in angstrom.
    :param edge_sharing_tetrahedra: pairs of formers with four ligands each that share two of them, by ``P-O-P``.
    """

    wrong_bonds: dict[str, Number]
    limits: dict[str, float]
    edge_sharing_tetrahedra: dict[str, Number]


class Flags:
    """Accumulates the red flags.

    :param rules: with formers.
    :param limits: longest wrong bond in angstrom by pair of species; by default 1.1 times the sum of the covalent radii
        for pairs of formers and pairs of ligands that have no bond length.
    :raises InputError: on an unknown species or a limit that is not positive.
    """

    def __init__(self, rules: BondRules, limits: Mapping[str, float] | None = None) -> None:
        self._rules = rules
        self.limits = dict(_usual(rules) if limits is None else limits)
        self._pairs = {name: parse(name, 2, rules.numbers) for name in self.limits}
        for name, limit in self.limits.items():
            if not limit > 0:
                raise InputError(f"the longest wrong bond of {name} must be positive; it is {limit}.")
        self._formers = list(combinations_with_replacement(sorted(rules.formers, reverse=True), 2))
        self._bonds, self._edges = RunningBlocks(), RunningBlocks()

    @property
    def reach(self) -> float:
        """How far neighbours must be known, in angstrom."""
        return max(self.limits.values(), default=0.0)

    def add(self, environment: Environment) -> None:
        """Look at one frame."""
        self._bonds.add([_wrong(environment, pair, self.limits[name]) for name, pair in self._pairs.items()])
        numbers, links = environment.frame.numbers, environment.links
        fourfold = environment.former_bonds.counts(len(numbers)) == _TETRAHEDRON
        edge = (links.shared > 1) & fourfold[links.first] & fourfold[links.second]
        ends = np.sort(np.stack([numbers[links.first[edge]], numbers[links.second[edge]]]), axis=0)
        self._edges.add([((ends[1] == a) & (ends[0] == b)).sum() for a, b in self._formers])

    def result(self) -> RedFlags:
        """Return the means over the frames so far.

        :raises InputError: if there was none.
        """
        bonds, edges = self._bonds.curve(), self._edges.curve()
        ligand = symbol_of(self._rules.ligand) if self._formers else ""
        return RedFlags(
            wrong_bonds={name: bonds.number(row) for row, name in enumerate(self._pairs)},
            limits=self.limits,
            edge_sharing_tetrahedra={
                f"{symbol_of(a)}-{ligand}-{symbol_of(b)}": edges.number(row) for row, (a, b) in enumerate(self._formers)
            },
        )


def _wrong(environment: Environment, pair: tuple[int, ...], limit: float) -> float:
    near, linked = environment.around(pair[0], pair[1], limit), environment.links
    joined = _ends(linked.first, linked.second, linked.shift) | _ends(linked.second, linked.first, -linked.shift)
    directed = len(_ends(near.centre, near.ligand, near.shift) - joined)
    return directed / 2 if pair[0] == pair[1] else float(directed)


def _ends(first: IntArray, second: IntArray, shift: IntArray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.column_stack([first, second, shift]).tolist()))


def _usual(rules: BondRules) -> dict[str, float]:
    formers = sorted(rules.formers, reverse=True)
    pairs = [*combinations_with_replacement(formers, 2), *([(rules.ligand, rules.ligand)] if formers else [])]
    return {
        f"{symbol_of(a)}-{symbol_of(b)}": round(_SLACK * float(covalent_radii[a] + covalent_radii[b]), 3)
        for a, b in pairs
        if not rules.length(a, b)
    }
