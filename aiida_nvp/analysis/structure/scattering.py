"""What scatters: coherent neutron scattering lengths and X-ray form factors of the elements, from ``periodictable``.

Form factors are five Gaussians and a constant, good to 75 1/angstrom (DOI 10.1107/S0108767394013292).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import periodictable
from periodictable.cromermann import fxrayatq

from aiida_nvp.analysis.statistics import FloatArray
from aiida_nvp.analysis.structure.species import symbol_of
from aiida_nvp.common.errors import InputError

XRAY_Q_MAX = 75.0
"""Largest Q in 1/angstrom that the table of form factors serves."""
XRAY_SOURCE = "periodictable, Waasmaier and Kirfel 1995"


def neutron_lengths(species: Sequence[int]) -> FloatArray:
    """Return (S,) bound coherent scattering lengths in fm, of the natural mixture of isotopes.

    :param species: atomic numbers.
    :raises InputError: for an element without a table.
    """
    return np.array([_length(number) for number in species], dtype=np.float64)


def form_factors(species: Sequence[int], q: FloatArray) -> FloatArray:
    """Return (S, Q) form factors of neutral atoms in electrons; NaN beyond :data:`XRAY_Q_MAX`.

    :param species: atomic numbers.
    :param q: (Q,) 1/angstrom.
    :raises InputError: for an element without a table.
    """
    try:
        values = np.stack([np.asarray(fxrayatq(symbol_of(number), q), dtype=np.float64) for number in species])
    except KeyError as error:
        raise InputError(f"no X-ray form factor is tabulated for {error.args[0]}.") from error
    return np.where(q <= XRAY_Q_MAX, values, np.nan)


def _length(number: int) -> float:
    length = periodictable.elements[number].neutron.b_c
    if length is None:
        raise InputError(f"no neutron scattering length is tabulated for {symbol_of(number)}.")
    return float(length)
