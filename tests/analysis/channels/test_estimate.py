"""Errors from halves and draws."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.channels.estimate import Estimate, bootstrap, from_halves
from aiida_nvp.common.errors import InputError


def test_halves_give_the_standard_error_of_their_mean():
    assert from_halves(5.0, [4.0, 7.0]) == Estimate(5.0, pytest.approx(np.std([4.0, 7.0], ddof=1) / np.sqrt(2)))
    assert from_halves(5.0, [4.0, None]) == Estimate(5.0, None)
    assert from_halves(None, [4.0, 7.0]) == Estimate(None, None)
    assert from_halves(5.0, []) == Estimate(5.0, None)


def test_bootstrap_of_a_mean_has_its_standard_error_and_covers():
    samples = np.random.default_rng(4).normal(size=200)
    found = bootstrap(lambda drawn: float(samples[drawn].mean()), 200, seed=1)
    assert found.value == pytest.approx(samples.mean())
    assert found.error == pytest.approx(samples.std() / np.sqrt(200), rel=0.1)
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * found.error, rel=0.1)
    assert found == bootstrap(lambda drawn: float(samples[drawn].mean()), 200, seed=1)
    inside = 0
    for trial in range(100):
        sample = np.random.default_rng(100 + trial).normal(size=40)
        interval = bootstrap(lambda drawn, sample=sample: float(sample[drawn].mean()), 40, seed=trial, draws=200)
        inside += interval.low < 0 < interval.high
    assert 85 <= inside <= 99


def test_draws_without_a_value_do_not_count():
    values = np.array([np.nan, 1.0, 2.0, 3.0])
    found = bootstrap(lambda drawn: float(np.nan if 0 in drawn[:2] else values[drawn[0]]), 4, seed=0, draws=50)
    assert np.isfinite(found.error)
    with pytest.raises(InputError, match="at least two samples"):
        bootstrap(lambda drawn: float(len(drawn)), 1, seed=0)
    with pytest.raises(InputError, match="defined for most draws"):
        bootstrap(lambda drawn: len(drawn) * float("nan"), 3, seed=0, draws=10)
