import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.uncertainty.conformal import calibrate_residuals
from aiida_nvp.uncertainty.quality import (
    auroc,
    calibrated_quality,
    calibration_bins,
    coverage_curve,
    ence,
    gaussian_nll,
    miscalibration_area,
    ranking_quality,
    reliability_curves,
    spearman,
)


def test_spearman_sees_order_only():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(values, np.exp(values)) == pytest.approx(1.0)
    assert spearman(values, -(values**3)) == pytest.approx(-1.0)
    assert spearman(values, np.ones(4)) is None


@given(st.integers(0, 2**32 - 1))
def test_spearman_agrees_with_scipy(seed):
    from scipy.stats import spearmanr

    rng = np.random.default_rng(seed)
    first, second = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_auroc_by_hand():
    error = np.arange(40.0)
    assert auroc(error, error) == 1.0
    assert auroc(-error, error) == 0.0
    assert auroc(np.ones(40), error) == 0.5
    # Of the two worst atoms one is ahead of all 38 others, one of 37 of them.
    score = error.copy()
    score[38], score[37] = 37.0, 38.0
    assert auroc(score, error) == pytest.approx((38 + 37) / (2 * 38))
    assert auroc(error[:5], error[:5]) is None


def test_gaussian_nll_is_least_at_the_true_width_and_known_there():
    rng = np.random.default_rng(0)
    difference = rng.normal(0, 2.0, (20000, 3))
    right = np.full(20000, 2.0 * np.sqrt(3))
    assert gaussian_nll(right, difference) == pytest.approx(0.5 * np.log(2 * np.pi * np.e * 4), abs=0.02)
    for factor in (0.8, 1.25):
        assert gaussian_nll(factor * right, difference) > gaussian_nll(right, difference)


def test_ence_and_area_vanish_for_true_widths_and_grow_with_a_wrong_factor():
    rng = np.random.default_rng(1)
    expected = rng.uniform(0.5, 3, 40000)
    error = np.linalg.norm(rng.normal(size=(40000, 3)) * expected[:, None] / np.sqrt(3), axis=1)
    assert ence(expected, error) < 0.02
    assert miscalibration_area(expected, error) < 0.01
    assert ence(2 * expected, error) == pytest.approx(0.5, abs=0.02)
    assert miscalibration_area(0.5 * expected, error) > 0.2
    promised, achieved = coverage_curve(expected, error)
    assert achieved == pytest.approx(promised, abs=0.01)


def test_bins_hold_equally_many_atoms_and_survive_few():
    promised, found = calibration_bins(np.arange(1.0, 4.0), np.array([2.0, 2.0, 6.0]), bins=10)
    assert promised == pytest.approx([1, 2, 3])
    assert found == pytest.approx([2, 2, 6])


def test_all_scores_of_a_true_model(gaussian):
    factors, slopes = {8: 2.0, 23: 0.5}, (0.7, 0.4, 0.3)
    calibration = calibrate_residuals(gaussian(200, 20, factors, slopes))
    fresh = gaussian(200, 20, factors, slopes, seed=3)
    quality = calibrated_quality(fresh, calibration)
    assert quality.rms_z == pytest.approx(1.0, abs=0.05)
    assert quality.coverage["0.9"] == pytest.approx(0.9, abs=0.02)
    assert quality.width["0.5"] < quality.sharpness < quality.width["0.95"]
    assert quality.spearman > ranking_quality(fresh.sigma, fresh).spearman
    assert quality.auroc > 0.7
    json.dumps(quality.plain(), allow_nan=False)


def test_reliability_curves_of_true_error_bars_lie_on_the_diagonal():
    generator = np.random.default_rng(3)
    expected = generator.uniform(0.1, 1.0, 40_000)
    error = np.linalg.norm(generator.normal(size=(40_000, 3)), axis=1) * expected / np.sqrt(3)
    curves = reliability_curves(expected, error)
    assert curves["found"] == pytest.approx(curves["expected"], rel=0.03)
    assert curves["achieved"] == pytest.approx(curves["nominal"], abs=0.01)
