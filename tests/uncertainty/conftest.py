"""Errors whose distribution is known."""

import numpy as np
import pytest

from aiida_nvp.uncertainty.residuals import Residuals


@pytest.fixture
def gaussian():
    """Return a function that makes error vectors with independent Gaussian components.

    Their rms length is ``factor[z] * sigma**b * (|F| + 0.05)**c * distance**e``.
    """

    def _make(n_frames, per_frame, factors, slopes=(1.0, 0.0, 0.0), seed=0):
        rng = np.random.default_rng(seed)
        count = n_frames * per_frame
        numbers = rng.choice(np.array(list(factors)), count).astype(np.int32)
        sigma, distance = rng.uniform(0.5, 1.5, count), np.exp(rng.normal(0, 0.5, count))
        predicted = rng.normal(size=(count, 3)) * np.exp(rng.normal(0, 1, (count, 1)))
        force = np.linalg.norm(predicted, axis=1)
        b, c, e = slopes
        width = np.array([factors[z] for z in numbers]) * sigma**b * (force + 0.05) ** c * distance**e / np.sqrt(3)
        labelled = predicted - rng.normal(size=(count, 3)) * width[:, None]
        return Residuals(numbers, np.repeat(np.arange(n_frames), per_frame), sigma, predicted, labelled, distance)

    return _make
