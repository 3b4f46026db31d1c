"""The diffusivity by generalised least squares, with the error bar that overlapping displacements deserve.

Where the motion is diffusive, MSD(t) = 6 D t + c; c is the rattling in a cage (positive) or the time that a velocity
lasts (negative). Points of an MSD are strongly correlated, so a straight line through them by ordinary least squares is
neither the best nor has it the error that its residuals suggest (DOI 10.1021/acs.jctc.4c01249). Here the covariance is
that of walkers with the D and c that are fitted (:mod:`aiida_nvp.analysis.transport.brownian`), times two factors that
are measured in the run itself:

* 1 + h, h being the relative variance of the ions' own diffusivities. Fast ions dominate both mean and noise; with
  half the ions at rest, h is 1. Found from the covariance of two halves of the run, where noise does not enter.
* c_4, the scatter of successive non-overlapping displacements of all ions together over what independent ions would
  show: ions that move together are fewer than they seem. Used only where chance does not explain it.

The fit begins where a straight line fits within the covariance, so that ballistic and sub-diffusive lags stay out, and
within the first quarter of the run. Without such a lag, if the line is mostly its intercept, or if D does not stand out
of its error, the motion is said to be not diffusive yet.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve
from scipy.stats import chi2

from aiida_nvp.analysis.transport.brownian import AXES, msd_covariance
from aiida_nvp.analysis.transport.msd import Msd, mean_square_displacement_of
from aiida_nvp.analysis.transport.paths import Paths

ANGSTROM2_PER_PS_IN_M2_PER_S = 1e-8
FIT_LAGS = 24
LAST_LAG = 0.5
"""Longest lag of the fit as a share of the run: beyond it there are hardly two independent displacements."""
LATEST_START = 0.25
FIT_PROBABILITY = 0.05
SAFETY = 3
"""Where early lags did not fit, the fit begins at this multiple of the first lag that does."""
TOGETHER_PROBABILITY = 0.01
SLOPE_TOLERANCE = 0.2
SIGNIFICANCE = 2.0
CAGE_ANGSTROM2 = 1.0
"""Below this displacement, about half a jump between sites, a straight line is a coincidence of rattling."""
NOT_DIFFUSIVE = "not diffusive yet"

_ROUNDS = 4
_SMALLEST_FIT = 4

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """A straight line through an MSD.

    :param slope: angstrom^2 a frame; ``intercept``: angstrom^2; ``covariance``: (2, 2) of slope and intercept, for
        independent and equal ions.
    :param probability: that residuals as large come by chance.
    """

    slope: float
    intercept: float
    covariance: FloatArray
    probability: float


@dataclass(frozen=True)
class Diffusion:
    """Verdict on the long-time motion.

    :param diffusive: whether a straight line fits, is mostly slope, and its slope stands out of its error.
    :param slope: d ln MSD / d ln t at the lags of the fit; NaN without motion.
    :param diffusivity_m2_s: only if diffusive.
    :param error_m2_s: its standard error.
    :param window_ps: lags of the fit.
    :param intercept: of the line in angstrom^2.
    :param heterogeneity: h, the relative variance of the diffusivities of the single ions.
    :param together: c_4, by how much the squared error is larger because ions move together; 1 where they do not.
    :param sentence: what to tell the user.
    """

    diffusive: bool
    slope: float
    diffusivity_m2_s: float | None = None
    error_m2_s: float | None = None
    window_ps: tuple[float, float] | None = None
    intercept: float | None = None
    heterogeneity: float | None = None
    together: float | None = None
    sentence: str = ""


def fit_line(total: FloatArray, lags: IntArray, frames: int, ions: int) -> Line:
    """Fit slope and intercept to an MSD by generalised least squares.

    The covariance depends on what is fitted, so the fit is repeated with its own result.

    :param total: (L,) MSD at ``lags`` in angstrom^2; ``lags``: (L,) in frames; ``frames``: T of the run.
    :param ions: number of independent walkers.
    """
    design = np.stack([lags, np.ones_like(lags)], axis=1).astype(float)
    weights = 1 / lags.astype(float)
    found = np.linalg.lstsq(design * weights[:, None], total * weights, rcond=None)[0]
    covariance = np.zeros((2, 2))
    residual = 0.0
    for _ in range(_ROUNDS):
        # A slope of nothing has no covariance: what is left of the displacement bounds it from below.
        step = max(found[0], 1e-3 * float(total[0] / lags[0])) / AXES
        noise = max(found[1], 0.0) / (2 * AXES)
        factor = cho_factor(msd_covariance(lags, frames, step, noise) / ions)
        weighted = cho_solve(factor, design)
        covariance = np.linalg.inv(design.T @ weighted)
        found = covariance @ (weighted.T @ total)
        left = total - design @ found
        residual = float(left @ cho_solve(factor, left))
    return Line(float(found[0]), float(found[1]), covariance, float(chi2.sf(residual, len(lags) - 2)))


class Scatter:
    """What is known of the noise of an MSD; these are walkers that are alike and know nothing of each other.

    :param frames: of the run; ``interval_ps`` between them; ``ions``: how many walkers.
    :param cage: displacement in angstrom^2 below which a straight line is a coincidence of rattling.
    """

    def __init__(self, frames: int, interval_ps: float, ions: int, cage: float = CAGE_ANGSTROM2) -> None:
        self.frames, self.interval_ps, self.ions, self.cage = frames, interval_ps, ions, cage

    def heterogeneity(self, lag: int) -> float:
        """Return the relative variance of the walkers' own diffusivities, seen at ``lag`` frames."""
        del lag
        return 0.0

    def together(self, lag: int, line: Line, heterogeneity: float) -> float:
        """Return by how much the squared error exceeds that of independent walkers."""
        del lag, line, heterogeneity
        return 1.0


