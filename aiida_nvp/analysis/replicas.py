"""What several runs of one system say together: mean and spread from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def combine(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean and standard error over replicas of every number that all of them have, in the same nesting.

    The error is the standard deviation over replicas divided by the square root of their number: it holds what no
    single run can know, the difference from one start to the next. Texts, flags and numbers that a replica lacks are
    left out. The same function serves members of a committee, each with the results of its own run.

    :param results: one nested mapping a replica; lists count by place.
    :return: each number as ``{"mean", "error", "n"}``; an empty mapping for less than two replicas.
    """
    combined = _combine(list(results)) if len(results) > 1 else None
    return combined if isinstance(combined, dict) else {}


def _combine(values: list[Any]) -> dict[str, Any] | list[Any] | None:
    if all(isinstance(value, Mapping) for value in values):
        shared = [key for key in values[0] if all(key in value for value in values)]
        parts = {key: _combine([value[key] for value in values]) for key in shared}
        return {key: part for key, part in parts.items() if part is not None} or None
    if all(isinstance(value, list | tuple) for value in values):
        if len({len(value) for value in values}) != 1:
            return None
        items = [_combine(list(place)) for place in zip(*values, strict=True)]
        return items if any(item is not None for item in items) else None
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values):
        return None
    numbers = np.array(values, dtype=float)
    if not np.isfinite(numbers).all():
        return None
    error = float(numbers.std(ddof=1) / np.sqrt(len(numbers)))
    return {"mean": float(numbers.mean()), "error": error, "n": len(numbers)}
