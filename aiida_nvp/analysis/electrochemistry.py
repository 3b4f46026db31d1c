"""What a glass could store: theoretical capacity from charge balance, and the average voltage between two contents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from aiida_nvp.common.elements import ANION, ANION_CHARGE, cation
from aiida_nvp.common.errors import InputError

MAH_PER_MOL = 96485.33212 / 3.6
"""Charge of a mole of electrons in mAh (CODATA 2018)."""

_VALENCE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Redox:
    """The ion that comes and goes, and the element that takes up its charge.

    :param mobile: for example Na, one electron each.
    :param element: for example V.
    :param lowest: oxidation state down to which it is reduced by inserting ions.
    :param highest: up to which it is oxidised by removing them.
    :raises InputError: if the states are in the wrong order.
    """

    mobile: str = "Na"
    element: str = "V"
    lowest: int = 3
    highest: int = 5

    def __post_init__(self) -> None:
        """Refuse states in the wrong order."""
        if not 0 <= self.lowest < self.highest:
            raise InputError(f"redox: {self.element} cannot go from {self.lowest} up to {self.highest}.")


@dataclass(frozen=True)
class Capacity:
    """Theoretical capacities; a bound for what a cell shows, which also loses ions to side reactions.

    :param valence: mean oxidation state of the redox element in the glass as made.
    :param per_electron_mah_g: one electron for each redox atom, per gram of the glass as made.
    :param removable: ions per redox atom that can be taken out, until they or the higher states run out.
    :param removable_mah_g: the same as a capacity.
    :param insertable: ions per redox atom that can be put in, until the lower states run out.
    :param insertable_mah_g: the same as a capacity.
    :param reversible_mah_g: between both ends.
    :param limited_by: what ends the removal, in words.
    """

    valence: float
    per_electron_mah_g: float
    removable: float
    removable_mah_g: float
    insertable: float
    insertable_mah_g: float
    reversible_mah_g: float
    limited_by: str


@dataclass(frozen=True)
class Energies:
    """Total energies of cells of one content of ions.

    :param counts: atoms of the cell by symbol, the same for all energies.
    :param energies: eV, one a structure: several quenches of a glass, or one crystal.
    :raises InputError: if there is no energy, or one is not finite.
    """

    counts: Mapping[str, int]
    energies: Sequence[float]

    def __post_init__(self) -> None:
        """Refuse what is no set of energies."""
        if not len(self.energies) or not np.isfinite(self.energies).all():
            raise InputError("voltage: every content needs at least one energy, all of them finite.")


@dataclass(frozen=True)
class Voltage:
    """Average voltage against the metal.

    :param volts: mean over the structures.
    :param error: standard error from their scatter; None if a content has one structure only.
    :param low, high: ions per redox atom, or per atom of the host where there is no redox atom, between which it holds.
    :param caveats: what this number leaves out, in sentences.
    """

    volts: float
    error: float | None
    low: float
    high: float
    caveats: tuple[str, ...]


def mean_valence(counts: Mapping[str, float], element: str) -> float:
    """Return the oxidation state of ``element`` that balances the charges, all other cations in their full state.

    :param counts: atoms or moles by symbol.
    :raises InputError: if the element is not there, an element is no cation of an oxide, or the state is not possible.
    """
    here = counts.get(element, 0.0)
    if not here > 0:
        raise InputError(f"no {element} in {_formula(counts)}, so nothing takes up the charge.")
    others = sum(n * cation(symbol).charge for symbol, n in counts.items() if symbol not in (ANION, element) and n)
    valence = (-ANION_CHARGE * counts.get(ANION, 0.0) - others) / here
    full = cation(element).charge
    if not -_VALENCE_TOLERANCE <= valence <= full + _VALENCE_TOLERANCE:
        raise InputError(
            f"{element} would have to be {valence:+.3g} in {_formula(counts)}; 0 to {full:+d} is possible."
        )
    return float(valence)


def capacity_mah_g(electrons: float, mass_g_mol: float) -> float:
    """Return n F / (3.6 M): mAh/g for ``electrons`` moles a formula of ``mass_g_mol``.

    :raises InputError: if the mass is not positive.
    """
    if not mass_g_mol > 0:
        raise InputError(f"capacity: a molar mass must be positive; it is {mass_g_mol} g/mol.")
    return electrons * MAH_PER_MOL / mass_g_mol


def theoretical_capacity(counts: Mapping[str, float], redox: Redox | None = None) -> Capacity:
    """Return what charge balance allows, for any formula.

    Removal ends where the ions or the higher states run out, insertion where the lower states do: whether there is room
    for the ions is another question.

    :param counts: atoms or moles by symbol of the glass as made.
    :raises InputError: as :func:`mean_valence`; if the element is beyond the states stated.
    """
    pair = redox or Redox()
    valence = mean_valence(counts, pair.element)
    if not pair.lowest - _VALENCE_TOLERANCE <= valence <= pair.highest + _VALENCE_TOLERANCE:
        raise InputError(
            f"capacity: {pair.element} is {valence:+.3g} in {_formula(counts)}, "
            f"outside of {pair.lowest} to {pair.highest}."
        )
    atoms, ions, mass = counts[pair.element], counts.get(pair.mobile, 0.0), molar_mass(counts)
    by_charge, by_ions = max(0.0, pair.highest - valence), ions / atoms
    removable, insertable = min(by_charge, by_ions), max(0.0, valence - pair.lowest)
    return Capacity(
        valence=valence,
        per_electron_mah_g=capacity_mah_g(atoms, mass),
        removable=removable,
        removable_mah_g=capacity_mah_g(removable * atoms, mass),
        insertable=insertable,
        insertable_mah_g=capacity_mah_g(insertable * atoms, mass),
        reversible_mah_g=capacity_mah_g((removable + insertable) * atoms, mass),
        limited_by=f"{pair.mobile} in the glass" if by_ions < by_charge else f"{pair.element}{pair.highest}+",
    )


def electrons_per_redox(capacity: float, counts: Mapping[str, float], element: str = "V") -> float:
    """Return the electrons for each redox atom that a measured capacity in mAh/g of the glass as made amounts to.

    :raises InputError: if the element is not there.
    """
    here = counts.get(element, 0.0)
    if not here > 0:
        raise InputError(f"no {element} in {_formula(counts)}, so no electrons for each of it.")
    return capacity * molar_mass(counts) / MAH_PER_MOL / here


def molar_mass(counts: Mapping[str, float]) -> float:
    """Return the mass in g/mol of a formula.

    :raises InputError: on an unknown element or an empty formula.
    """
    unknown = sorted(set(counts) - set(atomic_numbers))
    if unknown:
        raise InputError(f"{unknown[0]!r} is no element.")
    mass = float(sum(number * atomic_masses[atomic_numbers[symbol]] for symbol, number in counts.items()))
    if not mass > 0:
        raise InputError("a formula needs atoms to have a mass.")
    return mass


def average_voltage(lower: Energies, higher: Energies, metal_ev: float, redox: Redox | None = None) -> Voltage:
    """Return -(E_high - E_low - dx E_metal) / dx between two contents of the mobile ion, one electron each.

    Energies are taken per host: per redox atom, or per atom that is not mobile. Aydinol et al. 1997, DOI
    10.1103/PhysRevB.56.1354.

    :param lower: cells of the lower content, ``higher`` of the higher one; the host has to be the same, of any size.
    :param metal_ev: energy of an atom of the metal in eV, at the same level of theory.
    :raises InputError: if the hosts differ or the contents do not rise.
    """
    pair = redox or Redox()
    if not np.isfinite(metal_ev):
        raise InputError(f"voltage: the energy of {pair.mobile} metal is {metal_ev}; a finite number is needed.")
    hosts = [_host(content.counts, pair.mobile) for content in (lower, higher)]
    units = [host.get(pair.element, sum(host.values())) for host in hosts]
    if not min(units) > 0:
        raise InputError("voltage: a cell has no host, only mobile ions.")
    shares = [{symbol: n / unit for symbol, n in host.items()} for host, unit in zip(hosts, units, strict=True)]
    if shares[0].keys() != shares[1].keys() or any(
        abs(shares[0][s] - shares[1][s]) > _VALENCE_TOLERANCE for s in shares[0]
    ):
        raise InputError(
            f"voltage: the hosts of {_formula(lower.counts)} and {_formula(higher.counts)} "
            f"differ in more than {pair.mobile}."
        )
    x = [content.counts.get(pair.mobile, 0) / unit for content, unit in zip((lower, higher), units, strict=True)]
    if not x[1] > x[0]:
        raise InputError(
            f"voltage: the second content must hold more {pair.mobile} than the first; it is {x[1]:g} after {x[0]:g}."
        )
    per_host = [np.asarray(content.energies) / unit for content, unit in zip((lower, higher), units, strict=True)]
    volts = -(per_host[1].mean() - per_host[0].mean() - (x[1] - x[0]) * metal_ev) / (x[1] - x[0])
    error = None
    if min(len(energies) for energies in per_host) > 1:
        error = float(np.sqrt(sum(e.var(ddof=1) / len(e) for e in per_host)) / (x[1] - x[0]))
    return Voltage(float(volts), error, x[0], x[1], _caveats(pair, [len(e) for e in per_host]))


def _caveats(pair: Redox, structures: Sequence[int]) -> tuple[str, ...]:
    found = [
        "entropy, zero-point motion and pressure times volume are left out",
        f"the energy of {pair.mobile} metal must be of the same functional, pseudopotentials and cutoffs; a U on "
        f"{pair.element} has no counterpart in the metal and shifts the voltage",
        "it is the average between the two contents, not a curve: a glass has no plateaus to read it from",
    ]
    if min(structures) == 1:
        found.append("one structure a content: the scatter between quenches is not in the error")
    return tuple(found)


def _host(counts: Mapping[str, int], mobile: str) -> dict[str, int]:
    return {symbol: number for symbol, number in counts.items() if symbol != mobile and number}


def _formula(counts: Mapping[str, float]) -> str:
    return "".join(f"{symbol}{number:g}" for symbol, number in counts.items() if number) or "an empty formula"
