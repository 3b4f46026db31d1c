"""The network: which ligands bridge what, Q^n species, linkages, shared corners, edges and faces.

A *former* is a species whose polyhedra make the network, a *ligand* (oxygen) is what they share. A *linkage* A-O-B is
one ligand held by two formers; a ligand held by three, a tricluster, makes three linkages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from aiida_nvp.analysis.statistics import Number, RunningBlocks, ratio
from aiida_nvp.analysis.structure.bonds import BondRules, IntArray
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.species import parse, symbol_of
from aiida_nvp.analysis.structure.tally import Distribution, Tally

MOST = 16
"""Ligands of a former, and formers of a ligand, stay below this."""


def holders(environment: Environment, species: Sequence[int], ligand: int) -> IntArray:
    """Return (S, N) how many atoms of each of S species hold each atom of the ligand species."""
    atoms = len(environment.frame.numbers)
    return np.stack([environment.around(ligand, former).counts(atoms) for former in species])


@dataclass(frozen=True)
class Species:
    """Q^n of a former.

    :param same: Q^n: ligands that at least one more former of the same species holds.
    :param joint: share of the formers with (n, m): n as above, m ligands that a former of another species holds. A
        ligand held by both kinds counts in both.
    :param any_former: ligands that any second former holds, the generalised Q^n.
    """

    same: Distribution
    joint: dict[tuple[int, int], Number]
    any_former: Distribution


class Speciation:
    """Accumulates Q^n, and Q^n_m with the other formers.

    :param pair: ``former-ligand``, for example ``P-O``; its bond length comes from the rules.
    :param others: the other formers; by default those of the rules.
    :raises InputError: on an unknown species.
    """

    def __init__(self, rules: BondRules, pair: str, others: Sequence[str] | None = None) -> None:
        self._former, self._ligand = parse(pair, 2, rules.numbers)
        named = rules.formers if others is None else [parse(name, 1, rules.numbers)[0] for name in others]
        self._others = [number for number in named if number != self._former]
        self._same, self._joint, self._any = Tally(MOST), Tally(MOST, MOST), Tally(MOST)

    def add(self, environment: Environment) -> None:
        """Count the bridges of one frame."""
        bonds = environment.around(self._former, self._ligand)
        held = holders(environment, [self._former, *self._others], self._ligand)[:, bonds.ligand]
        same = held[0] > 1
        other = np.asarray((held[1:] > 0).any(axis=0))
        atoms, here = len(environment.frame.numbers), environment.atoms(self._former)
        n, m, either = (bonds.select(part).counts(atoms)[here] for part in (same, other, same | other))
        self._same.add(n)
        self._joint.add(n, m)
        self._any.add(either)

    def result(self) -> Species:
        """Return the means over the frames so far."""
        joint = {(key[0], key[1]): number for key, number in self._joint.joint().items()}
        return Species(self._same.result(), joint, self._any.result())


@dataclass(frozen=True)
class LigandKinds:
    """What holds the ligands; shares of all ligands.

    :param free: held by no former.
    :param non_bridging: by one.
    :param bridging: by two.
    :param tricluster: by three or more.
    :param by_holders: share by what holds them: ``O()``, ``O(P)``, ``O(V,P)``, ``O(V,P,P)``.
    """

    free: Number
    non_bridging: Number
    bridging: Number
    tricluster: Number
    by_holders: dict[str, Number]


class Ligands:
    """Accumulates free, non-bridging, bridging and tricluster ligands.

    :param rules: with formers.
    """

    def __init__(self, rules: BondRules) -> None:
        self._rules = rules
        self._total = Tally(MOST)
        self._by_holders = Tally(*([MOST // 2] * len(rules.formers)))

    def add(self, environment: Environment) -> None:
        """Sort the ligands of one frame."""
        here = environment.atoms(self._rules.ligand)
        counts = holders(environment, self._rules.formers, self._rules.ligand)[:, here]
        self._total.add(counts.sum(axis=0))
        self._by_holders.add(*counts)

    def result(self) -> LigandKinds:
        """Return the means over the frames so far."""
        shares = self._total.merged([range(1), range(1, 2), range(2, 3), range(3, MOST)])
        ligand = symbol_of(self._rules.ligand)
        symbols = [symbol_of(former) for former in self._rules.formers]
        named = {
            f"{ligand}({','.join(symbol for symbol, n in zip(symbols, key, strict=True) for _ in range(n))})": number
            for key, number in self._by_holders.joint().items()
        }
        free, non_bridging, bridging, tricluster = (shares.number(kind) for kind in range(4))
        return LigandKinds(free, non_bridging, bridging, tricluster, named)


@dataclass(frozen=True)
class Linkage:
    """How the polyhedra of two formers are joined; numbers a frame.

    :param linkages: ligands between them, a tricluster counted for each pair of its formers.
    :param share: of all linkages between formers.
    :param corner: pairs of polyhedra that share one ligand.
    :param edge: two ligands.
    :param face: three or more.
    """

    linkages: Number
    share: Number
    corner: Number
    edge: Number
    face: Number


class Linkages:
    """Accumulates linkages and shared corners, edges and faces for each pair of formers.

    :param rules: with formers.
    """

    def __init__(self, rules: BondRules) -> None:
        formers = sorted(rules.formers, reverse=True)
        self._pairs = list(combinations_with_replacement(formers, 2))
        self._ligand = symbol_of(rules.ligand) if formers else ""
        self._blocks = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Count the linkages of one frame."""
        numbers, links = environment.frame.numbers, environment.links
        first, second = numbers[links.first], numbers[links.second]
        rows = []
        for a, b in self._pairs:
            shared = links.shared[((first == a) & (second == b)) | ((first == b) & (second == a))]
            rows.append([shared.sum(), (shared == 1).sum(), (shared == len(("one", "other"))).sum()])
            rows[-1].append(len(shared) - rows[-1][1] - rows[-1][2])
        self._blocks.add(np.array(rows).reshape(-1, 4))

    def result(self) -> dict[str, Linkage]:
        """Return by ``V-O-P``, the heavier former first, the means over the frames so far."""
        curve = self._blocks.curve()
        share = self._blocks.curve(lambda rows: ratio(rows[:, 0], rows[:, 0].sum()))
        return {
            f"{symbol_of(a)}-{self._ligand}-{symbol_of(b)}": Linkage(
                curve.number(row, 0), share.number(row), *(curve.number(row, column) for column in (1, 2, 3))
            )
            for row, (a, b) in enumerate(self._pairs)
        }
