"""Errors of averages over correlated samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCKS = 5
"""Consecutive blocks of a run: few enough to outlast the correlation time, enough for a standard error."""


def block_average(samples: NDArray[Any], blocks: int = BLOCKS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard error over the first axis, the error from the scatter of consecutive blocks.

    Blocking: DOI 10.1063/1.457480. With a single sample the error is NaN.

    :param samples: (T, ...) in order of time.
    """
    values = np.asarray(samples, dtype=np.float64)
    mean = values.mean(axis=0)
    count = min(blocks, len(values))
    if count == 1:
        return mean, np.full_like(mean, np.nan)
    means = np.stack([part.mean(axis=0) for part in np.array_split(values, count)])
    return mean, means.std(axis=0, ddof=1) / np.sqrt(count)