def diffusion(paths: Paths, species: str, msd: Msd | None = None) -> Diffusion:
    """Return the diffusivity of ``species``, if its motion is diffusive.

    :param msd: of the same paths and species, if it is there already.
    :raises InputError: if there is no such ion.
    """
    total = (msd or mean_square_displacement_of(paths, species)).total
    return judge_motion(total, IonScatter(paths, paths.ions(species)))


def judge_motion(total: FloatArray, scatter: Scatter) -> Diffusion:
    """Return the verdict on an MSD.

    :param total: (T,) angstrom^2 at lags of 0, 1, 2 ... frames.
    """
    lags = fit_lags(scatter.frames)
    if len(lags) < _SMALLEST_FIT:
        return Diffusion(False, float("nan"), sentence=f"{NOT_DIFFUSIVE}: {scatter.frames} frames are too few to tell")
    if not (total[lags] > 0).all():
        return Diffusion(False, float("nan"), sentence=f"{NOT_DIFFUSIVE}: the atoms do not move")
    found, fits = _fit(total, lags, scatter)
    if fits:
        return found
    latest = int(np.searchsorted(lags, LATEST_START * scatter.frames, side="right"))
    for start in range(1, min(latest, len(lags) - _SMALLEST_FIT)):
        found, fits = _fit(total, lags[start:], scatter)
        if fits:
            # The first lag that passes hides as much of the early motion as noise allows.
            later = int(np.searchsorted(lags, SAFETY * lags[start]))
            later = max(start, min(later, latest - 1, len(lags) - _SMALLEST_FIT))
            return _fit(total, lags[later:], scatter)[0]
    return replace(
        found,
        diffusive=False,
        diffusivity_m2_s=None,
        error_m2_s=None,
        sentence=f"{NOT_DIFFUSIVE}: no straight line fits; the displacement grows as t^{found.slope:.2f} at the end",
    )


def _fit(total: FloatArray, lags: IntArray, scatter: Scatter) -> tuple[Diffusion, bool]:
    """Return the verdict on these lags, and whether a straight line fits them."""
    line = fit_line(total[lags], lags, scatter.frames, scatter.ions)
    heterogeneity = scatter.heterogeneity(int(lags[0]))
    together = scatter.together(int(lags[0]), line, heterogeneity)
    found = _judge(total[lags], lags, line, scatter, (heterogeneity, together))
    return found, _probability(line, len(lags) - 2, (1 + heterogeneity) * together) > FIT_PROBABILITY


