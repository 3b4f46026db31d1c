"""What the last layer of one model alone says about its certainty.

The read-out has no bias and ends in a linear map, so the energy of atom i is linear in phi_i, the hidden values of its
edges summed over the edges (before scale, shift and pair potential), and the force on it is linear in
J_i = -d(sum_k phi_k)/dr_i. Two measures follow from the training set, without any further training:

* the last-layer Laplace posterior (Bigi, Chong, Ceriotti, Grasselli, doi:10.1088/2632-2153/ad805f): with
  C = <phi phi^T> + <J J^T> + ridge, sigma_E = sqrt(phi^T C^-1 phi) of an atom's energy costs nothing beyond the
  forward pass; sigma_F = sqrt(sum_a J_a^T C^-1 J_a) of its force costs one backward pass a feature;
* the Mahalanobis distance of phi_i from the cloud of its species (a Gaussian per species, the one-component case of
  Zhu, Batzner, Musaelian, Kozinsky, doi:10.1063/5.0136574): new surroundings are far from it even where forces agree.

Both are dimensionless until calibrated: about one on what the model was trained on.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky, solve_triangular

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.committee import Systems

FloatArray = NDArray[np.float64]

HIGH_SHARE = 0.99
"""Share of the training atoms whose last-layer sigma is below the value that counts as high."""
_FEWEST_ATOMS = 2
_RIDGE = 1e-6
_SHRINKAGE_ATOMS = 10.0
"""A species' covariance counts this many atoms of its own variances without correlation."""


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
class FeatureStatistics:
    """The training set as one model sees it: S species, d features.

    :param factor: (d, d) lower Cholesky factor of the regularised covariance C of the last layer.
    :param high: last-layer sigma that a hundredth of the training atoms exceed.
    :param numbers: (S,) atomic numbers of the species with a cloud of their own.
    :param means: (S, d) and ``factors`` (S, d, d): centres and lower Cholesky factors of the clouds.
    """

    factor: FloatArray
    high: float
    numbers: NDArray[np.int64]
    means: FloatArray
    factors: FloatArray

    @classmethod
    def fit(
        cls, numbers: NDArray[np.int32], features: FloatArray, jacobian: FloatArray | None = None
    ) -> FeatureStatistics:
        """Take the statistics of a training set, scaled such that both measures square to one on average over it.

        :param numbers: (N,) atomic numbers; ``features``: (N, d).
        :param jacobian: (n, 3, d) of any n atoms of it, see :meth:`Committee.jacobian`; energies alone count without.
        :raises InputError: if there are no finite features with any variance.
        """
        finite = np.isfinite(features).all(axis=1)
        known, kinds = features[finite], np.asarray(numbers)[finite]
        width = features.shape[1]
        covariance = known.T @ known / max(len(known), 1)
        if jacobian is not None and jacobian.size:
            rows = jacobian.reshape(-1, width)
            rows = rows[np.isfinite(rows).all(axis=1)]
            # A model is fitted to three force components an atom and to one energy a frame.
            covariance = covariance / max(np.trace(covariance), 1e-300) + rows.T @ rows / max(
                np.square(rows).sum(), 1e-300
            )
        factor = _factor(covariance)
        scale = np.sqrt(np.mean(np.square(_whiten(factor, known)).sum(axis=1))) if len(known) else 1.0
        factor = factor * scale
        sigma = np.sqrt(np.square(_whiten(factor, known)).sum(axis=1))
        clouds = [(number, *_cloud(known[kinds == number])) for number in np.unique(kinds)]
        return cls(
            factor=factor,
            high=float(np.quantile(sigma, HIGH_SHARE)) if len(sigma) else 1.0,
            numbers=np.array([number for number, _, _ in clouds], dtype=np.int64),
            means=np.array([mean for _, mean, _ in clouds], dtype=float).reshape(-1, width),
            factors=np.array([part for _, _, part in clouds], dtype=float).reshape(-1, width, width),
        )

    @property
    def width(self) -> int:
        """Number of features d."""
        return len(self.factor)

    def sigma(self, features: FloatArray) -> FloatArray:
        """Return (N,) last-layer sigma of each atom's energy; infinite where a feature is not a number.

        :param features: (N, d).
        :raises InputError: if the features are of another width.
        """
        self._check(features.shape[-1])
        return _length(self.factor, features)

    def force_sigma(self, jacobian: FloatArray) -> FloatArray:
        """Return (N,) last-layer sigma of each atom's force vector; infinite where a value is not a number.

        :param jacobian: (N, 3, d).
        :raises InputError: if the features are of another width.
        """
        self._check(jacobian.shape[-1])
        return np.sqrt(sum(np.square(_length(self.factor, jacobian[:, axis])) for axis in range(3)))

    def distance(self, numbers: NDArray[np.int32], features: FloatArray) -> FloatArray:
        """Return (N,) Mahalanobis distance of each atom from the cloud of its species, per square root of d.

        Infinite where a feature is not a number, NaN for a species that the training set lacked.

        :param numbers: (N,) atomic numbers; ``features``: (N, d).
        :raises InputError: if the features are of another width.
        """
        self._check(features.shape[-1])
        result = np.full(len(features), np.nan)
        for number, mean, factor in zip(self.numbers, self.means, self.factors, strict=True):
            mask = numbers == number
            result[mask] = _length(factor, features[mask] - mean) / np.sqrt(self.width)
        return result

    def whiten(self, rows: FloatArray) -> FloatArray:
        """Return (n, d) rows whose squared length is the variance that the last layer has along them; NaN stays NaN.

        :param rows: (n, d) features or derivatives of features.
        :raises InputError: if they are of another width.
        """
        self._check(rows.shape[-1])
        finite = np.isfinite(rows).all(axis=1)
        result = np.full(rows.shape, np.nan)
        if finite.any():
            result[finite] = _whiten(self.factor, rows[finite])
        return result

    def save(self, path: str | Path) -> None:
        """Write all arrays into one file; equal statistics give equal bytes."""
        temporary = Path(f"{path}.part")
        with temporary.open("wb") as handle:
            np.savez(
                handle,
                factor=self.factor,
                high=np.array(self.high),
                numbers=self.numbers,
                means=self.means,
                factors=self.factors,
            )
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: str | Path) -> FeatureStatistics:
        """Read what :meth:`save` wrote.

        :raises InputError: if the file is missing, damaged or holds something else.
        """
        try:
            # Read first: numpy leaves a file open when it turns out to be no archive.
            with np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False) as stored:
                return cls(
                    stored["factor"], float(stored["high"]), stored["numbers"], stored["means"], stored["factors"]
                )
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise InputError(f"the feature statistics {Path(path).name} cannot be read: {error}") from error

    def _check(self, width: int) -> None:
        if width != self.width:
            raise InputError(
                f"the statistics are of {self.width} features, the model has {width}: they belong to another model."
            )


