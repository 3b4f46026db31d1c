"""Intervals that hold for a promised share of the atoms of fresh structures, whatever the errors are distributed like.

The promise is for structures exchangeable with those that calibrated: drawn the same way from the same dynamics.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aiida_nvp.uncertainty.error_model import TERMS, ErrorModel, fit_error_model, per_species
from aiida_nvp.uncertainty.residuals import AtomScores, FloatArray, IntArray, Residuals

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Shares of atoms for which intervals are kept."""
LEVEL = 0.9
"""The share that criteria and plots use."""
ALL = "all"
FOLDS = 10
"""Parts into which the structures fall where each is judged by a model fitted without it."""
FEWEST_OF_A_SPECIES = 10
"""Structures, below which a species takes the factor of all atoms: its own quantile would be its largest value."""


def conformal_quantile(ratio: FloatArray, frame: IntArray, level: float = LEVEL) -> float:
    """Return q such that error <= q times expected error for a share ``level`` of the atoms of fresh structures.

    Split conformal with each structure weighing the same, however many atoms it has, and the level corrected for the
    number n of structures, ceil((n + 1) level) / n (Dunn, Wasserman, Ramdas, doi:10.1080/01621459.2022.2060112). With
    too few structures for the level the largest ratio is returned, and the guarantee is void.

    :param ratio: (N,) error over expected error; ``frame``: (N,) index of the structure.
    """
    _, owner, sizes = np.unique(frame, return_inverse=True, return_counts=True)
    n_frames = len(sizes)
    # The product ends a rounding error above a whole number now and then.
    wanted = min(1.0, np.ceil((n_frames + 1) * level - 1e-9) / n_frames)
    order = np.argsort(ratio, kind="stable")
    mass = np.cumsum(1.0 / (n_frames * sizes[owner[order]]))
    # The sum of the weights ends a rounding error away from one.
    return float(ratio[order][min(int(np.searchsorted(mass, wanted - 1e-9)), len(ratio) - 1)])


@dataclass(frozen=True)
class Calibration:
    """An error model and the factors that make intervals of it.

    :param model: the error to expect.
    :param quantiles: level as text (``0.9``) to factors by species and for ``all``.
    """

    model: ErrorModel = field(default_factory=ErrorModel)
    quantiles: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Mapping[str, Any] | None) -> Calibration:
        """Return what a calibration record holds; one of old has the factors of nine atoms in ten only."""
        found = record or {}
        levels = found.get("levels") or ({str(LEVEL): found["quantiles"]} if "quantiles" in found else {})
        return cls(ErrorModel.of(found), levels)

    def bound(self, atoms: AtomScores, level: float = LEVEL) -> FloatArray:
        """Return (N,) the error that a share ``level`` of such atoms stays below, eV/angstrom.

        A species without a factor of its own takes that of all atoms.

        :raises KeyError: if the calibration was not made for this level.
        """
        factors = self.quantiles[str(level)]
        width = per_species(atoms.numbers, factors, factors.get(ALL, max(factors.values())))
        return np.asarray(self.model.expected(atoms) * width, dtype=float)


def calibrate_residuals(learn: Residuals, wrap: Residuals | None = None, terms: tuple[str, ...] = TERMS) -> Calibration:
    """Fit the error model on ``learn`` and its factors on ``wrap``.

    Without ``wrap`` every structure of ``learn`` is judged by a model that was fitted without it (cross-conformal,
    Vovk, doi:10.1007/s10472-013-9368-4), since labels are too dear to be split.

    :param terms: the slopes that are fitted, see :func:`~aiida_nvp.uncertainty.error_model.fit_error_model`.
    """
    model = fit_error_model(learn, terms)
    judged = learn if wrap is None else wrap
    ratio = _cross_fitted(learn, terms) if wrap is None else wrap.error / model.expected(wrap.scores)
    return Calibration(model, {str(level): _factors(judged, ratio, level) for level in LEVELS})


def _cross_fitted(residuals: Residuals, terms: tuple[str, ...]) -> FloatArray:
    """Return (N,) error over the error expected by a model that has not seen the structure."""
    _, owner = np.unique(residuals.frame, return_inverse=True)
    n_folds = min(FOLDS, int(owner.max()) + 1)
    if n_folds == 1:
        return np.asarray(residuals.error / fit_error_model(residuals, terms).expected(residuals.scores), dtype=float)
    ratio = np.empty(len(owner))
    for fold in range(n_folds):
        out = owner % n_folds == fold
        model, held = fit_error_model(residuals.where(~out), terms), residuals.where(out)
        ratio[out] = held.error / model.expected(held.scores)
    return ratio


def _factors(residuals: Residuals, ratio: FloatArray, level: float) -> dict[str, float]:
    found = {ALL: conformal_quantile(ratio, residuals.frame, level)}
    for symbol, mask in residuals.symbols():
        enough = len(np.unique(residuals.frame[mask])) >= FEWEST_OF_A_SPECIES
        found[symbol] = conformal_quantile(ratio[mask], residuals.frame[mask], level) if enough else found[ALL]
    return found


def coverage(residuals: Residuals, calibration: Calibration, level: float = LEVEL) -> dict[str, float]:
    """Return the share of atoms whose error an earlier calibration's interval covers, by species and for ``all``.

    Each structure weighs the same.
    """
    covered = (residuals.error <= calibration.bound(residuals.scores, level)).astype(float)
    shares = {symbol: mean_over_frames(covered[mask], residuals.frame[mask]) for symbol, mask in residuals.symbols()}
    return {**shares, ALL: mean_over_frames(covered, residuals.frame)}


def mean_over_frames(values: FloatArray, frame: IntArray) -> float:
    """Return the mean over structures of the mean over their atoms."""
    _, owner = np.unique(frame, return_inverse=True)
    return float(np.mean(np.bincount(owner, values) / np.bincount(owner)))
