import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.uncertainty.last_layer import FeatureStatistics


@pytest.fixture
def training():
    """500 atoms of two species with correlated features, and what their forces look like."""
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 4))
    numbers = np.repeat(np.array([8, 23], dtype=np.int32), 250)
    features = rng.normal(size=(500, 4)) @ mix + np.where(numbers[:, None] == 8, 0.0, 20.0)
    return numbers, features, rng.normal(size=(500, 3, 4)) @ mix


def test_sigma_is_one_on_average_and_grows_away_from_the_data(training):
    numbers, features, jacobian = training
    for found in (FeatureStatistics.fit(numbers, features), FeatureStatistics.fit(numbers, features, jacobian)):
        inside = found.sigma(features)
        assert np.mean(inside**2) == pytest.approx(1.0, rel=1e-4)
        assert found.sigma(10 * features) == pytest.approx(10 * inside)
        assert np.mean(inside > found.high) == pytest.approx(0.01, abs=0.003)
        assert np.isinf(found.sigma(np.array([[np.nan, 0, 0, 0]]))).all()


def test_a_direction_that_no_force_has_tested_is_uncertain(training):
    numbers, features, jacobian = training
    jacobian[:, :, 0] *= 1e-3
    found = FeatureStatistics.fit(numbers, features, jacobian)
    push = np.zeros((2, 3, 4))
    push[0, 0, 0] = push[1, 0, 1] = 1.0
    tested = found.force_sigma(push)
    assert tested[0] > tested[1]
    assert found.force_sigma(2 * push) == pytest.approx(2 * tested)


def test_distance_is_measured_from_the_own_species(training):
    numbers, features, _ = training
    found = FeatureStatistics.fit(numbers, features)
    distance = found.distance(numbers, features)
    assert np.sqrt(np.mean(distance**2)) == pytest.approx(1.0, rel=0.1)
    swapped = found.distance(numbers[::-1].copy(), features)
    assert np.median(swapped) > 3 * np.median(distance)
    assert np.isnan(found.distance(np.array([11], dtype=np.int32), features[:1])).all()
    assert np.isinf(found.distance(numbers[:1], np.full((1, 4), np.nan))).all()


def test_a_cloud_of_one_atom_has_an_extent(training):
    numbers, features, _ = training
    numbers[0] = 11
    distance = FeatureStatistics.fit(numbers, features).distance(numbers, features)
    assert np.isfinite(distance).all()


def test_statistics_survive_their_file_and_equal_ones_give_equal_bytes(training, tmp_path):
    numbers, features, jacobian = training
    found = FeatureStatistics.fit(numbers, features, jacobian)
    for name in ("one", "two"):
        found.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again = FeatureStatistics.load(tmp_path / "one")
    assert again.sigma(features) == pytest.approx(found.sigma(features), abs=0)
    assert again.distance(numbers, features) == pytest.approx(found.distance(numbers, features), abs=0)


def test_bad_input_is_refused(training, tmp_path):
    numbers, features, _ = training
    with pytest.raises(InputError, match="variance"):
        FeatureStatistics.fit(numbers, np.zeros((500, 4)))
    with pytest.raises(InputError, match="another model"):
        FeatureStatistics.fit(numbers, features).sigma(features[:, :3])
    (tmp_path / "broken").write_bytes(b"nothing")
    for name in ("broken", "absent"):
        with pytest.raises(InputError, match=name):
            FeatureStatistics.load(tmp_path / name)
