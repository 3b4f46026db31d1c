import json

import numpy as np
import pytest

from aiida_nvp.uncertainty.error_model import PRIOR_ATOMS, ErrorModel, fit_error_model, species_scales
from aiida_nvp.uncertainty.residuals import AtomScores, Residuals


def _atoms(numbers, sigma, force=None, distance=None):
    numbers = np.array(numbers, dtype=np.int32)
    force = np.zeros(len(numbers)) if force is None else force
    return AtomScores(numbers, np.array(sigma, dtype=float), force, distance)


def test_scales_recover_what_was_put_in(gaussian):
    scales = species_scales(gaussian(100, 100, {8: 2.0, 23: 0.5}))
    assert scales["O"] == pytest.approx(2.0, rel=0.05)
    assert scales["V"] == pytest.approx(0.5, rel=0.05)


def test_slopes_and_intercepts_recover_what_was_put_in(gaussian):
    truth = (0.6, 0.4, 0.3)
    model = fit_error_model(gaussian(300, 40, {8: 2.0, 23: 0.5}, truth))
    assert [model.slopes[name] for name in ("sigma", "force", "distance")] == pytest.approx(truth, abs=0.06)
    assert np.exp(model.intercepts["O"] - model.intercepts["V"]) == pytest.approx(4.0, rel=0.05)
    fresh = gaussian(300, 40, {8: 2.0, 23: 0.5}, truth, seed=1)
    assert np.sqrt(np.mean((fresh.error / model.expected(fresh.scores)) ** 2)) == pytest.approx(1.0, abs=0.03)


def test_few_labels_leave_the_plain_scaling(gaussian):
    truth = (0.6, 0.4, 0.3)
    few = fit_error_model(gaussian(2, 10, {8: 1.0}, truth))
    many = fit_error_model(gaussian(300, 10, {8: 1.0}, truth))
    for name, plain in (("sigma", 1.0), ("force", 0.0), ("distance", 0.0)):
        assert abs(few.slopes[name] - plain) < 0.8 * abs(many.slopes[name] - plain)


def test_terms_that_are_left_out_or_unknown_stay_plain(gaussian):
    residuals = gaussian(50, 20, {8: 1.0}, (0.6, 0.4, 0.3))
    assert fit_error_model(residuals, ("sigma",)).slopes["force"] == 0.0
    blind = Residuals(residuals.numbers, residuals.frame, residuals.sigma, residuals.predicted, residuals.labelled)
    assert fit_error_model(blind).slopes["distance"] == 0.0


def test_a_species_with_one_atom_leans_on_the_others():
    sigma, error = np.ones(2), np.array([[4.0, 0, 0], [1.0, 0, 0]])
    both = Residuals(np.array([8, 23], dtype=np.int32), np.zeros(2, dtype=int), sigma, error, np.zeros((2, 3)))
    everything = (16 + 1) / 2
    assert species_scales(both)["V"] == pytest.approx(np.sqrt((1 + PRIOR_ATOMS * everything) / (1 + PRIOR_ATOMS)))


def test_agreement_by_chance_is_floored(gaussian):
    few = gaussian(20, 50, {8: 1.0})
    few.sigma[0] = 1e-9
    assert species_scales(few)["O"] < 1.5
    model = fit_error_model(few)
    expected = model.expected(_atoms([8, 8], [1e-9, model.floors["O"]], np.ones(2)))
    assert expected[0] == pytest.approx(expected[1])


def test_a_stranger_gets_the_largest_intercept_and_no_model_the_raw_spread():
    of_old = ErrorModel.of({"scales": {"O": 2.0, "V": 3.0}})
    assert of_old.expected(_atoms([8, 23, 11], np.ones(3))) == pytest.approx([2.0, 3.0, 3.0])
    assert ErrorModel.of(None).expected(_atoms([8, 11], [0.2, np.inf])) == pytest.approx([0.2, np.inf])


def test_an_atom_without_distance_counts_as_typical(gaussian):
    model = fit_error_model(gaussian(100, 20, {8: 1.0}, (1.0, 0.0, 0.5)))
    near, far, unknown = model.expected(_atoms([8] * 3, np.ones(3), np.ones(3), np.array([0.1, 10.0, np.nan])))
    assert near < unknown < far
    assert unknown == pytest.approx(model.expected(_atoms([8], [1.0], np.ones(1)))[0])


def test_the_model_survives_json(gaussian):
    residuals = gaussian(30, 10, {8: 1.0, 23: 2.0})
    model = fit_error_model(residuals)
    again = ErrorModel.of({"error_model": json.loads(json.dumps(model.plain(), allow_nan=False))})
    assert again.expected(residuals.scores) == pytest.approx(model.expected(residuals.scores), rel=1e-12)
