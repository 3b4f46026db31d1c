"""Which units measured curves come in, and the one that each quantity is kept in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Unit:
    """A unit by what it becomes.

    :param kept: the unit that values are kept in.
    :param convert: values to that unit.
    :param slope: its derivative at these values, by which errors are converted.
    """

    kept: str
    convert: Callable[[Values], Values]
    slope: Callable[[Values], Values]


@dataclass(frozen=True)
class Quantity:
    """Units of the two columns of a curve; ``real_space`` for functions of a distance, ``positive`` if y must be."""

    x: dict[str, Unit]
    y: dict[str, Unit]
    real_space: bool = False
    positive: bool = False


def _times(factor: float, kept: str) -> Unit:
    return Unit(kept, lambda values: values * factor, lambda values: np.full_like(values, factor))


def _power(factor: float, kept: str) -> Unit:
    def convert(values: Values) -> Values:
        return np.asarray(factor * 10.0**values, dtype=np.float64)

    return Unit(kept, convert, lambda values: convert(values) * np.log(10))


_ONE = {"1": _times(1, "1")}
_LENGTH = {"angstrom": _times(1, "angstrom"), "nm": _times(10, "angstrom")}
_TEMPERATURE = {
    "K": _times(1, "K"),
    "degC": Unit("K", lambda values: values + 273.15, np.ones_like),
    "1000/K": Unit("K", lambda values: 1000 / values, lambda values: -1000 / values**2),
}
_CORRELATION = {
    "1/angstrom^2": _times(1, "1/angstrom^2"),
    "1/nm^2": _times(0.01, "1/angstrom^2"),
    "barn/angstrom^2": _times(1, "barn/angstrom^2"),
}

QUANTITIES: Final[dict[str, Quantity]] = {
    "S(Q)": Quantity({"1/angstrom": _times(1, "1/angstrom"), "1/nm": _times(0.1, "1/angstrom")}, _ONE),
    "g(r)": Quantity(_LENGTH, _ONE, real_space=True),
    "G(r)": Quantity(_LENGTH, _CORRELATION, real_space=True),
    "T(r)": Quantity(_LENGTH, _CORRELATION, real_space=True),
    "conductivity": Quantity(
        _TEMPERATURE,
        {
            "S/cm": _times(1, "S/cm"),
            "S/m": _times(0.01, "S/cm"),
            "log10(S/cm)": _power(1, "S/cm"),
            "log10(S/m)": _power(0.01, "S/cm"),
        },
        positive=True,
    ),
    "density": Quantity(_TEMPERATURE, {"g/cm3": _times(1, "g/cm3"), "kg/m3": _times(1e-3, "g/cm3")}, positive=True),
    "Qn": Quantity({"n": _times(1, "n")}, {"1": _times(1, "1"), "%": _times(0.01, "1")}),
}
"""By name: S(Q); g(r); G(r) = 4 pi r rho (g - 1), also called D(r); T(r) = 4 pi r rho g; and three against temperature
or the number of bridging oxygens. T(r) and G(r) of one measurement in barn carry their scattering lengths."""


def unit_of(quantity: str, axis: str, name: str) -> Unit:
    """Return a unit of the ``x`` or ``y`` column.

    :raises InputError: if the quantity does not come in it.
    """
    units: dict[str, Unit] = getattr(QUANTITIES[quantity], axis)
    if name not in units:
        raise InputError(f"{axis} of {quantity} is given in {name!r}; known units are {', '.join(units)}.")
    return units[name]
