"""What one more cycle would bring and cost, as far as the history tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from aiida_nvp.convergence.evidence import CycleEvidence

FloatArray = NDArray[np.float64]

LEVEL = 0.9
"""Probability of the interval that a forecast is given with."""
_FEWEST_POINTS = 2


@dataclass(frozen=True)
class Forecast:
    """One more cycle.

    :param labels: labels that it would make.
    :param core_hours: its cost; None where no cycle tells.
    :param force_error: prospective error of the committee that it would train, eV/angstrom; None without two errors.
    :param low: with ``high`` the 90 % interval of that error; None where two points leave no freedom.
    :param gain: how much lower that is than the learning curve now, eV/angstrom.
    :param sentence: all of it in words.
    """

    labels: int
    core_hours: float | None
    force_error: float | None
    low: float | None
    high: float | None
    gain: float | None
    sentence: str


def forecast(history: Sequence[CycleEvidence], labels: int) -> Forecast:
    """Extrapolate the learning curve by one cycle.

    The prospective error follows a power law of the number of labels, ``log e = a + b log n``, the usual shape of
    learning curves (Cortes et al., Advances in Neural Information Processing Systems 6, 327, 1993), fitted by least
    squares; the interval is that of a new observation. Cost and size are means of the last cycles.

    :param labels: labelled frames now.
    """
    batches = [cycle.labelled for cycle in history if cycle.labelled] or [0]
    coming = round(float(np.mean(batches[-_FEWEST_POINTS:])))
    costs = [cycle.core_hours for cycle in history if cycle.core_hours is not None]
    cost = float(np.mean(costs[-_FEWEST_POINTS:])) if costs else None
    price = f"{coming} labels" + (f" and {cost:.2g} core hours" if cost is not None else "")
    sizes, errors = _curve(history, labels)
    if coming == 0 or len(sizes) < _FEWEST_POINTS or np.ptp(sizes) == 0:
        sentence = f"What one more cycle would bring is not known yet: two cycles with labels are needed ({price})."
        return Forecast(coming, cost, None, None, None, None, sentence)
    # The last error was met by the committee before its batch; the next cycle is met by the one after it.
    slope, at_end, interval = _extrapolate(np.log(sizes), np.log(errors), float(np.log(labels)))
    following = float(np.exp(at_end + slope * np.log((labels + coming) / labels)))
    now = float(np.exp(at_end))
    low, high = (None, None) if interval is None else (following * np.exp(-interval), following * np.exp(interval))
    range_words = "its uncertainty needs a third cycle" if low is None else f"{low:.3f} to {high:.3f} with 90 %"
    sentence = (
        f"One more cycle of {price} is expected to bring the prospective force error from {now:.3f} to "
        f"{following:.3f} eV/angstrom ({range_words})."
    )
    return Forecast(coming, cost, following, low, high, now - following, sentence)


def _curve(history: Sequence[CycleEvidence], labels: int) -> tuple[FloatArray, FloatArray]:
    """Return labels that each committee was trained on, and its prospective error."""
    sizes, errors, left = [], [], labels
    for cycle in reversed(history):
        left -= cycle.labelled
        if cycle.force_error is not None and cycle.force_error > 0 and left > 0:
            sizes.append(left)
            errors.append(cycle.force_error)
    return np.array(sizes[::-1], dtype=float), np.array(errors[::-1], dtype=float)


def _extrapolate(x: FloatArray, y: FloatArray, at: float) -> tuple[float, float, float | None]:
    """Return slope, value at ``at``, and half the interval of a new observation there; None without freedom."""
    slope, offset = np.polyfit(x, y, 1)
    freedom = len(x) - 2
    if freedom < 1:
        return float(slope), float(offset + slope * at), None
    residual = y - (offset + slope * x)
    centre, spread = x.mean(), ((x - x.mean()) ** 2).sum()
    variance = (residual @ residual) / freedom * (1 + 1 / len(x) + (at - centre) ** 2 / spread)
    interval = float(student_t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance))
    return float(slope), float(offset + slope * at), interval