def fit_lags(frames: int) -> IntArray:
    """Return lags in frames, equally spaced in their logarithm, of which a fit takes the later part."""
    last = int(LAST_LAG * frames)
    return np.unique(np.geomspace(1, max(last, 1), FIT_LAGS).round().astype(np.int64))


def _probability(line: Line, degrees: int, factor: float) -> float:
    return float(chi2.sf(chi2.isf(line.probability, degrees) / factor, degrees)) if line.probability > 0 else 0.0


def _judge(total: FloatArray, lags: IntArray, line: Line, scatter: Scatter, factors: tuple[float, float]) -> Diffusion:
    interval_ps = scatter.interval_ps
    scale = ANGSTROM2_PER_PS_IN_M2_PER_S / (2 * AXES * interval_ps)
    value = line.slope * scale
    error = float(np.sqrt(line.covariance[0, 0] * (1 + factors[0]) * factors[1])) * scale
    slope = float(np.polyfit(np.log(lags), np.log(total), 1)[0])
    window = (float(lags[0] * interval_ps), float(lags[-1] * interval_ps))
    found = Diffusion(False, slope, None, None, window, line.intercept, factors[0], factors[1])
    share = line.slope * lags[-1] / total[-1]
    if abs(slope - 1) > SLOPE_TOLERANCE and abs(share - 1) > SLOPE_TOLERANCE:
        why = f"the displacement grows as t^{slope:.2f} instead of t"
    elif total[-1] < scatter.cage:
        why = f"atoms moved {np.sqrt(total[-1]):.2f} angstrom in {window[1]:.3g} ps, less than out of a cage"
    elif not value > SIGNIFICANCE * error:
        why = "the slope does not stand out of its error"
    else:
        sentence = f"diffusive between {window[0]:.3g} and {window[1]:.3g} ps"
        return replace(found, diffusive=True, diffusivity_m2_s=value, error_m2_s=error, sentence=sentence)
    return replace(found, sentence=f"{NOT_DIFFUSIVE}: {why}")


class IonScatter(Scatter):
    """What the single ions and their common motion say about the error."""

    def __init__(self, paths: Paths, ions: IntArray) -> None:
        super().__init__(paths.n_frames, paths.interval_ps, len(ions))
        self._paths = paths
        self._ions = ions
        self._known: dict[int, tuple[FloatArray, FloatArray]] = {}

    def _measure(self, lag: int) -> tuple[FloatArray, FloatArray]:
        """Return (2, N) mean-square displacement over ``lag`` of each ion in each half, and (K,) that of all."""
        if lag not in self._known:
            halves, together = [], 0.0
            middle = self._paths.n_frames // 2
            for block in self._paths.blocks(self._ions):
                square = ((block[lag:] - block[:-lag]) ** 2).sum(axis=2)
                first = max(middle - lag, 1)
                halves.append(np.stack([square[:first].mean(axis=0), square[middle:].mean(axis=0)]))
                together = together + square[::lag].sum(axis=1)
            self._known[lag] = (np.concatenate(halves, axis=1), np.asarray(together) / len(self._ions))
        return self._known[lag]

    def heterogeneity(self, lag: int) -> float:
        """Return the relative variance of the ions' displacements that lasts from one half of the run to the other."""
        halves, _ = self._measure(lag)
        if halves.shape[1] < _SMALLEST_FIT or lag >= self._paths.n_frames // 2:
            return 0.0
        relative = halves / halves.mean(axis=1, keepdims=True)
        return max(0.0, float(np.cov(relative)[0, 1]))

    def together(self, lag: int, line: Line, heterogeneity: float) -> float:
        """Return the squared scatter of the ions' common displacement over that of independent ions."""
        _, samples = self._measure(lag)
        if len(samples) < _SMALLEST_FIT:
            return 1.0
        variance = (max(line.slope, 0.0) * lag + max(line.intercept, 0.0)) / AXES
        alone = 2 * AXES * variance**2 * (1 + heterogeneity) / len(self._ions)
        degrees = len(samples) - 1
        ratio = float(samples.var(ddof=1)) / alone if alone > 0 else 1.0
        return ratio if ratio * degrees > chi2.isf(TOGETHER_PROBABILITY, degrees) else 1.0
