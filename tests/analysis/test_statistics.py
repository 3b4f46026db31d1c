"""Block errors."""

import numpy as np

from aiida_nvp.analysis.statistics import block_average


def test_error_of_independent_samples_is_the_standard_error():
    samples = np.random.default_rng(0).normal(loc=2, size=(1000, 400))
    mean, error = block_average(samples)
    np.testing.assert_allclose(mean, samples.mean(axis=0))
    assert abs(np.sqrt((error**2).mean()) * np.sqrt(1000) - 1) < 0.06


def test_one_sample_has_no_error():
    mean, error = block_average(np.array([3.0]))
    assert mean == 3
    assert np.isnan(error)
