"""Displacements of gases whose motion is known."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.transport.msd import mean_square_displacement
from aiida_nvp.common.errors import InputError


@pytest.fixture(scope="module")
def make(gas):
    """The maker of trajectories that all tests of transport share."""
    return gas.make


@pytest.fixture(scope="module")
def walkers(gas):
    """Walkers whose centre of mass rests, so that its removal changes nothing."""

    def _walkers(seed, atoms=200, frames=400, diffusivity=0.3):
        rng = np.random.default_rng(seed)
        steps = rng.normal(scale=np.sqrt(2 * diffusivity * gas.step_ps), size=(frames, atoms, 3))
        steps -= steps.mean(axis=1, keepdims=True)
        return gas.make(np.cumsum(steps, axis=0), [11] * atoms)

    return _walkers


def test_agrees_with_the_direct_double_loop(walkers, gas):
    trajectory = walkers(0, atoms=12, frames=25)
    msd = mean_square_displacement(trajectory, "Na")
    x = trajectory.positions.astype(float)
    x -= x.mean(axis=1, keepdims=True)
    direct = [((x[m:] - x[: len(x) - m]) ** 2).mean(axis=(0, 1)) for m in range(len(x))]
    np.testing.assert_allclose(msd.axes, direct, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(msd.lag_ps, gas.step_ps * np.arange(25))


def test_ballistic_gas_grows_with_the_square(make, gas):
    rng = np.random.default_rng(1)
    velocity = rng.normal(size=(300, 3))
    velocity -= velocity.mean(axis=0)
    msd = mean_square_displacement(make(gas.step_ps * np.arange(50)[:, None, None] * velocity, [8] * 300), "O")
    np.testing.assert_allclose(msd.total, (velocity**2).sum(axis=1).mean() * msd.lag_ps**2, rtol=1e-4, atol=1e-4)


def test_common_displacement_is_removed(make, walkers):
    still = walkers(2, atoms=20, frames=40)
    drift = np.random.default_rng(3).normal(size=(40, 1, 3)).cumsum(axis=0)
    moving = make(still.positions + drift, still.numbers)
    np.testing.assert_allclose(
        mean_square_displacement(moving, "Na").total, mean_square_displacement(still, "Na").total, rtol=1e-4, atol=1e-4
    )


def test_axes_are_kept_apart(make):
    positions = np.zeros((10, 2, 3))
    positions[:, 0, 1] = np.arange(10)
    positions[:, 1, 1] = -np.arange(10)
    msd = mean_square_displacement(make(positions, [8, 8]), "O")
    np.testing.assert_allclose(msd.axes[3], [0, 9, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("frames", "species", "times", "sentence"),
    [
        (3, "Na", None, "3 frames are too few"),
        (5, "V", None, "species 'V' is not in the trajectory, which has Na"),
        (5, "Na", [0, 1, 2, 3, 9], "not equally spaced"),
    ],
)
def test_bad_input(make, frames, species, times, sentence):
    with pytest.raises(InputError, match=sentence):
        mean_square_displacement(make(np.zeros((frames, 2, 3)), [11, 11], times), species)
