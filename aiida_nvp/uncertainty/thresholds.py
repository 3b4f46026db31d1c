"""From the error that a user can live with to the uncertainties at which something is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.conformal import conformal_quantile
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.residuals import Residuals

THRESHOLDS = {"lower": 1.0, "upper": 6.0, "break": 12.0}
"""In units of the expected error that is as large as the user can live with."""


@dataclass(frozen=True)
class Tolerance:
    """What the user states.

    :param force_error: eV/angstrom.
    :param risk: share of the atoms below the lower threshold whose error may be larger than that; None leaves the lower
        threshold at an *expected* error of that size.
    :raises InputError: if one is out of range.
    """

    force_error: float
    risk: float | None = None

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not self.force_error > 0:
            raise InputError(f"calibration: the target force error must be positive, not {self.force_error}.")
        if self.risk is not None and not 0 < self.risk < 1:
            raise InputError(f"calibration: the risk is a share between 0 and 1, not {self.risk}.")


def thresholds(target_force_error: float, factor: float = 1.0) -> dict[str, float]:
    """Return the bounds of the selection window and of a run, in expected eV/angstrom.

    :param factor: expected error over target at which the lower bound lies.
    :raises InputError: if the target is not positive.
    """
    tolerance = Tolerance(target_force_error)
    return {name: units * factor * tolerance.force_error for name, units in THRESHOLDS.items()}


def derive_thresholds(basis: Residuals, model: ErrorModel, tolerance: Tolerance) -> dict[str, Any]:
    """Return ``thresholds``, the ``risk`` that they take and the ``sentence`` that explains them.

    With a stated risk the lower bound is target / q, where q is the conformal factor of that risk: an atom expected to
    err by less stays below the target with at least that confidence. Without one, the share of calibrating atoms whose
    error exceeded what was expected of them is the risk taken.
    """
    ratio = basis.error / model.expected(basis.scores)
    target = f"{tolerance.force_error:g} eV/angstrom"
    if tolerance.risk is None:
        risk = float(np.mean(ratio > 1.0))
        factor = 1.0
        why = f"lower is an expected error of {target}; {risk:.0%} of the calibrating atoms erred by more than expected"
    else:
        risk = tolerance.risk
        factor = 1.0 / max(conformal_quantile(ratio, basis.frame, 1.0 - risk), 1e-6)
        why = f"below lower, {factor:.2f} times {target}, at most {risk:.0%} of the atoms err by more than {target}"
    return {
        "thresholds": thresholds(tolerance.force_error, factor),
        "risk": risk,
        "sentence": f"{why}; upper and break are {THRESHOLDS['upper']:g} and {THRESHOLDS['break']:g} times lower",
    }
