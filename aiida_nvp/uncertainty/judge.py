"""A committee's answer put into numbers by which each atom is judged."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.uncertainty.committee import Prediction
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.last_layer import FeatureStatistics
from aiida_nvp.uncertainty.residuals import AtomScores, FloatArray
from aiida_nvp.uncertainty.spread import vector_std


@dataclass(frozen=True)
class Judge:
    """What turns predictions into expected errors.

    :param statistics: of the training set of the first member; None where they are not at hand.
    :param model: the error model in force; the raw spread before the first calibration.
    """

    statistics: FeatureStatistics | None = None
    model: ErrorModel = field(default_factory=ErrorModel)

    def scores(self, numbers: NDArray[np.int32], prediction: Prediction) -> AtomScores:
        """Return spread, force and feature distance of N atoms.

        :param numbers: (N,) atomic numbers.
        :raises InputError: with fewer than two members, or for statistics of another model.
        """
        mean = prediction.forces.mean(axis=0)
        distance = None
        if self.statistics is not None and prediction.features is not None:
            distance = self.statistics.distance(numbers, prediction.features)
        return AtomScores(numbers, vector_std(prediction.forces), np.linalg.norm(mean, axis=1), distance)

    def expected(self, numbers: NDArray[np.int32], prediction: Prediction) -> FloatArray:
        """Return (N,) the error to expect of each atom, eV/angstrom; infinite where a number is missing.

        :raises InputError: as :meth:`scores`.
        """
        return self.model.expected(self.scores(numbers, prediction))

    def last_layer(self, prediction: Prediction) -> FloatArray | None:
        """Return (N,) last-layer sigma of the first member, dimensionless, or None without statistics."""
        if self.statistics is None or prediction.features is None:
            return None
        return self.statistics.sigma(prediction.features)
