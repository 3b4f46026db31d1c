import numpy as np
import pytest
from aiida_nvp.uncertainty.calibration import (
    PRIOR_ATOMS,
    Residuals,
    calibrated,
    conformal_quantile,
    coverage,
    errors_by_temperature,
    force_errors,
    quantiles,
    spearman,
    species_scales,
    thresholds,
)

from aiida_nvp.common.errors import InputError


def _gaussian(n_frames, per_frame, factors, seed=0):
    """Errors whose rms length is ``factor`` times sigma, by species."""
    rng = np.random.default_rng(seed)
    numbers = rng.choice(np.array(list(factors)), n_frames * per_frame).astype(np.int32)
    sigma = rng.uniform(0.5, 1.5, len(numbers))
    width = sigma * np.array([factors[z] for z in numbers]) / np.sqrt(3)
    error = rng.normal(size=(len(numbers), 3)) * width[:, None]
    labelled = rng.normal(size=error.shape)
    frame = np.repeat(np.arange(n_frames), per_frame)
    return Residuals(numbers, frame, sigma, labelled + error, labelled)


def test_scales_recover_what_was_put_in():
    scales = species_scales(_gaussian(100, 100, {8: 2.0, 23: 0.5}))
    assert scales["O"] == pytest.approx(2.0, rel=0.05)
    assert scales["V"] == pytest.approx(0.5, rel=0.05)


def test_a_species_with_one_atom_leans_on_the_others():
    sigma, error = np.ones(2), np.array([[4.0, 0, 0], [1.0, 0, 0]])
    both = Residuals(np.array([8, 23], dtype=np.int32), np.zeros(2, dtype=int), sigma, error, np.zeros((2, 3)))
    everything = (16 + 1) / 2
    assert species_scales(both)["V"] == pytest.approx(np.sqrt((1 + PRIOR_ATOMS * everything) / (1 + PRIOR_ATOMS)))


def test_agreement_by_chance_is_floored():
    few = _gaussian(20, 50, {8: 1.0})
    few.sigma[0] = 1e-9
    assert species_scales(few)["O"] < 1.5


def test_calibrated_uses_the_largest_scale_for_a_stranger():
    numbers = np.array([8, 23, 11], dtype=np.int32)
    assert calibrated(numbers, np.ones(3), {"O": 2.0, "V": 3.0}) == pytest.approx([2.0, 3.0, 3.0])
    assert calibrated(numbers, np.ones(3), {}) == pytest.approx([1.0, 1.0, 1.0])


def test_conformal_quantile_by_hand():
    # Nine structures of one atom: ceil(10 * 0.9) / 9 = 1, the largest; nineteen: ceil(20 * 0.9) = 18th of 19.
    assert conformal_quantile(np.arange(1.0, 10.0), np.arange(9)) == 9.0
    assert conformal_quantile(np.arange(1.0, 20.0), np.arange(19)) == 18.0
    assert conformal_quantile(np.array([3.0]), np.array([0])) == 3.0


def test_a_large_structure_has_one_vote():
    # 18 small structures with ratio 1 and one of 1000 atoms with ratio 9: 18/19 of the mass is at 1.
    ratio = np.concatenate([np.ones(18), np.full(1000, 9.0)])
    frame = np.concatenate([np.arange(18), np.full(1000, 18)])
    assert conformal_quantile(ratio, frame) == 1.0
    assert np.quantile(ratio, 0.9) == 9.0


def test_fresh_data_are_covered_as_promised():
    calibration = _gaussian(200, 20, {8: 2.0, 23: 0.5})
    scales = species_scales(calibration)
    achieved = coverage(_gaussian(400, 20, {8: 2.0, 23: 0.5}, seed=1), scales, quantiles(calibration, scales))
    for name in ("O", "V", "all"):
        assert achieved[name] == pytest.approx(0.9, abs=0.03)
    worse = coverage(_gaussian(400, 20, {8: 4.0, 23: 1.0}, seed=1), scales, quantiles(calibration, scales))
    assert worse["all"] < 0.7


def test_spearman_sees_order_only():
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert spearman(values, np.exp(values)) == pytest.approx(1.0)
    assert spearman(values, -(values**3)) == pytest.approx(-1.0)
    assert spearman(values, np.ones(4)) is None


def test_force_errors_by_hand_and_by_band():
    labelled = np.array([[3.0, 0, 0], [0, 4.0, 0]])
    predicted = np.array([[3.0, 0, 3.0], [0, 4.0, 0]])
    residuals = Residuals(np.array([8, 8], dtype=np.int32), np.array([0, 1]), np.ones(2), predicted, labelled)
    errors = force_errors(residuals)
    assert errors["force_rmse"] == pytest.approx(np.sqrt(9 / 6))
    assert errors["force_rms"] == pytest.approx(np.sqrt(25 / 6))
    assert errors["ratio"] == pytest.approx(0.6)
    bands = errors_by_temperature(residuals, np.array([499.0, np.nan]))
    assert list(bands) == ["0-500"]
    assert bands["0-500"]["force_rmse"] == pytest.approx(np.sqrt(9 / 3))


def test_thresholds_follow_the_target():
    assert thresholds(0.2) == pytest.approx({"lower": 0.2, "upper": 1.2, "break": 2.4})
    with pytest.raises(InputError, match="positive"):
        thresholds(0.0)


def test_nothing_to_calibrate_with_is_refused():
    nothing = np.empty((0, 3))
    with pytest.raises(InputError, match="none of the predicted"):
        Residuals(np.empty(0, dtype=np.int32), np.empty(0, dtype=int), np.empty(0), nothing, nothing)
    with pytest.raises(InputError, match="`sigma`"):
        Residuals(np.array([8], dtype=np.int32), np.zeros(1, dtype=int), np.array([np.inf]), *np.zeros((2, 1, 3)))
