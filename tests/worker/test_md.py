import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import BOLTZMANN_EV_K
from aiida_nvp.worker.md import Walkers, closest, seconds_to_use
from aiida_nvp.worker.settings import Dynamics, read_settings


def _generators(count):
    return [np.random.default_rng([3, index]) for index in range(count)]


def test_thermal_velocities_have_no_drift_and_the_right_temperature(crystals):
    walkers = Walkers.at_rest(crystals(40))
    noise = walkers.thermal_noise(np.full(40, 700.0), _generators(40))
    momentum = [np.bincount(walkers.owner, walkers.masses * noise[:, axis]) for axis in range(3)]
    assert np.abs(momentum).max() < 1e-9
    walkers.velocities += noise
    # 40 cells of 93 degrees of freedom: a relative standard error of sqrt(2 / 3720) = 2.3 %.
    assert walkers.temperature().mean() == pytest.approx(700.0, rel=0.08)
    assert walkers.kinetic_energy().mean() == pytest.approx(0.5 * 93 * BOLTZMANN_EV_K * 700.0, rel=0.08)


def test_closest_counts_images_and_ignores_far_pairs():
    # Covalent radius of O: 0.66. The image across the face is at 1.0.
    numbers = np.array([8, 8], dtype=np.int32)
    positions = np.array([[0.2, 0, 0], [9.2, 0, 0]])
    assert closest(numbers, positions, 10 * np.eye(3)) == pytest.approx((1.0 / 1.32, 1.0))
    # The nearest pair in angstrom need not be the nearest for its species.
    mixed = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 5.0, 0], [1.2, 5.0, 0]])
    elements = np.array([8, 8, 11, 11], dtype=np.int32)
    assert closest(elements, mixed, 20 * np.eye(3)) == pytest.approx((1.2 / 3.32, 1.0))
    assert closest(numbers, positions, 30 * np.eye(3)) == (np.inf, np.inf)
    positions[0, 0] = np.nan
    assert np.isnan(closest(numbers, positions, 10 * np.eye(3))).all()


def test_time_to_use_leaves_time_to_write():
    assert seconds_to_use({}) == np.inf
    assert seconds_to_use({"max_wallclock_s": 100}) == pytest.approx(90)
    assert seconds_to_use({"max_wallclock_s": 7200}) == pytest.approx(7080)


def test_wrong_settings_name_the_key():
    with pytest.raises(InputError, match=r"timestep_fs.*; frictoin"):
        read_settings(Dynamics, {"timestep_fs": -1, "frictoin": 1})
