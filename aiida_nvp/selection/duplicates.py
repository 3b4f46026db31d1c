"""Candidates that say nothing new."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_CHUNK: Final = 512


def repeated_ids(ids: Sequence[str], known: Set[str]) -> NDArray[np.bool_]:
    """Return (F,) whether a frame is known already or came earlier in ``ids``."""
    seen = set(known)
    repeated = np.zeros(len(ids), dtype=bool)
    for index, identity in enumerate(ids):
        repeated[index] = identity in seen
        seen.add(identity)
    return repeated


def standardise(features: FloatArray, reference: FloatArray) -> FloatArray:
    """Return ``features`` with the mean and spread of ``reference`` taken out, so that a typical distance is about 1.

    Columns that do not vary are dropped to zero; the rest are divided by the square root of twice their number.
    """
    spread = reference.std(axis=0)
    varies = spread > 1e-9 * (1.0 + np.abs(reference).max(axis=0, initial=0.0))
    scaled = np.where(varies, (features - reference.mean(axis=0)) / np.where(varies, spread, 1.0), 0.0)
    return np.asarray(scaled / np.sqrt(2.0 * max(int(varies.sum()), 1)), dtype=float)


def near_duplicates(
    features: FloatArray, order: Sequence[int], tolerance: float, known: FloatArray | None = None
) -> NDArray[np.bool_]:
    """Return (F,) whether a frame lies within ``tolerance`` of a known one or of a kept one earlier in ``order``.

    :param features: (F, d) standardised.
    :param order: the frames that compete, most wanted first; others are never marked and mark no other.
    :param known: (K, d) on the same scale.
    """
    marked = np.zeros(len(features), dtype=bool)
    if tolerance <= 0:
        return marked
    kept = np.empty((len(order) + 1, features.shape[1]))
    count = 0
    reference = known if known is not None else np.empty((0, features.shape[1]))
    for start in range(0, len(order), _CHUNK):
        block = np.asarray(order[start : start + _CHUNK], dtype=np.int64)
        taken = (nearest(features[block], reference) < tolerance) | (nearest(features[block], kept[:count]) < tolerance)
        first_of_block = count
        for index, gone in zip(block, taken, strict=True):
            fresh = kept[first_of_block:count]
            if gone or (len(fresh) and np.square(fresh - features[index]).sum(axis=1).min() < tolerance**2):
                marked[index] = True
            else:
                kept[count] = features[index]
                count += 1
    return marked


def nearest(features: FloatArray, others: FloatArray) -> FloatArray:
    """Return (F,) the distance from each row to the nearest row of ``others``; infinite where there are none."""
    shortest = np.full(len(features), np.inf)
    for start in range(0, len(others), _CHUNK):
        block = others[start : start + _CHUNK]
        squares = (features**2).sum(axis=1)[:, None] + (block**2).sum(axis=1) - 2.0 * features @ block.T
        shortest = np.minimum(shortest, np.sqrt(np.maximum(squares, 0.0)).min(axis=1))
    return shortest
