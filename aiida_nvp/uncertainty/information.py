"""What the atoms of a frame would teach the last layer, in the few rows that a selection needs.

A label adds the outer products of these rows to the last layer's covariance (see
:mod:`~aiida_nvp.uncertainty.last_layer`). A frame of hundreds of atoms has few of which much can be learned: kept are
the rows of those of the largest expected error, whitened by the training set, so that a row of length one says as much
as an average atom of it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.uncertainty.last_layer import FeatureStatistics

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ATOMS: Final = 8
"""Atoms of a frame whose rows are kept."""


class Evidence(StrEnum):
    """What of a label is counted: the energies of its atoms, free with the forces, or their forces.

    Rows of forces cost one backward pass a feature for each frame.
    """

    ENERGY = "energy"
    FORCE = "force"


def most_uncertain(offsets: IntArray, expected: FloatArray, count: int = ATOMS) -> IntArray:
    """Return (F, count) indices of the atoms of the largest expected error of each frame, largest first; -1 for none.

    :param offsets: (F + 1,) first atom of each frame, then N.
    :param expected: (N,); what is no number comes first.
    """
    chosen = np.full((len(offsets) - 1, count), -1, dtype=np.int64)
    values = np.where(np.isnan(expected), np.inf, expected)
    for row, begin, end in zip(chosen, offsets[:-1], offsets[1:], strict=True):
        order = np.argsort(-values[begin:end], kind="stable")[:count]
        row[: len(order)] = begin + order
    return chosen


def information_rows(
    atoms: IntArray, statistics: FeatureStatistics, features: FloatArray, jacobian: FloatArray | None = None
) -> NDArray[np.float32]:
    """Return (F, R, d) whitened rows of the given atoms; zeros where a frame has fewer, NaN where a value is.

    :param atoms: (F, k) indices, see :func:`most_uncertain`.
    :param features: (N, d): one row an atom, R = k.
    :param jacobian: (N, 3, d) of :meth:`Committee.jacobian`: its rows take their place, R = 3 k.
    :raises InputError: if the features are not those of the statistics.
    """
    rows = features[:, None] if jacobian is None else jacobian
    frames, count = atoms.shape
    known = atoms >= 0
    whitened = statistics.whiten(rows[atoms[known]].reshape(-1, rows.shape[-1]))
    result = np.zeros((frames, count, rows.shape[1], rows.shape[2]), dtype=np.float32)
    result[known] = whitened.reshape(-1, rows.shape[1], rows.shape[2])
    return result.reshape(frames, count * rows.shape[1], rows.shape[2])
