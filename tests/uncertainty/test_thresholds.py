import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.error_model import ErrorModel, fit_error_model
from aiida_nvp.uncertainty.thresholds import Tolerance, derive_thresholds, thresholds


def test_thresholds_follow_the_target():
    assert thresholds(0.2) == pytest.approx({"lower": 0.2, "upper": 1.2, "break": 2.4})
    with pytest.raises(InputError, match="positive"):
        thresholds(0.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        Tolerance(0.2, 1.0)


def test_without_a_risk_the_lower_bound_is_the_target_and_the_risk_is_told(gaussian):
    basis = gaussian(100, 20, {8: 1.0})
    model = fit_error_model(basis)
    found = derive_thresholds(basis, model, Tolerance(0.3))
    assert found["thresholds"] == pytest.approx({"lower": 0.3, "upper": 1.8, "break": 3.6})
    assert found["risk"] == pytest.approx(np.mean(basis.error > model.expected(basis.scores)))
    assert "0.3 eV/angstrom" in found["sentence"]


@pytest.mark.parametrize("risk", [0.05, 0.3])
def test_a_stated_risk_is_kept_on_fresh_atoms_at_the_bound(gaussian, risk):
    basis = gaussian(200, 20, {8: 1.0})
    lower = derive_thresholds(basis, fit_error_model(basis), Tolerance(1.0, risk))["thresholds"]["lower"]
    # An atom expected to err by exactly `lower` exceeds the target of 1 eV/angstrom as often as was stated.
    fresh = gaussian(400, 20, {8: 1.0}, seed=1)
    ratio = fresh.error / fit_error_model(basis).expected(fresh.scores)
    assert np.mean(lower * ratio > 1.0) == pytest.approx(risk, abs=0.02)


def test_a_smaller_risk_lowers_the_bound(gaussian):
    basis = gaussian(100, 20, {8: 1.0})
    bounds = [
        derive_thresholds(basis, ErrorModel(), Tolerance(1.0, risk))["thresholds"]["lower"] for risk in (0.01, 0.1, 0.5)
    ]
    assert bounds == sorted(bounds)
