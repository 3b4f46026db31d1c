"""What scatters: coherent neutron scattering lengths and X-ray form factors of the elements, from tables of libraries.

X-ray form factors come from ``periodictable`` where it is installed: five Gaussians and a constant, good to
75 1/angstrom (Waasmaier and Kirfel 1995, DOI 10.1107/S0108767394013292). Else they come from ``pymatgen``, whose four
Gaussians were made for electrons: within 3 % of those up to 10 1/angstrom and 8 % up to 16, where they end, but for
few elements.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from types import ModuleType

import numpy as np
from ase.data import atomic_numbers

from aiida_nvp.analysis.statistics import FloatArray
from aiida_nvp.analysis.structure.species import symbol_of
from aiida_nvp.common.errors import InputError

_MOTT_BETHE = 41.78214
_NEUTRONS, _ELECTRONS = "neutron_scattering_length.json", "atomic_scattering_params.json"


def neutron_lengths(species: Sequence[int]) -> FloatArray:
    """Return (S,) bound coherent scattering lengths in fm, of the natural mixture of isotopes.

    :param species: atomic numbers.
    :raises InputError: for an element without a table.
    """
    table = _table(_NEUTRONS)
    return np.array([_entry(table, number, "neutron scattering length") for number in species], dtype=np.float64)


def form_factors(species: Sequence[int], q: FloatArray) -> FloatArray:
    """Return (S, Q) form factors of neutral atoms in electrons; NaN beyond :func:`xray_q_max`.

    :param species: atomic numbers.
    :param q: (Q,) 1/angstrom.
    :raises InputError: for an element without a table.
    """
    exact = _periodictable()
    if exact is None:
        return np.stack([_from_electrons(number, q) for number in species])
    try:
        return np.stack([np.asarray(exact.fxrayatq(symbol_of(number), q), dtype=np.float64) for number in species])
    except KeyError as error:
        raise InputError(f"no X-ray form factor is tabulated for {error.args[0]}.") from error


def xray_q_max() -> float:
    """Return the largest Q in 1/angstrom that the table of form factors serves."""
    return 16.0 if _periodictable() is None else 75.0


def xray_source() -> str:
    """Return where the form factors come from, for the record of a result."""
    if _periodictable() is None:
        return "pymatgen, four Gaussians for electrons and the Mott-Bethe relation, to 16 1/angstrom"
    return "periodictable, Waasmaier and Kirfel 1995"


def _from_electrons(number: int, q: FloatArray) -> FloatArray:
    """Mott-Bethe: electrons see the nucleus less the electrons, f_X = Z - 41.78 s^2 f_e with s = Q / 4 pi."""
    gaussians = np.asarray(_entry(_table(_ELECTRONS), number, "X-ray form factor"), dtype=np.float64)
    s2 = (np.asarray(q, dtype=np.float64) / (4 * np.pi)) ** 2
    electrons = gaussians[:, 0] @ np.exp(-gaussians[:, 1, None] * s2)
    return np.where(q <= xray_q_max(), number - _MOTT_BETHE * s2 * electrons, np.nan)


@cache
def _table(name: str) -> dict[str, object]:
    text = files("pymatgen.analysis.diffraction").joinpath(name).read_text(encoding="utf-8")
    return {symbol: value for symbol, value in json.loads(text).items() if symbol in atomic_numbers}


def _entry(table: dict[str, object], number: int, what: str) -> object:
    if (symbol := symbol_of(number)) not in table:
        raise InputError(f"no {what} is tabulated for {symbol}.")
    return table[symbol]


@cache
def _periodictable() -> ModuleType | None:
    if find_spec("periodictable") is None:
        return None
    return importlib.import_module("periodictable.cromermann")
