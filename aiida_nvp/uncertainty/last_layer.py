"""Last-layer features of an Allegro model and the uncertainty that they alone give.

The read-out has no bias and ends in a linear map, so the energy of atom i is linear in phi_i, the hidden values of its
edges summed over the edges (before scale, shift and pair potential). Everything the training set says about the last
layer is in the covariance of phi (Bigi, Chong, Ceriotti, Grasselli, doi:10.1088/2632-2153/ad805f).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.committee import Systems

FloatArray = NDArray[np.float64]


def pool_features(systems: Systems, features: FloatArray, species: Sequence[str]) -> FloatArray:
    """Return (F, 2 S d) of each system: per species the mean and the standard deviation of its atoms' features.

    :param features: (N, d).
    :param species: S chemical symbols in the order of their columns; one that a system lacks gives zeros.
    """
    rows = np.zeros((len(systems.cells), len(species), 2, features.shape[1]))
    for row, begin, end in zip(rows, systems.offsets[:-1], systems.offsets[1:], strict=True):
        for column, symbol in enumerate(species):
            mine = features[begin:end][systems.numbers[begin:end] == atomic_numbers[symbol]]
            if len(mine):
                row[column] = mine.mean(axis=0), mine.std(axis=0)
    return rows.reshape(len(rows), -1) if rows.size else np.zeros((len(rows), 0))


@dataclass(frozen=True)
class LastLayerSigma:
    """Sigma of an atom, sqrt(phi^T C^-1 phi): about one where the training set is dense, growing away from it.

    :param factor: (d, d) lower Cholesky factor of the regularised covariance C of the training features.
    """

    factor: FloatArray

    @classmethod
    def fit(cls, features: FloatArray, ridge: float = 1e-6) -> LastLayerSigma:
        """Take the covariance of the training features, normalised such that sigma^2 averages one over it.

        :param features: (N, d) of the training set.
        :param ridge: share of the mean variance that is added to each direction.
        :raises InputError: if there are no finite features with any variance.
        """
        known = features[np.isfinite(features).all(axis=1)]
        width = features.shape[1]
        covariance = width * (known.T @ known) / max(len(known), 1)
        covariance += ridge * np.trace(covariance) / width * np.eye(width)
        try:
            return cls(np.asarray(cholesky(covariance, lower=True), dtype=float))
        except LinAlgError as error:
            raise InputError("last layer: the training features have no variance to learn from.") from error

    def sigma(self, features: FloatArray) -> FloatArray:
        """Return (N,) sigma of each atom, dimensionless; infinite where a feature is not a number."""
        finite = np.isfinite(features).all(axis=1)
        result = np.full(len(features), np.inf)
        known = features[finite]
        result[finite] = np.sqrt(np.einsum("nd,dn->n", known, cho_solve((self.factor, True), known.T)))
        return result
