import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.residuals import Residuals, errors_by_species, errors_by_temperature, force_errors


def test_force_errors_by_hand_and_by_band():
    labelled = np.array([[3.0, 0, 0], [0, 4.0, 0]])
    predicted = np.array([[3.0, 0, 3.0], [0, 4.0, 0]])
    residuals = Residuals(np.array([8, 23], dtype=np.int32), np.array([0, 1]), np.ones(2), predicted, labelled)
    errors = force_errors(residuals)
    assert errors["force_rmse"] == pytest.approx(np.sqrt(9 / 6))
    assert errors["force_rms"] == pytest.approx(np.sqrt(25 / 6))
    assert errors["ratio"] == pytest.approx(0.6)
    bands = errors_by_temperature(residuals, np.array([499.0, np.nan]))
    assert list(bands) == ["0-500"]
    assert bands["0-500"]["force_rmse"] == pytest.approx(np.sqrt(9 / 3))
    assert errors_by_species(residuals)["V"]["force_rmse"] == 0


def test_a_mask_takes_all_columns_along(gaussian):
    residuals = gaussian(4, 3, {8: 1.0})
    half = residuals.where(residuals.frame < 2)
    assert (len(half.numbers), half.n_frames) == (6, 2)
    assert half.distance == pytest.approx(residuals.distance[:6])
    assert half.scores.force == pytest.approx(np.linalg.norm(residuals.predicted[:6], axis=1))


def test_nothing_to_calibrate_with_is_refused():
    nothing = np.empty((0, 3))
    with pytest.raises(InputError, match="none of the predicted"):
        Residuals(np.empty(0, dtype=np.int32), np.empty(0, dtype=int), np.empty(0), nothing, nothing)
    with pytest.raises(InputError, match="`sigma`"):
        Residuals(np.array([8], dtype=np.int32), np.zeros(1, dtype=int), np.array([np.inf]), *np.zeros((2, 1, 3)))
