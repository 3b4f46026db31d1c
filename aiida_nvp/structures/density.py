"""A starting density where the user gives none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiida_nvp.common.elements import ANION
from aiida_nvp.structures.composition import Composition

FALLBACK_ATOMS_PER_ANGSTROM3: Final = 0.075
"""Oxide glasses with modifiers lie within a tenth of this: NaPO3 0.074, Na2SiO3 0.076, 50 V2O5 - 50 P2O5 0.0735."""


@dataclass(frozen=True)
class BinaryDensity:
    """Measured mass density of a binary oxide glass, linear in composition.

    :param first: cation whose share of all cations is x. ``second``: the other one.
    :param intercept_g_cm3: density at x = 0; ``slope_g_cm3``: its rise up to x = 1.
    """

    first: str
    second: str
    intercept_g_cm3: float
    slope_g_cm3: float


MEASURED: Final[tuple[BinaryDensity, ...]] = (
    # x V2O5 - (1-x) P2O5, x = 0.35-0.95: Saiko et al. 2020, 10.1016/j.ssi.2019.115180
    BinaryDensity("V", "P", 2.64, 0.36),
)


def estimate_density_g_cm3(composition: Composition) -> float:
    """Return a measured line where one covers exactly these cations, else the mass at a common number density."""
    cations = {symbol: number for symbol, number in composition.counts.items() if symbol != ANION and number}
    for line in MEASURED:
        if set(cations) == {line.first, line.second}:
            share = cations[line.first] / sum(cations.values())
            return line.intercept_g_cm3 + line.slope_g_cm3 * share
    return composition.mass_density(composition.n_atoms / FALLBACK_ATOMS_PER_ANGSTROM3)
