"""Unit factors, each defined once.

Everywhere in aiida-nvp: energies in eV, lengths in angstrom, times in ps, temperatures in K, stress in eV/angstrom^3
with ASE's sign (positive under tension). A name carries its unit where it departs from these.
"""

from __future__ import annotations

from typing import Final

from ase import units

RYDBERG_EV: Final[float] = float(units.Rydberg)
HARTREE_EV: Final[float] = float(units.Hartree)
BOHR_ANGSTROM: Final[float] = float(units.Bohr)
GPA_EV_ANGSTROM3: Final[float] = float(units.GPa)
"""One gigapascal in eV/angstrom^3."""
BOLTZMANN_EV_K: Final[float] = float(units.kB)
FEMTOSECOND_ASE: Final[float] = float(units.fs)
"""One femtosecond in ASE's internal time unit."""
FEMTOSECONDS_PER_PICOSECOND: Final[int] = 1000
GRAM_PER_CM3_IN_AMU_ANGSTROM3: Final[float] = 1e-24 / float(units._amu * 1e3)
"""Multiply a density in g/cm^3 by this to get atomic mass units per cubic angstrom."""
