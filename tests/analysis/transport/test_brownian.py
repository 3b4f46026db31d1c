"""The covariance of displacements that overlap, against simulation and closed forms."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.brownian import msd_covariance


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_covariance_is_that_of_simulated_walkers(noise):
    frames, runs, lags = 40, 12000, np.array([1, 3, 8, 20])
    rng = np.random.default_rng(1)
    paths = np.cumsum(rng.normal(size=(frames, runs, 3)), axis=0)
    paths += rng.normal(scale=np.sqrt(noise), size=paths.shape)
    msd = np.stack([((paths[lag:] - paths[:-lag]) ** 2).sum(axis=2).mean(axis=0) for lag in lags])
    expected = msd_covariance(lags, frames, 1.0, noise)
    scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    np.testing.assert_allclose(np.cov(msd) / scale, expected / scale, atol=0.05)


def test_first_lag_is_the_mean_of_independent_squares():
    # Each of T - 1 steps adds 3 axes of a squared Gaussian, whose variance is twice the square of its mean.
    (value,) = msd_covariance(np.array([1]), 101, 0.7, 0.0).ravel()
    assert value == pytest.approx(2 * 3 * 0.7**2 / 100, rel=1e-12)


def test_longest_lag_is_one_displacement():
    (value,) = msd_covariance(np.array([50]), 51, 0.2, 0.1).ravel()
    assert value == pytest.approx(2 * 3 * (50 * 0.2 + 2 * 0.1) ** 2, rel=1e-12)
