"""Two ways to say which candidate adds most to a batch, given what is in it already.

Both are greedy. The log-determinant of a covariance is submodular, so the greedy batch reaches at least 63 % of what
the best one would teach (Nemhauser, Wolsey, Fisher 1978, doi:10.1007/BF01588971), and a bound that was computed earlier
stays a bound: only few candidates are looked at again in each step (Minoux 1978, doi:10.1007/BFb0006528). Farthest
points are within a factor of two of the best covering radius (Gonzalez 1985, doi:10.1016/0304-3975(85)90224-5).
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from aiida_nvp.common.errors import InputError
from aiida_nvp.selection.duplicates import nearest

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_RENEWED: Final = 64
"""Outdated bounds that are computed anew in one go."""
_ROWS: Final = 1 << 16
"""Rows whitened in one go, which bounds the memory."""


class Design(Protocol):
    """Knows F candidates and what is taken of them."""

    def best(self, open_: BoolArray) -> tuple[int, float] | None:
        """Return the index of the open candidate that adds most, the first among equals, and what it adds.

        None where nothing is open.
        """

    def take(self, index: int) -> None:
        """Add a candidate to the batch."""


class FarthestPoint:
    """What a candidate adds is its distance to the nearest frame that is labelled or taken.

    :param features: (F, d) of the candidates.
    :param fixed: (K, d) of what is labelled; with nothing to be far from, the first open candidate is the best one.
    """

    def __init__(self, features: FloatArray, fixed: FloatArray | None = None) -> None:
        """Measure the distances to what is labelled."""
        self._features = features
        known = fixed if fixed is not None else np.empty((0, features.shape[1]))
        self._distance = nearest(features, known)

    def best(self, open_: BoolArray) -> tuple[int, float] | None:
        """See :class:`Design`; an infinite distance means that there is nothing to be far from."""
        if not open_.any():
            return None
        index = int(np.argmax(np.where(open_, self._distance, -1.0)))
        return index, float(self._distance[index])

    def take(self, index: int) -> None:
        """See :class:`Design`."""
        apart = np.linalg.norm(self._features - self._features[index], axis=1)
        self._distance = np.minimum(self._distance, apart)


class LogDet:
    """What a candidate adds is ``log det(B + W^T W) - log det B`` over its cost, in nats; B is one plus what is taken.

    :param rows: (F, R, d) information of each candidate, whitened by the training set (see
        :mod:`aiida_nvp.uncertainty.information`): a row of length one says as much as an average atom of it.
    :param cost: (F,) relative; all equal without it.
    :raises InputError: if a row is not finite or a cost not positive.
    """

    def __init__(self, rows: NDArray[np.floating], cost: FloatArray | None = None) -> None:
        """Begin with the training set alone."""
        if not np.isfinite(rows).all():
            raise InputError("selection: an information row holds a value that is not finite.")
        self._rows = np.asarray(rows)
        self._cost = np.ones(len(rows)) if cost is None else np.asarray(cost, dtype=float)
        if not (self._cost > 0).all():
            raise InputError("selection: the cost of a label must be positive.")
        self._information = np.eye(rows.shape[2])
        self._factor: FloatArray = np.eye(rows.shape[2])
        self._bound = np.empty(len(rows))
        self._current = np.zeros(len(rows), dtype=bool)
        self._renew(np.arange(len(rows)))

    def best(self, open_: BoolArray) -> tuple[int, float] | None:
        """See :class:`Design`; what it adds is in nats, not divided by the cost."""
        if not open_.any():
            return None
        while True:
            worth = np.where(open_, self._bound / self._cost, -np.inf)
            index = int(np.argmax(worth))
            if self._current[index]:
                return index, float(self._bound[index])
            stale = np.flatnonzero(open_ & ~self._current)
            self._renew(np.sort(stale[np.argsort(-worth[stale], kind="stable")[:_RENEWED]]))

    def take(self, index: int) -> None:
        """See :class:`Design`."""
        rows = self._rows[index].astype(float)
        self._information = self._information + rows.T @ rows
        self._factor = np.asarray(np.linalg.cholesky(self._information), dtype=float)
        self._current[:] = False

    @property
    def total(self) -> float:
        """What the batch teaches, in nats."""
        return 2.0 * float(np.log(np.diag(self._factor)).sum())

    def _renew(self, which: NDArray[np.int64]) -> None:
        _, count, width = self._rows.shape
        size = max(1, _ROWS // max(count, 1))
        for start in range(0, len(which), size):
            block = which[start : start + size]
            flat = self._rows[block].reshape(-1, width).astype(float)
            seen = solve_triangular(self._factor, flat.T, lower=True).T.reshape(len(block), count, width)
            gram = seen @ seen.transpose(0, 2, 1) if count <= width else seen.transpose(0, 2, 1) @ seen
            gram[:, range(gram.shape[1]), range(gram.shape[1])] += 1.0
            factor = np.linalg.cholesky(gram)
            self._bound[block] = 2.0 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
        self._current[which] = True
