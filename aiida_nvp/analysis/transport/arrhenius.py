"""Activation energy and what it promises at other temperatures: ln D = ln D_0 - E / (k T), with errors throughout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import BOLTZMANN_EV_K

ROOM_TEMPERATURE = 298.0
FEWEST_TEMPERATURES = 2
FEWEST_FOR_SCATTER = 3

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """A quantity at one temperature: ``temperature`` in K, ``value`` and standard ``error`` in one unit."""

    temperature: float
    value: float
    error: float


@dataclass(frozen=True)
class Prediction:
    """A value at a temperature with the interval that holds it with probability ``level``."""

    temperature: float
    value: float
    low: float
    high: float
    level: float


@dataclass(frozen=True)
class Arrhenius:
    """A line through ln D over 1 / kT.

    :param activation_ev: E with standard error ``activation_error_ev``.
    :param prefactor: D_0 in the unit of the values.
    :param chi2_reduced: of the residuals; above 1 all errors are widened by its root. None with two points.
    :param used: temperatures that the line was fitted to; ``above_tg``: those left out or flagged.
    :param sentence: what to tell the user.
    """

    activation_ev: float
    activation_error_ev: float
    prefactor: float
    covariance: FloatArray
    chi2_reduced: float | None
    used: tuple[float, ...]
    above_tg: tuple[float, ...]
    sentence: str

    def at(self, temperature: float, level: float = 0.68) -> Prediction:
        """Return what the line says at ``temperature`` (K), with its interval at ``level``."""
        direction = np.array([1.0, -1 / (BOLTZMANN_EV_K * temperature)])
        middle = float(direction @ [np.log(self.prefactor), self.activation_ev])
        width = float(norm.isf((1 - level) / 2)) * float(np.sqrt(direction @ self.covariance @ direction))
        return Prediction(
            temperature, float(np.exp(middle)), float(np.exp(middle - width)), float(np.exp(middle + width)), level
        )


def arrhenius(points: Sequence[Point], glass_transition: float | None = None) -> Arrhenius:
    """Fit points by their errors.

    Ions move by another mechanism in a melt than in a glass, so points above ``glass_transition`` are left out where
    enough remain, and told of otherwise.

    :param glass_transition: K; None if it is not known.
    :raises InputError: on less than two temperatures, or values and errors that are not positive.
    """
    if len({point.temperature for point in points}) < FEWEST_TEMPERATURES:
        raise InputError(f"an activation energy needs two temperatures at least; there are {len(points)} points.")
    if bad := next((p for p in points if not (p.temperature > 0 and p.value > 0 and p.error > 0)), None):
        raise InputError(f"at {bad.temperature} K value and error must be positive; they are {bad.value}, {bad.error}.")
    hot = [point for point in points if glass_transition is not None and point.temperature > glass_transition]
    cold = [point for point in points if point not in hot]
    enough = len({point.temperature for point in cold}) >= FEWEST_TEMPERATURES
    used = cold if enough else list(points)
    inverse = np.array([-1 / (BOLTZMANN_EV_K * point.temperature) for point in used])
    logs = np.log([point.value for point in used])
    weights = np.array([point.value / point.error for point in used])
    design = np.stack([np.ones_like(inverse), inverse], axis=1) * weights[:, None]
    covariance = np.linalg.inv(design.T @ design)
    found = covariance @ design.T @ (logs * weights)
    chi2 = float((((logs * weights) - design @ found) ** 2).sum())
    reduced = chi2 / (len(used) - 2) if len(used) >= FEWEST_FOR_SCATTER else None
    covariance = covariance * max(1.0, reduced or 1.0)
    return Arrhenius(
        activation_ev=float(found[1]),
        activation_error_ev=float(np.sqrt(covariance[1, 1])),
        prefactor=float(np.exp(found[0])),
        covariance=covariance,
        chi2_reduced=reduced,
        used=tuple(point.temperature for point in used),
        above_tg=tuple(point.temperature for point in hot),
        sentence=_sentence(len(used), hot, enough, glass_transition),
    )


def _sentence(used: int, hot: Sequence[Point], enough: bool, glass_transition: float | None) -> str:
    words = f"from {used} temperatures"
    if used < FEWEST_FOR_SCATTER:
        words += ", so that nothing tells whether a line fits"
    if glass_transition is None:
        return f"{words}; the glass transition is not stated: points of the melt would bend the line"
    if not hot:
        return f"{words}, all below the glass transition at {glass_transition:g} K"
    named = ", ".join(f"{point.temperature:g}" for point in hot)
    if enough:
        return f"{words}; {named} K lie above the glass transition at {glass_transition:g} K and are left out"
    return f"{words}, of which {named} K lie above the glass transition at {glass_transition:g} K and tell of the melt"
