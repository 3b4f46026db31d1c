"""What a diffractometer does to a curve: the end of its range in Q blurs functions of r, its resolution blurs S(Q)."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import sici

from aiida_nvp.common.errors import InputError

_TO_SIGMA = 1 / (2 * np.sqrt(2 * np.log(2)))
_TAIL = 0.75
"""From this share of the range on, T(r) is taken for its average straight line."""


def peak_shape(r: NDArray[np.float64], q_max: float, window: Literal["none", "lorch"]) -> NDArray[np.float64]:
    """Return what the transform of a range that ends at ``q_max`` makes of a sharp distance.

    P(r) = 1/pi int_0^Qmax M(Q) cos(Q r) dQ with M = 1 or sin(D Q) / (D Q), D = pi / Qmax (Lorch 1969, DOI
    10.1088/0022-3719/2/2/305); its area is 1, its full width at half maximum 3.79 / Qmax or 5.44 / Qmax.
    """
    if window == "none":
        return q_max / np.pi * np.sinc(q_max * r / np.pi)
    delta = np.pi / q_max
    upper, lower = sici((r + delta) * q_max)[0], sici((r - delta) * q_max)[0]
    shape: NDArray[np.float64] = (upper - lower) / (2 * np.pi * delta)
    return shape


def broadened_in_r(
    r: NDArray[np.float64], y: NDArray[np.float64], quantity: str, q_max: float, window: Literal["none", "lorch"]
) -> NDArray[np.float64]:
    """Return ``g(r)``, ``G(r)`` or ``T(r)`` as a measurement up to ``q_max`` shows it.

    The part that goes to zero at large r, odd in r, is convoluted with :func:`peak_shape`. Beyond the calculated range
    it counts as zero: ripples from there are missing, most of all with a step.

    :param r: (C,) angstrom, positive and rising, finer than pi / q_max.
    :raises InputError: if r is too coarse, or not positive.
    """
    if not r[0] >= 0:
        raise InputError("functions of r begin at zero or above.")
    if np.diff(r).max() > np.pi / q_max:
        raise InputError(
            f"points of a calculated {quantity} lie up to {np.diff(r).max():.3g} angstrom apart; "
            f"to be broadened to Q_max = {q_max:g} 1/angstrom they must lie within {np.pi / q_max:.3g}."
        )
    if quantity == "g(r)":
        odd = r * (y - 1)
        blurred = _convoluted(r, odd, q_max, window)
        positive = r > 0
        return np.where(positive, 1 + blurred / np.where(positive, r, 1.0), 0.0)
    line = np.zeros_like(r)
    if quantity == "T(r)":
        tail = r >= _TAIL * r[-1]
        line = r * (y[tail] @ r[tail]) / (r[tail] @ r[tail])
    return line + _convoluted(r, y - line, q_max, window)


def broadened_in_q(q: NDArray[np.float64], y: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Return S(Q) folded with a Gaussian of full width at half maximum ``width`` (1/angstrom), its ends kept level."""
    sigma = width * _TO_SIGMA
    weights = np.exp(-((q[:, None] - q[None, :]) ** 2) / (2 * sigma**2)) * np.gradient(q)
    blurred: NDArray[np.float64] = weights @ y / weights.sum(axis=1)
    return blurred


def _convoluted(
    r: NDArray[np.float64], odd: NDArray[np.float64], q_max: float, window: Literal["none", "lorch"]
) -> NDArray[np.float64]:
    steps = np.zeros_like(r)
    steps[:-1] += np.diff(r) / 2
    steps[1:] += np.diff(r) / 2
    kernel = peak_shape(r[:, None] - r, q_max, window) - peak_shape(r[:, None] + r, q_max, window)
    blurred: NDArray[np.float64] = kernel @ (odd * steps)
    return blurred
