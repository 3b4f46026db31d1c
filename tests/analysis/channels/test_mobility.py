"""Mobility maps of walkers whose mobility is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from aiida_nvp.analysis.channels.mobility import brownian_half_share, half_share, mobility_map, spearman
from aiida_nvp.common.errors import InputError


def _walkers(trajectory, widths, frames=200, seed=0):
    generator = np.random.default_rng(seed)
    steps = generator.normal(size=(frames, len(widths), 3)) * np.asarray(widths)[None, :, None]
    host = np.zeros((frames, 1, 3)) + 4.0
    return trajectory(np.concatenate([np.cumsum(steps, axis=0), host], axis=1), numbers=[11] * len(widths) + [15])


def test_msd_of_each_ion_is_that_of_its_walk(trajectory):
    widths = np.repeat([0.1, 0.5], 20)
    found = mobility_map(_walkers(trajectory, widths, frames=2000), "Na", window=4, cutoff=0.8)
    assert found.msd == pytest.approx(4 * 3 * widths**2, rel=0.25)
    assert found.mean.value == pytest.approx(6 * (0.01 + 0.25), rel=0.05)
    assert found.mobile_share.value == 0.5
    assert 0.3 < found.mobile_share.low < 0.5 < found.mobile_share.high < 0.7
    # Half of the ions carry 25/26 of the motion, so half of it is on 13/25 of these.
    assert found.half_share.value == pytest.approx(0.5 * 13 / 25, abs=0.02)
    assert found.half_share.high < found.null_half_share
    assert found.persistence.low > 0.6
    assert found.ions.tolist() == list(range(40))
    assert found.quantiles[2] == pytest.approx(np.median(found.msd))


def test_equal_walkers_are_not_heterogeneous(trajectory):
    found = mobility_map(_walkers(trajectory, [0.3] * 150, frames=200), "Na", window=50)
    # Overlapping windows are a little better than independent ones.
    assert found.half_share.value == pytest.approx(found.null_half_share, abs=0.05)
    assert found.persistence.low < 0 < found.persistence.high
    assert found.mobile_share is None


def test_share_that_carries_half():
    assert half_share(np.ones(8)) == pytest.approx(0.5)
    assert half_share(np.array([8.0, 0, 0, 0])) == pytest.approx(0.125)
    assert half_share(np.array([3.0, 1.0, 1.0, 1.0])) == pytest.approx(0.25)
    assert np.isnan(half_share(np.zeros(3)))


@pytest.mark.parametrize("windows", [1, 5])
def test_brownian_null_agrees_with_samples(windows):
    samples = np.random.default_rng(1).chisquare(3 * windows, size=200_000)
    assert brownian_half_share(windows) == pytest.approx(half_share(samples), abs=0.003)
    assert brownian_half_share(10_000) == pytest.approx(0.5, abs=0.01)


def test_rank_correlation_is_that_of_scipy():
    generator = np.random.default_rng(2)
    first, second = generator.integers(0, 5, 30).astype(float), generator.normal(size=30)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)
    assert spearman(first, first**3) == pytest.approx(1)
    assert np.isnan(spearman(np.ones(4), second[:4]))


def test_one_ion_has_no_interval(trajectory):
    found = mobility_map(_walkers(trajectory, [0.3]), "Na", window=5)
    assert (found.mean, found.half_share, found.persistence) == (None, None, None)
    with pytest.raises(InputError, match="does not fit into 200"):
        mobility_map(_walkers(trajectory, [0.3]), "Na", window=200)
    with pytest.raises(InputError, match="cutoff must be positive"):
        mobility_map(_walkers(trajectory, [0.3]), "Na", window=2, cutoff=0.0)
