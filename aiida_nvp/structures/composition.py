"""From moles of oxides to whole, charge-neutral numbers of atoms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from ase.data import atomic_masses, atomic_numbers
from ase.formula import Formula

from aiida_nvp.common.elements import ANION, ANION_CHARGE, cation
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import GRAM_PER_CM3_IN_AMU_ANGSTROM3

_LARGEST_DENOMINATOR = 100_000
_SUGGESTIONS = 3


@dataclass(frozen=True)
class Composition:
    """Whole numbers of atoms of a neutral cell.

    :param counts: symbol to number of atoms; cations in the order in which the user named them, oxygen last.
    :param reduced: symbol to the number of its atoms that are one electron below their full oxidation state.
    """

    counts: Mapping[str, int]
    reduced: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a cell that is charged or has more reduced atoms than atoms."""
        for symbol, number in self.reduced.items():
            if not 0 <= number <= self.counts.get(symbol, 0):
                raise InputError(f"{number} reduced {symbol} among {self.counts.get(symbol, 0)} is impossible.")
        if self.charge != 0:
            raise InputError(f"the cell {self.formula} carries a charge of {self.charge:+d}; it has to be neutral.")

    @property
    def n_atoms(self) -> int:
        """Number of atoms."""
        return sum(self.counts.values())

    @property
    def symbols(self) -> list[str]:
        """One symbol an atom, species by species."""
        return [symbol for symbol, number in self.counts.items() for _ in range(number)]

    @property
    def formula(self) -> str:
        """Counts as text, for example ``Na2V2P2O10``."""
        return "".join(f"{symbol}{number if number > 1 else ''}" for symbol, number in self.counts.items() if number)

    @property
    def charge(self) -> int:
        """Sum of the oxidation states."""
        full = sum(number * cation(symbol).charge for symbol, number in self.counts.items() if symbol != ANION)
        return full - sum(self.reduced.values()) + ANION_CHARGE * self.counts.get(ANION, 0)

    @property
    def unpaired_electrons(self) -> int:
        """Unpaired electrons of the cell, all cations in high spin."""
        total = 0
        for symbol, number in self.counts.items():
            if symbol != ANION:
                full, lower = cation(symbol).unpaired
                low = self.reduced.get(symbol, 0)
                total += (number - low) * full + low * lower
        return total

    @property
    def mass_amu(self) -> float:
        """Mass of the cell in atomic mass units."""
        return float(sum(number * atomic_masses[atomic_numbers[symbol]] for symbol, number in self.counts.items()))

    def volume(self, density_g_cm3: float) -> float:
        """Return the volume in angstrom^3 of the cell at a mass density."""
        return self.mass_amu / (density_g_cm3 * GRAM_PER_CM3_IN_AMU_ANGSTROM3)

    def number_density(self, density_g_cm3: float) -> float:
        """Return atoms per angstrom^3 at a mass density."""
        return self.n_atoms / self.volume(density_g_cm3)

    def mass_density(self, volume: float) -> float:
        """Return the mass density in g/cm^3 of the cell in ``volume`` angstrom^3."""
        return self.mass_amu / volume / GRAM_PER_CM3_IN_AMU_ANGSTROM3


