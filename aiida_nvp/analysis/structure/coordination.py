"""Coordination numbers: how many, how short, how they depend on the cutoff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aiida_nvp.analysis.statistics import Curve, FloatArray, Number, RunningBlocks, ratio
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.species import parse
from aiida_nvp.analysis.structure.tally import Distribution, Tally
from aiida_nvp.common.errors import InputError

MOST = 32
"""Ligands of one kind that a centre has at most."""


class Coordination:
    """Accumulates the number of ligands of each centre.

    :param rules: bonds; their length is the cutoff unless another one is given.
    :param pair: ``centre-ligand``, for example ``V-O``.
    :param cutoff: longest bond in angstrom.
    :raises InputError: on an unknown species or where no cutoff is known.
    """

    def __init__(self, rules: BondRules, pair: str, cutoff: float | None = None) -> None:
        self._pair = _pair_of(rules, pair)
        self._cutoff = _cutoff_of(rules, pair, cutoff)
        self._tally = Tally()

    def add(self, environment: Environment) -> None:
        """Count the ligands of one frame."""
        centre, ligand = self._pair
        counts = environment.around(centre, ligand, self._cutoff).counts(len(environment.frame.numbers))
        self._tally.add(counts[environment.atoms(centre)])

    def result(self) -> Distribution:
        """Return the distribution over the frames so far."""
        return self._tally.result()


@dataclass(frozen=True)
class SplitShell:
    """A shell of short and long bonds.

    :param short: mean number of short bonds of a centre.
    :param long: mean number of long ones.
    :param shares: share of the centres with (short, long) bonds.
    :param short_length: mean length of a short bond in angstrom.
    :param long_length: mean length of a long bond in angstrom.
    """

    short: Number
    long: Number
    shares: dict[tuple[int, int], Number]
    short_length: Number
    long_length: Number


class ShortAndLong:
    """Accumulates how the bonds of each centre divide at a length, as 4 + 1 in VO5 with one weak bond.

    :param pair: ``centre-ligand``.
    :param split: bonds shorter than this are short (angstrom).
    :param cutoff: longest bond in angstrom, by default that of the rules.
    :raises InputError: on an unknown species, or a split that is not between zero and the cutoff.
    """

    def __init__(self, rules: BondRules, pair: str, split: float, cutoff: float | None = None) -> None:
        self._pair = _pair_of(rules, pair)
        self._cutoff = _cutoff_of(rules, pair, cutoff)
        if not 0 < split < self._cutoff:
            raise InputError(f"the split of {pair} must lie between 0 and its cutoff {self._cutoff}; it is {split}.")
        self._split = split
        self._tally = Tally(MOST, MOST)
        self._lengths = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Count the short and the long bonds of one frame."""
        centre, ligand = self._pair
        bonds = environment.around(centre, ligand, self._cutoff)
        short = bonds.distance < self._split
        atoms, here = len(environment.frame.numbers), environment.atoms(centre)
        self._tally.add(*(bonds.select(part).counts(atoms)[here] for part in (short, ~short)))
        sums = [(bonds.distance[part].sum(), part.sum()) for part in (short, ~short)]
        self._lengths.add(np.array(sums))

    def result(self) -> SplitShell:
        """Return the means over the frames so far."""
        means = self._tally.means()
        lengths = self._lengths.curve(lambda sums: ratio(sums[:, 0], sums[:, 1]))
        shares = {(key[0], key[1]): number for key, number in self._tally.joint().items()}
        return SplitShell(means.number(0), means.number(1), shares, lengths.number(0), lengths.number(1))


@dataclass(frozen=True)
class DoubleBonds:
    """Bonds short enough for a double bond, as V=O.

    :param per_centre: distribution of their number over the centres.
    :param terminal: share of their ligands that no other former holds.
    :param length: mean length in angstrom.
    """

    per_centre: Distribution
    terminal: Number
    length: Number


