"""The diffusivity by generalised least squares, with the error bar that overlapping displacements deserve.

Where the motion is diffusive, MSD(t) = 6 D t + c; c is the rattling in a cage (positive) or the time that a velocity
lasts (negative). Points of an MSD are strongly correlated, so a straight line through them by ordinary least squares is
neither the best nor has it the error that its residuals suggest (DOI 10.1021/acs.jctc.4c01249). Here the covariance is
that of walkers with the D and c that are fitted (:mod:`aiida_nvp.analysis.transport.brownian`), times two factors that
are measured in the run itself:

* the excess over equal walkers: the scatter of the ions' own slopes from one part of the run to the next over that of
  such walkers. Fast ions dominate the noise, and rare jumps are noisier than many small steps. What differs between
  ions for good is no noise, and does not enter.
* c_4, the scatter of successive non-overlapping displacements of all ions together over what the scatter of each alone
  would make it: ions that move together are fewer than they seem. Used only where chance does not explain it.

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
_DEGREES = 40
"""Slopes of ions in parts of the run that tell their scatter: few ions need more parts."""
MOST_PARTS = 10
_FEWEST_DISPLACEMENTS = 20

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
    :param heterogeneity: relative variance of the diffusivities of the single ions.
    :param excess: squared error over that of equal walkers, for independent ions.
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
    excess: float | None = None
    together: float | None = None
    sentence: str = ""


def _factor(lags: IntArray, frames: int, slope: float, intercept: float, ions: int) -> tuple[FloatArray, bool]:
    covariance = msd_covariance(lags, frames, slope / AXES, max(intercept, 0.0) / (2 * AXES))
    factor: tuple[FloatArray, bool] = cho_factor(covariance / ions)
    return factor


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
        factor = _factor(lags, frames, max(found[0], 1e-3 * float(total[0] / lags[0])), found[1], ions)
        weighted = cho_solve(factor, design)
        covariance = np.linalg.inv(design.T @ weighted)
        found = covariance @ (weighted.T @ total)
        left = total - design @ found
        residual = float(left @ cho_solve(factor, left))
    return Line(float(found[0]), float(found[1]), covariance, float(chi2.sf(residual, len(lags) - 2)))


@dataclass(frozen=True)
class Noise:
    """What widens the error of a line: ``heterogeneity``, ``excess`` and ``together`` of :class:`Diffusion`."""

    heterogeneity: float = 0.0
    excess: float = 1.0
    together: float = 1.0

    @property
    def factor(self) -> float:
        """By how much the squared error exceeds that of equal and independent walkers."""
        return self.excess * self.together


class Scatter:
    """What is known of the noise of an MSD; these are walkers that are alike and know nothing of each other.

    :param frames: of the run; ``interval_ps`` between them; ``ions``: how many walkers.
    :param cage: displacement in angstrom^2 below which a straight line is a coincidence of rattling.
    """

    def __init__(self, frames: int, interval_ps: float, ions: int, cage: float = CAGE_ANGSTROM2) -> None:
        self.frames, self.interval_ps, self.ions, self.cage = frames, interval_ps, ions, cage

    def noise(self, lags: IntArray, line: Line) -> Noise:
        """Return what widens the error of a line fitted at ``lags``."""
        del lags, line
        return Noise()


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
    noise = scatter.noise(lags, line)
    found = _judge(total[lags], lags, line, scatter, noise)
    return found, _probability(line, len(lags) - 2, noise.factor) > FIT_PROBABILITY


def fit_lags(frames: int) -> IntArray:
    """Return lags in frames, equally spaced in their logarithm, of which a fit takes the later part."""
    last = int(LAST_LAG * frames)
    return np.unique(np.geomspace(1, max(last, 1), FIT_LAGS).round().astype(np.int64))


def _probability(line: Line, degrees: int, factor: float) -> float:
    return float(chi2.sf(chi2.isf(line.probability, degrees) / factor, degrees)) if line.probability > 0 else 0.0


def _judge(total: FloatArray, lags: IntArray, line: Line, scatter: Scatter, noise: Noise) -> Diffusion:
    interval_ps = scatter.interval_ps
    scale = ANGSTROM2_PER_PS_IN_M2_PER_S / (2 * AXES * interval_ps)
    value = line.slope * scale
    error = float(np.sqrt(line.covariance[0, 0] * noise.factor)) * scale
    slope = float(np.polyfit(np.log(lags), np.log(total), 1)[0])
    window = (float(lags[0] * interval_ps), float(lags[-1] * interval_ps))
    measured = (noise.heterogeneity, noise.excess, noise.together)
    found = Diffusion(False, slope, None, None, window, line.intercept, *measured)
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

    def noise(self, lags: IntArray, line: Line) -> Noise:
        """See :class:`Scatter`."""
        if line.slope <= 0:
            return Noise()
        together = self._together(self._common_lag(lags, line))
        parts = int(np.clip(np.ceil(_DEGREES * together / self.ions), 2, MOST_PARTS))
        length = self.frames // parts
        short = lags[lags <= LAST_LAG * length]
        if len(short) < _SMALLEST_FIT:
            return Noise(together=together)
        factor = _factor(short, length, line.slope, line.intercept, 1)
        design = np.stack([short, np.ones_like(short)], axis=1).astype(float)
        weighted = cho_solve(factor, design)
        covariance = np.linalg.inv(design.T @ weighted)
        slopes = self._slopes(short, covariance[0] @ weighted.T, parts)
        excess = float(slopes.var(axis=0, ddof=1).mean()) / float(covariance[0, 0])
        relative = slopes / slopes.mean() if slopes.mean() > 0 else slopes
        between = float(relative.mean(axis=0).var(ddof=1)) if self.ions > 1 else 0.0
        within = float(relative.var(axis=0, ddof=1).mean()) / parts
        return Noise(max(0.0, between - within), excess, together)

    def _common_lag(self, lags: IntArray, line: Line) -> int:
        """Return a lag at which ions have left their cages, short enough for many displacements that do not overlap."""
        free = int(np.ceil(abs(line.intercept) / line.slope))
        return int(np.clip(free, lags[0], max(int(lags[0]), self.frames // _FEWEST_DISPLACEMENTS)))

    def _slopes(self, lags: IntArray, weights: FloatArray, parts: int) -> FloatArray:
        """Return (B, N) slope of each ion in each part of the run."""
        length = self.frames // parts
        slopes = []
        for block in self._paths.blocks(self._ions):
            each = np.zeros((parts, block.shape[1]))
            for part in range(parts):
                piece = block[part * length : (part + 1) * length]
                for lag, weight in zip(lags, weights, strict=True):
                    each[part] += weight * ((piece[lag:] - piece[:-lag]) ** 2).sum(axis=2).mean(axis=0)
            slopes.append(each)
        return np.concatenate(slopes, axis=1)

    def _together(self, lag: int) -> float:
        """Return the variance of the ions' common displacement over that of independent ions."""
        common: FloatArray = np.zeros(len(range(0, self.frames - lag, lag)))
        alone = 0.0
        for block in self._paths.blocks(self._ions):
            apart = ((block[lag::lag] - block[:-lag:lag]) ** 2).sum(axis=2)
            common += apart.sum(axis=1)
            alone += float(apart.var(axis=0, ddof=1).sum()) if len(apart) > 1 else 0.0
        degrees = len(common) - 1
        if degrees < _SMALLEST_FIT or alone <= 0:
            return 1.0
        ratio = float(common.var(ddof=1)) / alone
        return ratio if ratio * degrees > chi2.isf(TOGETHER_PROBABILITY, degrees) else 1.0
