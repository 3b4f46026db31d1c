"""How good an uncertainty is: does it rank the errors, is it as large as they are, and how narrow can it afford to be.

Definitions after Tran et al. (doi:10.1088/2632-2153/ab7e1a) and Levi et al. (doi:10.3390/s22155540). Errors are lengths
of force vectors; an expected error s is the rms length, so that each component has the variance s^2 / 3.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi, rankdata

from aiida_nvp.common.ranks import spearman
from aiida_nvp.uncertainty.conformal import ALL, LEVELS, Calibration, coverage, mean_over_frames
from aiida_nvp.uncertainty.residuals import FloatArray, Residuals

BINS = 10
"""Equally filled bins of the expected error."""
WORST_SHARE = 0.05
_DIMENSIONS = 3
_NOMINAL = np.linspace(0.02, 0.98, 49)


@dataclass(frozen=True)
class Quality:
    """Scores of one uncertainty on one set of atoms; None where the set is too small or does not vary.

    :param spearman: rank correlation of uncertainty and error.
    :param auroc: area under the curve of finding the worst twentieth of the errors; 0.5 is chance.
    :param nll: mean negative log likelihood of a force component under a Gaussian of variance s^2 / 3.
    :param ence: expected normalised calibration error, mean over bins of ``abs(rms error - rms s) / rms s``.
    :param miscalibration_area: mean distance of achieved from promised coverage of Gaussian intervals.
    :param sharpness: mean s, eV/angstrom.
    :param rms_z: root mean square of error over s; 1 is right, above it s is too small.
    :param coverage: share of atoms inside the conformal interval, by level.
    :param width: mean half-width of that interval, eV/angstrom, by level.
    """

    n_atoms: int
    n_frames: int
    spearman: float | None
    auroc: float | None
    nll: float | None = None
    ence: float | None = None
    miscalibration_area: float | None = None
    sharpness: float | None = None
    rms_z: float | None = None
    coverage: dict[str, float] | None = None
    width: dict[str, float] | None = None

    def plain(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


def ranking_quality(score: FloatArray, residuals: Residuals) -> Quality:
    """Return how well a score without a unit ranks the errors.

    :param score: (N,) larger means worse.
    """
    error = residuals.error
    return Quality(len(error), residuals.n_frames, spearman(score, error), auroc(score, error))


def calibrated_quality(residuals: Residuals, calibration: Calibration) -> Quality:
    """Return all scores of a calibration on structures that it was not made from."""
    expected, error = calibration.model.expected(residuals.scores), residuals.error
    levels = [level for level in LEVELS if str(level) in calibration.quantiles]
    return Quality(
        n_atoms=len(error),
        n_frames=residuals.n_frames,
        spearman=spearman(expected, error),
        auroc=auroc(expected, error),
        nll=gaussian_nll(expected, residuals.predicted - residuals.labelled),
        ence=ence(expected, error),
        miscalibration_area=miscalibration_area(expected, error),
        sharpness=float(expected.mean()),
        rms_z=float(np.sqrt(np.mean(np.square(error / expected)))),
        coverage={str(level): coverage(residuals, calibration, level)[ALL] for level in levels},
        width={
            str(level): mean_over_frames(calibration.bound(residuals.scores, level), residuals.frame)
            for level in levels
        },
    )


def auroc(score: FloatArray, error: FloatArray, share: float = WORST_SHARE) -> float | None:
    """Return how likely one of the worst errors has a higher score than one of the others; ties count half.

    None where the share is less than one atom or nothing is left beside it.

    :param share: of the atoms, that with the largest errors.
    """
    worst = worst_atoms(error, share)
    n_worst = int(worst.sum())
    if not 0 < n_worst < len(error):
        return None
    rank_sum = float(rankdata(score)[worst].sum())
    return (rank_sum - n_worst * (n_worst + 1) / 2) / (n_worst * (len(error) - n_worst))


def gaussian_nll(expected: FloatArray, difference: FloatArray) -> float:
    """Return the mean negative log likelihood of a force component.

    :param expected: (N,) rms length of the error vectors; ``difference``: (N, 3) predicted less labelled.
    """
    variance = np.square(expected)[:, None] / _DIMENSIONS
    return float(np.mean(0.5 * (np.log(2 * np.pi * variance) + np.square(difference) / variance)))


def calibration_bins(expected: FloatArray, error: FloatArray, bins: int = BINS) -> tuple[FloatArray, FloatArray]:
    """Return (B,) rms expected error and (B,) rms error of bins that hold equally many atoms; B <= ``bins``."""
    parts = [part for part in np.array_split(np.argsort(expected, kind="stable"), bins) if len(part)]
    return (
        np.array([np.sqrt(np.mean(np.square(expected[part]))) for part in parts]),
        np.array([np.sqrt(np.mean(np.square(error[part]))) for part in parts]),
    )


def ence(expected: FloatArray, error: FloatArray) -> float:
    """Return the expected normalised calibration error over :data:`BINS` equally filled bins."""
    promised, found = calibration_bins(expected, error)
    return float(np.mean(np.abs(found - promised) / promised))


def coverage_curve(expected: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return promised and achieved coverage of the intervals that a Gaussian error vector would have."""
    radius = chi(df=_DIMENSIONS).ppf(_NOMINAL) / np.sqrt(_DIMENSIONS)
    ratio = np.sort(error / expected)
    return _NOMINAL, np.searchsorted(ratio, radius, side="right") / len(ratio)


def reliability_curves(expected: FloatArray, error: FloatArray) -> dict[str, list[float]]:
    """Return what a drawing of the reliability needs, as JSON values.

    :return: ``expected`` and ``found`` (B,) rms errors of the bins, eV/angstrom; ``nominal`` and ``achieved`` coverage.
    """
    promised, found = calibration_bins(expected, error)
    nominal, achieved = coverage_curve(expected, error)
    values = {"expected": promised, "found": found, "nominal": nominal, "achieved": achieved}
    return {name: [float(value) for value in column] for name, column in values.items()}


def miscalibration_area(expected: FloatArray, error: FloatArray) -> float:
    """Return the mean distance between promised and achieved coverage; 0 is perfect, 0.5 the worst."""
    promised, achieved = coverage_curve(expected, error)
    return float(np.mean(np.abs(achieved - promised)))


def worst_atoms(error: FloatArray, share: float = WORST_SHARE) -> NDArray[np.bool_]:
    """Return (N,) which atoms belong to the share with the largest errors."""
    mask = np.zeros(len(error), dtype=bool)
    mask[np.argsort(error, kind="stable")[len(error) - round(share * len(error)) :]] = True
    return mask