def compose(oxides: Mapping[str, float], reduced: Mapping[str, float], atoms: int) -> Composition:
    """Return the cell of exactly ``atoms`` atoms with the given moles of oxides.

    :param oxides: formula to moles in any common scale, for example ``{"Na2O": 35, "V2O5": 25, "P2O5": 40}``.
    :param reduced: element to the fraction of its atoms one electron below the full state; each such atom takes half an
        oxygen with it, so V2O5 at 1.0 stands for VO2.
    :param atoms: number of atoms.
    :raises InputError: for an unknown oxide, a fraction out of range, or a size that gives no whole, neutral cell;
        the message names the nearest sizes that do.
    """
    unit = formula_unit(oxides, reduced)
    size = unit.n_atoms
    if atoms < 1 or atoms % size:
        first = max(1, atoms // size)
        near = ", ".join(str(size * (first + step)) for step in range(_SUGGESTIONS))
        raise InputError(
            f"no whole, neutral cell of {atoms} atoms has this composition: it comes in units of {size} atoms "
            f"({unit.formula}); nearest: {near} atoms."
        )
    times = atoms // size
    return Composition(
        {symbol: number * times for symbol, number in unit.counts.items()},
        {symbol: number * times for symbol, number in unit.reduced.items()},
    )


def formula_unit(oxides: Mapping[str, float], reduced: Mapping[str, float]) -> Composition:
    """Return the smallest whole, neutral cell with the given moles of oxides (arguments as in :func:`compose`).

    :raises InputError: for an unknown oxide or a fraction out of range.
    """
    amounts: dict[str, Fraction] = {}
    oxygen = Fraction(0)
    for name, moles in oxides.items():
        here, anions = _read_oxide(name)
        share = _fraction(moles, f"moles of {name}")
        for symbol, number in here.items():
            amounts[symbol] = amounts.get(symbol, Fraction(0)) + share * number
        oxygen += share * anions
    amounts = {symbol: amount for symbol, amount in amounts.items() if amount}
    if not amounts:
        raise InputError("a composition needs at least one oxide with more than zero moles.")
    lowered = {symbol: _lowered(symbol, share, amounts) for symbol, share in reduced.items()}
    amounts[ANION] = oxygen - sum(lowered.values(), Fraction(0)) / -ANION_CHARGE

    scale = _to_whole([*amounts.values(), *lowered.values()])
    return Composition(
        {symbol: int(amount * scale) for symbol, amount in amounts.items()},
        {symbol: int(amount * scale) for symbol, amount in lowered.items()},
    )


def _to_whole(values: Sequence[Fraction]) -> Fraction:
    """Return the smallest factor that makes every value a whole number."""
    common = math.lcm(*(value.denominator for value in values))
    return Fraction(common, math.gcd(*(int(value * common) for value in values)))


def _read_oxide(name: str) -> tuple[dict[str, int], int]:
    try:
        counts = dict(Formula(name).count())
    except ValueError as error:
        raise InputError(f"`{name}` is not a chemical formula; write oxides as V2O5 or Na2O.") from error
    anions = counts.pop(ANION, 0)
    if not counts or not anions:
        raise InputError(f"`{name}` is not an oxide; write oxides as V2O5 or Na2O.")
    charge = sum(number * cation(symbol).charge for symbol, number in counts.items()) + ANION_CHARGE * anions
    if charge:
        states = ", ".join(f"{symbol} at +{cation(symbol).charge}" for symbol in counts)
        raise InputError(
            f"`{name}` is not neutral with {states}; give the fully oxidised oxide and say how much is reduced, "
            "for example V2O5 with reduced: {V: 1.0} for VO2."
        )
    return counts, anions


def _lowered(symbol: str, share: float, amounts: Mapping[str, Fraction]) -> Fraction:
    if symbol not in amounts:
        raise InputError(f"reduced names {symbol}, which the oxides do not hold; they hold {', '.join(amounts)}.")
    if cation(symbol).reduced is None:
        raise InputError(f"{symbol} has no reduced state in glasses here; leave it out of `reduced`.")
    fraction = _fraction(share, f"reduced share of {symbol}")
    if fraction > 1:
        raise InputError(f"the reduced share of {symbol} is {share:g}; a fraction from 0 to 1 is expected.")
    return amounts[symbol] * fraction


def _fraction(value: float, what: str) -> Fraction:
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{what}: {value!r} is not a number from zero up.")
    # The written decimal is meant, not the binary neighbour: 0.352 is 44/125; thirds are found behind six digits.
    written = Fraction(repr(float(value)))
    near = written.limit_denominator(_LARGEST_DENOMINATOR)
    simple = written.limit_denominator(100)
    return simple if abs(simple - written) < Fraction(1, 10**6) else near