class ShortBonds:
    """Accumulates the bonds of a centre that are shorter than a limit.

    :param pair: ``centre-ligand``; the ligand is that of the rules where ``terminal`` is to mean anything.
    :param limit: angstrom.
    :raises InputError: on an unknown species or a limit that is not positive.
    """

    def __init__(self, rules: BondRules, pair: str, limit: float) -> None:
        self._pair = _pair_of(rules, pair)
        self._limit = _cutoff_of(rules, pair, limit)
        self._tally = Tally()
        self._sums = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Count the short bonds of one frame."""
        centre, ligand = self._pair
        bonds = environment.around(centre, ligand, self._limit)
        atoms = len(environment.frame.numbers)
        self._tally.add(bonds.counts(atoms)[environment.atoms(centre)])
        held = environment.bonds
        by_former = np.isin(environment.frame.numbers[held.ligand], (*environment.rules.formers, centre))
        holders = np.bincount(held.centre[by_former], minlength=atoms)
        self._sums.add([(holders[bonds.ligand] < len(("one", "other"))).sum(), bonds.distance.sum(), len(bonds)])

    def result(self) -> DoubleBonds:
        """Return the means over the frames so far."""
        terminal = self._sums.number(lambda sums: ratio(sums[0], sums[2]))
        return DoubleBonds(self._tally.result(), terminal, self._sums.number(lambda sums: ratio(sums[1], sums[2])))


@dataclass(frozen=True)
class Scan:
    """Coordination as a function of the cutoff, K cutoffs.

    :param cutoffs: (K,) angstrom.
    :param mean: (K,) mean coordination number.
    :param slope: (K,) its change per angstrom: small where the cutoff does not matter.
    :param shares: (K,) share of the centres with n ligands, for each n that occurs at any cutoff.
    """

    cutoffs: FloatArray
    mean: Curve
    slope: FloatArray
    shares: dict[int, Curve]


class CutoffScan:
    """Accumulates the coordination of a pair at many cutoffs at once.

    :param pair: ``centre-ligand``.
    :param cutoffs: (K,) rising, angstrom; two or more.
    :raises InputError: on an unknown species or cutoffs that do not rise.
    """

    def __init__(self, rules: BondRules, pair: str, cutoffs: Sequence[float] | FloatArray) -> None:
        self._pair = _pair_of(rules, pair)
        self.cutoffs = np.asarray(cutoffs, dtype=np.float64)
        if len(self.cutoffs) < len(("first", "last")) or not (np.diff(self.cutoffs, prepend=0.0) > 0).all():
            raise InputError(f"the cutoffs of the scan of {pair} must be positive and rise; they are {list(cutoffs)}.")
        self._blocks = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Count the ligands of one frame at every cutoff."""
        centre, ligand = self._pair
        here = environment.atoms(centre)
        bonds = environment.around(centre, ligand, float(self.cutoffs[-1]))
        row = np.searchsorted(here, bonds.centre)
        column = np.searchsorted(self.cutoffs, bonds.distance, side="right")
        size = len(self.cutoffs)
        counts = np.bincount(row * size + column, minlength=len(here) * size).reshape(len(here), size).cumsum(axis=1)
        if counts.max(initial=0) >= MOST:
            raise InputError(f"a centre has {counts.max()} ligands within the last cutoff of the scan; shorten it.")
        table = np.bincount((counts + MOST * np.arange(size)).ravel(), minlength=size * MOST).reshape(size, MOST)
        self._blocks.add(table / len(here))

    def result(self) -> Scan:
        """Return the means over the frames so far."""
        numbers = np.arange(MOST, dtype=np.float64)
        mean = self._blocks.curve(lambda shares: shares @ numbers)
        shares = self._blocks.curve()
        occurring = np.flatnonzero(shares.mean.any(axis=0))
        return Scan(
            cutoffs=self.cutoffs,
            mean=mean,
            slope=np.gradient(mean.mean, self.cutoffs),
            shares={int(n): Curve(shares.mean[:, n], shares.error[:, n]) for n in occurring},
        )


def _pair_of(rules: BondRules, pair: str) -> tuple[int, int]:
    centre, ligand = parse(pair, 2, rules.numbers)
    return centre, ligand


def _cutoff_of(rules: BondRules, pair: str, cutoff: float | None) -> float:
    length = rules.length(*_pair_of(rules, pair)) if cutoff is None else cutoff
    if not length > 0:
        raise InputError(f"the bond length of {pair} must be positive; it is {length}.")
    return length
