"""How far a calculated curve agrees with a measured one, on the measured points and at the measured resolution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aiida_nvp.analysis.experiment.broadening import broadened_in_q, broadened_in_r
from aiida_nvp.analysis.experiment.measured import Curve
from aiida_nvp.analysis.experiment.units import QUANTITIES
from aiida_nvp.common.errors import InputError

_LEAST_POINTS = 5


@dataclass(frozen=True)
class Agreement:
    """Agreement over a stated range at a stated resolution; numbers of different ranges do not compare.

    :param r_chi_percent: 100 sqrt(sum (measured - calculated)^2 / sum measured^2).
    :param r_chi_error: its standard error from that of the calculated curve; None without one.
    :param chi2: mean of ((measured - calculated) / error)^2, errors of both added in squares; None where the
        measurement has no errors. About 1 means agreement within errors.
    :param points: measured points that count.
    :param x_min, x_max: the range, in the unit of ``x``.
    :param broadening: what was done to the calculated curve, in words.
    :param sentence: all of it in one line.
    """

    r_chi_percent: float
    r_chi_error: float | None
    chi2: float | None
    points: int
    x_min: float
    x_max: float
    broadening: str
    sentence: str


@dataclass(frozen=True)
class Calculated:
    """A calculated curve of C points, not broadened, in the units of the measured one.

    :param x: (C,) rising.
    :param y: (C,).
    :param error: (C,) standard errors of ``y``, or None.
    :raises InputError: if the arrays do not belong together, do not rise or are not finite.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    error: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        """Refuse arrays that are no curve."""
        if (
            self.x.ndim != 1
            or self.x.shape != self.y.shape
            or (self.error is not None and self.error.shape != self.x.shape)
        ):
            raise InputError("a calculated curve needs columns of one length.")
        if not (np.isfinite(self.x).all() and np.isfinite(self.y).all() and (np.diff(self.x) > 0).all()):
            raise InputError("a calculated curve needs finite values over rising x.")


def calculated(x: ArrayLike, y: ArrayLike, error: ArrayLike | None = None) -> Calculated:
    """Return a calculated curve from anything like arrays (arguments as of :class:`Calculated`)."""
    sigma = None if error is None else np.asarray(error, dtype=np.float64)
    return Calculated(np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), sigma)


def compare(
    measured: Curve, ours: Calculated, within: tuple[float, float] | None = None, broaden: bool = True
) -> Agreement:
    """Compare on the measured points, the calculated curve interpolated between its own.

    R_chi after Wright 1993 (J. Non-Cryst. Solids 159, 264). Functions of r are broadened by the end of the measured
    range in Q with its window, S(Q) by the resolution, where the metadata state them. No scale and no background are
    fitted.

    :param within: range of x; the range that both curves cover by default.
    :param broaden: whether to broaden at all; False for a curve that is broadened already.
    :raises InputError: if fewer than five measured points lie in the range that both cover.
    """
    y, how = _at_resolution(measured, ours) if broaden else (ours.y, "none, as given")
    low, high = within or (-np.inf, np.inf)
    low, high = max(low, measured.x[0], ours.x[0]), min(high, measured.x[-1], ours.x[-1])
    chosen = (measured.x >= low) & (measured.x <= high)
    unit = measured.about.x_unit
    if chosen.sum() < _LEAST_POINTS:
        raise InputError(
            f"comparison of {measured.about.quantity}: {int(chosen.sum())} measured points lie in the range that both "
            f"curves cover, {low:.3g} to {high:.3g} {unit}; at least {_LEAST_POINTS} are needed."
        )
    x, there = measured.x[chosen], measured.y[chosen]
    here = np.interp(x, ours.x, y)
    sigma = None if ours.error is None else np.interp(x, ours.x, ours.error)
    residual, norm = there - here, float((there**2).sum())
    if not norm > 0:
        raise InputError(f"comparison of {measured.about.quantity}: the measured curve is zero everywhere.")
    r_chi = float(np.sqrt((residual**2).sum() / norm))
    error = None
    if sigma is not None and r_chi > 0:
        # By the derivative of R with respect to each calculated point, taken as independent.
        error = 100 * float(np.sqrt(((residual * sigma) ** 2).sum())) / (r_chi * norm)
    chi2 = None
    if measured.error is not None:
        total = measured.error[chosen] ** 2 + (0.0 if sigma is None else sigma**2)
        chi2 = float(np.mean(residual**2 / total))
    sentence = (
        f"{measured.about.quantity} of {measured.about.composition.label} by {measured.about.technique}: "
        f"R_chi = {100 * r_chi:.3g} % on {len(x)} points from {x[0]:.4g} to {x[-1]:.4g} {unit}"
        f"{'' if chi2 is None else f', chi^2 = {chi2:.3g} a point'}; broadening: {how}"
    )
    return Agreement(100 * r_chi, error, chi2, len(x), float(x[0]), float(x[-1]), how, sentence)


def _at_resolution(measured: Curve, ours: Calculated) -> tuple[NDArray[np.float64], str]:
    about = measured.about
    if QUANTITIES[about.quantity].real_space and about.q_max is not None:
        y = broadened_in_r(ours.x, ours.y, about.quantity, about.q_max, about.window)
        shape = "a step" if about.window == "none" else "the Lorch window"
        return y, f"Q_max = {about.q_max:g} 1/angstrom with {shape}"
    if about.quantity == "S(Q)" and about.resolution is not None:
        return broadened_in_q(ours.x, ours.y, about.resolution), f"Gaussian, {about.resolution:g} 1/angstrom wide"
    return ours.y, "none, for the measurement states no resolution"
