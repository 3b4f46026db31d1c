import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.information import information_rows, most_uncertain
from aiida_nvp.uncertainty.last_layer import FeatureStatistics


@pytest.fixture
def statistics():
    rng = np.random.default_rng(0)
    return FeatureStatistics.fit(np.full(400, 8, dtype=np.int32), rng.normal(size=(400, 3)) * [1.0, 5.0, 0.1])


def test_the_most_uncertain_atoms_of_each_frame_come_first():
    offsets = np.array([0, 4, 6, 7])
    expected = np.array([0.1, 0.4, 0.3, 0.4, np.nan, 9.0, 0.0])
    assert most_uncertain(offsets, expected, 3).tolist() == [[1, 3, 2], [4, 5, -1], [6, -1, -1]]


def test_the_squared_length_of_a_row_is_the_variance_of_its_atom(statistics):
    rng = np.random.default_rng(1)
    features, jacobian = rng.normal(size=(5, 3)), rng.normal(size=(5, 3, 3))
    atoms = np.array([[3, 1], [4, -1]])
    rows = information_rows(atoms, statistics, features)
    assert rows.shape == (2, 2, 3)
    assert rows.dtype == np.float32
    sigma = statistics.sigma(features)
    assert np.linalg.norm(rows, axis=2) == pytest.approx(np.array([[sigma[3], sigma[1]], [sigma[4], 0.0]]), rel=1e-5)
    forces = information_rows(atoms, statistics, features, jacobian)
    assert forces.shape == (2, 6, 3)
    by_atom = np.square(forces).sum(axis=2).reshape(2, 2, 3).sum(axis=2)
    wanted = np.square(statistics.force_sigma(jacobian))
    assert by_atom == pytest.approx(np.array([[wanted[3], wanted[1]], [wanted[4], 0.0]]), rel=1e-5)


def test_training_atoms_have_rows_of_length_one_on_average(statistics):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 3)) * [1.0, 5.0, 0.1]
    rows = information_rows(np.arange(400)[:, None], statistics, features)
    assert np.square(rows).sum() / 400 == pytest.approx(1.0, rel=1e-4)


def test_what_is_no_number_stays_one_and_another_width_is_refused(statistics):
    features = np.ones((2, 3))
    features[1, 0] = np.nan
    rows = information_rows(np.array([[0], [1]]), statistics, features)
    assert np.isfinite(rows[0]).all()
    assert np.isnan(rows[1]).all()
    with pytest.raises(InputError, match="another model"):
        information_rows(np.array([[0]]), statistics, np.ones((2, 4)))


def test_no_frame_has_no_rows(statistics):
    assert information_rows(most_uncertain(np.array([0]), np.empty(0)), statistics, np.empty((0, 3))).shape == (0, 8, 3)