def _cloud(features: FloatArray) -> tuple[FloatArray, FloatArray]:
    mean = features.mean(axis=0)
    apart = features - mean
    if len(features) < _FEWEST_ATOMS:
        return mean, _factor(np.diag(np.square(features).mean(axis=0)))
    covariance = apart.T @ apart / len(features)
    # As many atoms as features or fewer leave directions without variance: the diagonal fills them.
    share = _SHRINKAGE_ATOMS / (_SHRINKAGE_ATOMS + len(features))
    return mean, _factor((1 - share) * covariance + share * np.diag(np.diag(covariance)))


def _factor(covariance: FloatArray) -> FloatArray:
    width = len(covariance)
    try:
        return np.asarray(
            cholesky(covariance + _RIDGE * np.trace(covariance) / width * np.eye(width), lower=True), dtype=float
        )
    except (LinAlgError, ValueError) as error:
        raise InputError("last layer: the training features have no variance to learn from.") from error


def _whiten(factor: FloatArray, rows: FloatArray) -> FloatArray:
    return np.asarray(solve_triangular(factor, rows.T, lower=True).T, dtype=float)


def _length(factor: FloatArray, rows: FloatArray) -> FloatArray:
    finite = np.isfinite(rows).all(axis=1)
    result = np.full(len(rows), np.inf)
    if finite.any():
        result[finite] = np.sqrt(np.square(_whiten(factor, rows[finite])).sum(axis=1))
    return result
