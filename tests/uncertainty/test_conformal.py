import numpy as np
import pytest

from aiida_nvp.uncertainty.conformal import LEVELS, Calibration, calibrate_residuals, conformal_quantile, coverage
from aiida_nvp.uncertainty.residuals import AtomScores


def test_conformal_quantile_by_hand():
    # Nine structures of one atom: ceil(10 * 0.9) / 9 = 1, the largest; nineteen: ceil(20 * 0.9) = 18th of 19.
    assert conformal_quantile(np.arange(1.0, 10.0), np.arange(9)) == 9.0
    assert conformal_quantile(np.arange(1.0, 20.0), np.arange(19)) == 18.0
    assert conformal_quantile(np.array([3.0]), np.array([0])) == 3.0
    assert conformal_quantile(np.arange(1.0, 20.0), np.arange(19), 0.5) == 10.0


def test_a_large_structure_has_one_vote():
    # 18 small structures with ratio 1 and one of 1000 atoms with ratio 9: 18/19 of the mass is at 1.
    ratio = np.concatenate([np.ones(18), np.full(1000, 9.0)])
    frame = np.concatenate([np.arange(18), np.full(1000, 18)])
    assert conformal_quantile(ratio, frame) == 1.0
    assert np.quantile(ratio, 0.9) == 9.0


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("split", [True, False])
def test_fresh_data_are_covered_as_promised(gaussian, level, split):
    factors, slopes = {8: 2.0, 23: 0.5}, (0.7, 0.3, 0.2)
    learn, wrap = gaussian(200, 20, factors, slopes), gaussian(200, 20, factors, slopes, seed=2)
    calibration = calibrate_residuals(learn, wrap) if split else calibrate_residuals(learn)
    achieved = coverage(gaussian(400, 20, factors, slopes, seed=1), calibration, level)
    for name in ("O", "V", "all"):
        assert achieved[name] == pytest.approx(level, abs=0.03)


def test_larger_errors_than_calibrated_are_not_covered(gaussian):
    calibration = calibrate_residuals(gaussian(200, 20, {8: 2.0}))
    assert coverage(gaussian(400, 20, {8: 4.0}, seed=1), calibration)["all"] < 0.7


def test_a_rare_species_takes_the_factor_of_all(gaussian):
    residuals = gaussian(30, 10, {8: 1.0})
    residuals.numbers[:3] = 23
    factors = calibrate_residuals(residuals).quantiles["0.9"]
    assert factors["V"] == factors["all"]


def test_one_structure_still_calibrates(gaussian):
    calibration = calibrate_residuals(gaussian(1, 8, {8: 1.0}))
    assert np.isfinite(list(calibration.quantiles["0.9"].values())).all()


def test_a_record_of_old_holds_one_level():
    old = Calibration.of({"scales": {"O": 2.0}, "quantiles": {"O": 1.5, "all": 3.0}})
    atoms = AtomScores(np.array([8, 23], dtype=np.int32), np.ones(2), np.zeros(2))
    assert old.bound(atoms) == pytest.approx([3.0, 6.0])
    with pytest.raises(KeyError):
        old.bound(atoms, 0.5)
