"""The state a spin-polarised label starts from, by chemistry: oxidation states, unpaired electrons, signs, kinds.

One geometry has several self-consistent solutions, and pw.x ends in one near its start. The charge balance of the
composition says how many sites are in which oxidation state, bond-valence sums (Brown and Altermatt 1985,
doi:10.1107/S0108768185002063) say which; all sites are in high spin. Nothing depends on what was labelled before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.common.elements import ANION, ANION_CHARGE, BOND_VALENCE_SOFTNESS, cation
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.common.vocabulary import StartRecipe

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

VALENCE_CUTOFF: Final = 3.5
"""Angstrom; a V-O bond of this length carries 0.01 of the 4 or 5 of its site."""
OVERSHOOT: Final = 3.9
"""Starting moment over the number of unpaired electrons. Measured: V4+ with 13 valence electrons that starts at 0.3 of
them, 3.9 Bohr magnetons, converges in 22 iterations; the cycle finds its moment from above, not from zero."""
LARGEST_FRACTION: Final = 1.0
"""The most that pw.x takes, all valence electrons of one spin; a start there was seen to converge as well."""
CLOSED_SHELL_FRACTION: Final = 0.02
"""Start of a site without unpaired electrons: enough for a moment to appear where that lies lower, and never a start
at zero, from which a cell with an odd number of electrons does not converge."""

_DECIMALS = 6
"""Digits of a bond-valence sum or a distance in angstrom that count, so that equal sites stay equal."""
_FRACTION_DECIMALS = 4
_DOWN = 5
"""Added to the digit of a kind whose spin points down."""


@dataclass(frozen=True)
class OxidationStates:
    """Oxidation states of the N atoms of a cell.

    :param states: (N,) oxidation states; oxygen at -2.
    :param counts: number of sites by state of each redox-active element, as of :func:`oxidation_counts`.
    :param bond_valence_sums: (N,) what decided between the sites, as of :func:`bond_valence_sums`.
    """

    states: IntArray
    counts: Mapping[str, Mapping[int, int]]
    bond_valence_sums: FloatArray


@dataclass(frozen=True)
class StartingState:
    """How the N atoms of a cell start.

    :param recipe: what it was asked for.
    :param symbols: (N,) chemical symbols.
    :param states: (N,) oxidation states.
    :param unpaired: (N,) unpaired electrons in high spin.
    :param signs: (N,) 1 for spin up, -1 for spin down, 0 for elements that have no open shell in any state.
    :param differs: whether this is another start than the ferromagnetic one; it is the same where there is nothing to
        permute (all sites of each element in one state) or to oppose (fewer than two sites).
    """

    recipe: StartRecipe
    symbols: tuple[str, ...]
    states: IntArray
    unpaired: IntArray
    signs: IntArray
    differs: bool

    @property
    def kinds(self) -> tuple[str, ...]:
        """(N,) names of the species of pw.x: atoms of one element, state and sign share one.

        An element with one such group keeps its symbol. Of several, each adds one digit: the oxidation state where the
        spin points up, five more (without the ten) where it points down: V5, V4, and V9 for V4+ with its spin down.
        A label of pw.x has three characters at most, and a letter behind a symbol of one character would be read as
        part of the symbol; so there is one digit for both.
        """
        rows = list(zip(self.symbols, self.states.tolist(), self.signs.tolist(), strict=True))
        groups = Counter(symbol for symbol, _, _ in set(rows))
        return tuple(_kind(*row) if groups[row[0]] > 1 else row[0] for row in rows)

    @property
    def net_moment(self) -> int:
        """Unpaired electrons with spin up less those with spin down: the total magnetisation in Bohr magnetons."""
        return int(self.unpaired @ self.signs)

    def magnetization(self, z_valence: Mapping[str, float]) -> dict[str, float]:
        """Return ``starting_magnetization`` of pw.x by kind, kinds without an open shell left out.

        A fraction of the valence electrons between -1 and 1; empty for a cell that needs no spin polarisation.

        :param z_valence: symbol to the number of valence electrons of its pseudopotential.
        :raises InputError: if a magnetic element is missing there or has none.
        """
        start: dict[str, float] = {}
        sites = zip(self.kinds, self.symbols, self.unpaired.tolist(), self.signs.tolist(), strict=True)
        for kind, symbol, unpaired, sign in sites:
            if sign and kind not in start:
                start[kind] = sign * _fraction(symbol, unpaired, z_valence)
        return start

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "recipe": self.recipe.value,
            "states": self.states.tolist(),
            "unpaired": self.unpaired.tolist(),
            "signs": self.signs.tolist(),
            "differs": self.differs,
        }


def oxidation_counts(atoms: Iterable[int | str]) -> dict[str, dict[int, int]]:
    """Return the number of atoms in each oxidation state, by redox-active element, from the charge balance.

    The electrons that the full states leave over go to the step with the highest standard potential, to all atoms of
    that element before the next step begins. With one redox-active element this is the fewest different states: V5+ and
    V4+, or V4+ and V3+. With several it is a documented guess: of vanadium and iron, V4+ comes before Fe2+ and that
    before V3+.

    :param atoms: atomic numbers or symbols of all atoms.
    :returns: states that occur only, highest first; empty without a redox-active element.
    :raises InputError: for an unknown cation, or for a charge that no allowed state can take.
    """
    numbers = Counter(atom if isinstance(atom, str) else chemical_symbols[atom] for atom in atoms)
    elements = {symbol: cation(symbol) for symbol in numbers if symbol != ANION}
    left = sum(numbers[symbol] * element.charge for symbol, element in elements.items())
    left += ANION_CHARGE * numbers[ANION]
    if left < 0:
        raise InputError(_unbalanced(numbers, left, "highest", "there is too much oxygen"))
    counts = {s: dict.fromkeys(e.states, 0) | {e.charge: numbers[s]} for s, e in elements.items() if e.reduced}
    steps = [
        (-potential, symbol, state)
        for symbol in counts
        for potential, state in zip(elements[symbol].potentials, elements[symbol].states, strict=False)
    ]
    for _, symbol, state in sorted(steps):
        moved = min(left, numbers[symbol])
        counts[symbol][state] -= moved
        counts[symbol][state - 1] += moved
        left -= moved
    if left > 0:
        raise InputError(_unbalanced(numbers, left, "lowest", "there is too little oxygen"))
    return {symbol: {state: n for state, n in by_state.items() if n} for symbol, by_state in counts.items()}


def bond_valence_sums(atoms: Atoms, cutoff: float = VALENCE_CUTOFF) -> FloatArray:
    """Return (N,) the sum over each atom's cation-oxygen bonds of exp((R0 - r) / b), images included.

    Every bond is measured by the R0 of the element's highest state, so that sites of one element compare; the sum comes
    out 5 % high for V4+ and 18 % for V3+. An oxygen has the sum of its bonds, about 2.

    :param atoms: taken as periodic along all three vectors.
    :param cutoff: angstrom.
    :raises InputError: for an unknown cation or a cell without volume.
    """
    if atoms.cell.rank < 3:  # noqa: PLR2004 - a volume has three dimensions
        raise InputError("the cell has no volume; bond valences need a periodic cell with three vectors.")
    symbols = np.array(atoms.get_chemical_symbols())
    anion = symbols == ANION
    length = np.array([0.0 if symbol == ANION else cation(symbol).unit_length for symbol in symbols])
    pairs = find_pairs(atoms.positions, atoms.cell.array, cutoff)
    bonds = ~anion[pairs.first] & anion[pairs.second]
    centre, oxygen = pairs.first[bonds], pairs.second[bonds]
    valence = np.exp((length[centre] - pairs.distance[bonds]) / BOND_VALENCE_SOFTNESS)
    sums = np.bincount(centre, valence, len(atoms)) + np.bincount(oxygen, valence, len(atoms))
    return np.asarray(sums, dtype=np.float64)


def assign_states(atoms: Atoms) -> OxidationStates:
    """Return the oxidation state of every atom: of one element, sites with the larger sum get the higher states.

    Equal sums are taken in order of index.

    :raises InputError: as of :func:`oxidation_counts` and :func:`bond_valence_sums`.
    """
    counts, sums = oxidation_counts(atoms.numbers.tolist()), bond_valence_sums(atoms)
    return OxidationStates(_deal(atoms, counts, sums), counts, sums)


def starting_state(atoms: Atoms, recipe: StartRecipe, seed: int = 0) -> StartingState:
    """Return how the atoms start.

    ``ferromagnetic``: states by bond valence, all spins up. ``permuted``: the states of each element dealt to its sites
    in another order. ``antiferromagnetic``: states by bond valence; from the first site with unpaired electrons a walk
    goes to the nearest one not yet visited, and the sign changes with each step. In a cell without unpaired electrons
    the walk is over the sites that could have some. Where a recipe has nothing to change it gives the ferromagnetic
    start, and ``differs`` says so.

    :param seed: of the permutation.
    :raises InputError: as of :func:`assign_states`.
    """
    usual = assign_states(atoms)
    states = usual.states
    if recipe is StartRecipe.PERMUTED:
        states = _deal(atoms, usual.counts, usual.bond_valence_sums, np.random.default_rng(seed))
    symbols = tuple(atoms.get_chemical_symbols())
    known = [None if symbol == ANION else cation(symbol) for symbol in symbols]
    unpaired = np.array(
        [element.unpaired_in(state) if element else 0 for element, state in zip(known, states.tolist(), strict=True)],
        dtype=np.int64,
    )
    signs = np.array([int(element is not None and element.open_shell) for element in known], dtype=np.int64)
    if recipe is StartRecipe.ANTIFERROMAGNETIC:
        sites = np.flatnonzero(unpaired if unpaired.any() else signs)
        signs[sites] = _alternate(atoms, sites)
    differs = bool((states != usual.states).any() or (signs < 0).any())
    return StartingState(recipe, symbols, states, unpaired, signs, differs)


def _deal(
    atoms: Atoms, counts: Mapping[str, Mapping[int, int]], sums: FloatArray, rng: np.random.Generator | None = None
) -> IntArray:
    """Return (N,) states, in the order of the bond-valence sums or, with ``rng``, in another one."""
    symbols = np.array(atoms.get_chemical_symbols())
    states = np.array([ANION_CHARGE if s == ANION else cation(s).charge for s in symbols], dtype=np.int64)
    for symbol, numbers in counts.items():
        sites = np.flatnonzero(symbols == symbol)
        ranked = sites[np.argsort(-np.round(sums[sites], _DECIMALS), kind="stable")]
        hand = np.repeat(list(numbers), list(numbers.values()))
        states[ranked] = hand if rng is None else _another_order(hand, rng)
    return states


def _another_order(hand: IntArray, rng: np.random.Generator) -> IntArray:
    shuffled = rng.permutation(hand)
    # The hand falls, so its reverse differs from it wherever any order does.
    return hand[::-1] if (shuffled == hand).all() else shuffled


def _alternate(atoms: Atoms, sites: IntArray) -> IntArray:
    """Return (S,) signs of the sites, alternating along a walk to nearest neighbours; at most one more up than down."""
    signs = np.ones(len(sites), dtype=np.int64)
    if len(sites) < 2:  # noqa: PLR2004 - a pair
        return signs
    apart = Atoms(positions=atoms.positions[sites], cell=atoms.cell, pbc=True).get_all_distances(mic=True)
    apart = np.round(apart, _DECIMALS)
    here, sign = 0, 1
    for _ in range(len(sites) - 1):
        apart[:, here] = np.inf
        here, sign = int(np.argmin(apart[here])), -sign
        signs[here] = sign
    return signs


def _kind(symbol: str, state: int, sign: int) -> str:
    return f"{symbol}{state if sign >= 0 else (state + _DOWN) % 10}"


def _fraction(symbol: str, unpaired: int, z_valence: Mapping[str, float]) -> float:
    valence = z_valence.get(symbol, 0)
    if not valence > 0:
        raise InputError(
            f"z_valence: {symbol} has {z_valence.get(symbol)}; the valence electrons of its pseudopotential are needed."
        )
    if not unpaired:
        return CLOSED_SHELL_FRACTION
    return min(round(OVERSHOOT * unpaired / valence, _FRACTION_DECIMALS), LARGEST_FRACTION)


def _unbalanced(numbers: Mapping[str, int], left: int, end: str, why: str) -> str:
    """Return the sentence on a charge that stays with every cation at one ``end`` of its states."""
    formula = "".join(f"{symbol}{number if number > 1 else ''}" for symbol, number in numbers.items())
    where = 0 if end == "highest" else -1
    at = ", ".join(f"{symbol} at +{cation(symbol).states[where]}" for symbol in numbers if symbol != ANION)
    return f"{formula}: a charge of {left:+d} is left with every cation in its {end} state ({at}); {why}."
