"""What learning curves say: how many labels one choice saves against another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.channels.estimate import bootstrap
from aiida_nvp.uncertainty.residuals import FloatArray

REFERENCE = "random"
_LEAST = 2
"""Points of a curve, and repetitions below which there is no interval."""


def labels_ratio(rows: Sequence[Mapping[str, Any]], place: str, metric: str, seed: int) -> dict[str, Any]:
    """Return by strategy how many times as many labels the random choice needs for the same error, with an interval.

    The error is the larger of the two that both end with in a repetition, so that both reach it. Ratios are averaged in
    their logarithm over repetitions; the interval is that of a bootstrap over them, None below three.

    :param place: ``in`` or ``out``; ``metric``: ``force_rmse`` or ``worst``.
    """
    found: dict[str, Any] = {}
    curves = _curves(rows, place, metric)
    reference = curves.get(REFERENCE, {})
    for strategy, by_seed in curves.items():
        shared = [s for s in by_seed if s in reference and _LEAST <= len(by_seed[s][0]) == len(reference[s][0])]
        logs = np.array([np.log(_labels_for(reference[s], by_seed[s])) for s in shared])
        if not len(logs):
            continue
        interval = None
        if len(logs) > _LEAST:
            drawn = bootstrap(partial(_mean_of, logs), len(logs), seed)
            interval = [float(np.exp(drawn.low)), float(np.exp(drawn.high))]
        found[strategy] = {"ratio": float(np.exp(logs.mean())), "interval": interval, "seeds": len(logs)}
    return found


def _curves(
    rows: Sequence[Mapping[str, Any]], place: str, metric: str
) -> dict[str, dict[int, tuple[FloatArray, FloatArray]]]:
    curves: dict[str, dict[int, tuple[FloatArray, FloatArray]]] = {}
    for strategy in dict.fromkeys(row["strategy"] for row in rows):
        for seed in dict.fromkeys(row["seed"] for row in rows):
            wanted = [row for row in rows if (row["strategy"], row["seed"]) == (strategy, seed)]
            mine = [row for row in wanted if place in row["errors"]]
            if mine:
                mine.sort(key=lambda row: row["labels"])
                labels = np.array([row["labels"] for row in mine], dtype=float)
                errors = np.array([row["errors"][place][metric] for row in mine])
                curves.setdefault(strategy, {})[seed] = labels, np.minimum.accumulate(errors)
    return curves


def _mean_of(values: FloatArray, rows: NDArray[np.int64]) -> float:
    return float(values[rows].mean())


def _labels_for(reference: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray]) -> float:
    target = max(reference[1][-1], other[1][-1])
    return _crossing(*reference, target) / _crossing(*other, target)


def _crossing(labels: FloatArray, errors: FloatArray, target: float) -> float:
    """Return at how many labels a falling error meets the target, by interpolation in the logarithms."""
    after = int(np.argmax(errors <= target))
    if after == 0:
        return float(labels[0])
    high, low = np.log(errors[after - 1]), np.log(errors[after])
    share = (high - np.log(target)) / (high - low)
    return float(np.exp(np.log(labels[after - 1]) + share * (np.log(labels[after]) - np.log(labels[after - 1]))))
