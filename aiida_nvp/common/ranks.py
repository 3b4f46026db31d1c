"""Correlation of ranks: whether one quantity rises with another, whatever the shape of the relation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

FloatArray = NDArray[np.float64]


def spearman(first: FloatArray, second: FloatArray) -> float | None:
    """Return the rank correlation (Spearman 1904, DOI 10.2307/1412159), or None where one of the two does not vary.

    :param first: (N,); ties share their mean rank.
    :param second: (N,).
    """
    ranks = [rankdata(values) - (len(values) + 1) / 2 for values in (first, second)]
    norm = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(ranks[0] @ ranks[1] / norm) if norm > 0 else None
