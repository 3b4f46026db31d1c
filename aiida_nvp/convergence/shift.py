"""Whether observables moved between two cycles by more than replicas differ among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from aiida_nvp.convergence.evidence import Criterion, Sample, StopRules

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Shift:
    """How much an observable of B elements (1 for a number) moved.

    :param mean: (B,) mean of the replicas of both cycles.
    :param change: (B,) of the later cycle against the earlier one, strata by strata.
    :param error: (B,) standard error of the change from the scatter of replicas.
    :param freedom: degrees of freedom of that error.
    """

    mean: FloatArray
    change: FloatArray
    error: FloatArray
    freedom: int

    def noise(self, risk: float) -> FloatArray:
        """Return (B,) the change that chance alone stays below with probability ``1 - risk``, all elements together.

        Student's t with the correction of Bonferroni for the number of elements.
        """
        quantile = float(student_t.ppf(1 - risk / (2 * len(self.change)), self.freedom))
        noise: FloatArray = quantile * self.error
        return noise


def observable_names(samples: Sequence[Sample]) -> list[str]:
    """Return the names of all observables that any replica has, in order of appearance."""
    return list(dict.fromkeys(name for sample in samples for name in sample.values))


def shift(name: str, before: Sequence[Sample], now: Sequence[Sample]) -> Shift | None:
    """Return how much an observable moved, or None where its noise cannot be told.

    Least squares of ``value = stratum + cycle + noise`` over the strata that both cycles have: replicas of one
    composition under one schedule are compared with each other, and what is left over tells the noise. A stratum of one
    replica in each cycle counts as well.

    Curves that reach less far in some replicas are compared as far as all of them reach.
    """
    strata = {sample.stratum for sample in before if name in sample.values}
    strata &= {sample.stratum for sample in now if name in sample.values}
    rows = [
        (sample.stratum, cycle, np.atleast_1d(np.asarray(sample.values[name], dtype=float)))
        for cycle, samples in enumerate((before, now))
        for sample in samples
        if name in sample.values and sample.stratum in strata
    ]
    freedom = len(rows) - len(strata) - 1
    if freedom < 1:
        return None
    length = min(len(values) for _, _, values in rows)
    values = np.stack([row[2][:length] for row in rows])
    cycle = np.array([row[1] for row in rows], dtype=float)
    mean = values.mean(axis=0)
    for stratum in strata:
        same = np.array([row[0] == stratum for row in rows])
        values[same] -= values[same].mean(axis=0)
        cycle[same] -= cycle[same].mean()
    weight = float(cycle @ cycle)
    change = cycle @ values / weight
    residual = values - np.outer(cycle, change)
    error = np.sqrt((residual**2).sum(axis=0) / freedom / weight)
    return Shift(mean, change, error, freedom)


def observables_settled(
    before: Sequence[Sample] | None, now: Sequence[Sample] | None, rules: StopRules
) -> tuple[Criterion, ...]:
    """Return one criterion for each observable, or a single one that says why there is none."""
    if not before or not now:
        words = "observables of two cycles with whole replicas are needed to see whether they settled"
        return (Criterion("observables settled", False, None, 0.0, words),)
    names = observable_names(now)
    risk = rules.risk / len(names)
    return tuple(_criterion(name, shift(name, before, now), risk, rules.tolerance) for name in names)


def _criterion(name: str, found: Shift | None, risk: float, tolerance: float) -> Criterion:
    title = f"{name} settled"
    if found is None:
        words = f"too few replicas of one composition and schedule in both cycles to tell the noise of {name}"
        return Criterion(title, False, None, 0.0, words)
    # A curve is held against its largest value: where g(r) is nearly zero a relative change means nothing.
    allowed = np.maximum(found.noise(risk), tolerance * np.abs(found.mean).max())
    change = np.abs(found.change)
    worst = int(np.argmax(change - allowed))
    value, limit = float(change[worst]), float(allowed[worst])
    where = f" at its bin {worst}" if len(change) > 1 else ""
    sentence = f"{name}{where} went from {_ends(found, worst)}: by {value:.2g}, and chance explains up to {limit:.2g}"
    return Criterion(title, value <= limit, value, limit, sentence)


def _ends(found: Shift, index: int) -> str:
    half = found.change[index] / 2
    return f"{found.mean[index] - half:.3g} to {found.mean[index] + half:.3g}"
