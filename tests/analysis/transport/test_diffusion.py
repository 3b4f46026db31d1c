"""Diffusivities of gases whose motion is known, and what is not diffusive."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.diffusion import diffusion
from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.common.errors import InputError


def found(trajectory, species="Na"):
    return diffusion(MemoryPaths(trajectory, rest=()), species)


def deviations(make, truth, runs):
    verdicts = [found(make(seed)) for seed in range(runs)]
    assert sum(one.diffusive for one in verdicts) >= 0.95 * runs
    return np.array(
        [(one.diffusivity_m2_s / 1e-8 - truth) / (one.error_m2_s / 1e-8) for one in verdicts if one.diffusive]
    )


def test_error_bar_of_equal_walkers_holds(gas):
    z = deviations(lambda seed: gas.brownian(seed, atoms=50, frames=200), 0.3, 60)
    assert 0.50 < (np.abs(z) < 1).mean() < 0.85
    assert abs(z.mean()) < 0.45
    assert 0.75 < z.std() < 1.3


def test_error_bar_of_two_populations_knows_that_they_differ(gas):
    z = deviations(lambda seed: gas.two_populations(seed, atoms=50, frames=200), 0.3, 50)
    assert 0.48 < (np.abs(z) < 1).mean() < 0.87
    verdict = found(gas.two_populations(3, frames=1000))
    # Half at 0.1 and half at 0.5: the relative variance is (0.2 / 0.3)^2.
    assert verdict.heterogeneity == pytest.approx(4 / 9, abs=0.1)


def test_ions_that_move_as_one_have_the_error_of_one(gas):
    alone = gas.brownian(5, atoms=1, frames=600)
    crowd = gas.make(np.repeat(alone.positions, 40, axis=1), [11] * 40)
    one, many = found(alone), found(crowd)
    assert many.diffusivity_m2_s == pytest.approx(one.diffusivity_m2_s, rel=0.1)
    assert many.error_m2_s == pytest.approx(one.error_m2_s, rel=0.35)
    assert many.together == pytest.approx(40, rel=0.4)


def test_rattling_in_a_cage_is_the_intercept(gas):
    walk = gas.brownian(1, atoms=200, frames=600)
    rattle = np.random.default_rng(2).normal(scale=0.6, size=walk.positions.shape)
    verdict = found(gas.make(walk.positions + rattle, walk.numbers))
    assert verdict.diffusivity_m2_s == pytest.approx(0.3e-8, rel=0.05, abs=0)
    assert verdict.intercept == pytest.approx(6 * 0.36, rel=0.1)


def test_ballistic_lags_stay_out(gas):
    rng = np.random.default_rng(4)
    keep = np.exp(-1 / 6)
    kicks = rng.normal(size=(1100, 100, 3)) * np.sqrt(2 * 0.3 * gas.step_ps) * (1 - keep)
    steps = np.zeros_like(kicks)
    for frame in range(1, len(kicks)):
        steps[frame] = keep * steps[frame - 1] + kicks[frame]
    verdict = found(gas.make(np.cumsum(steps[100:], axis=0), [11] * 100))
    assert verdict.diffusive
    assert verdict.window_ps[0] > 6 * gas.step_ps
    assert abs(verdict.diffusivity_m2_s - 0.3e-8) < 3 * verdict.error_m2_s


def test_subdiffusion_is_not_diffusive(gas):
    # Fractional Brownian motion with an MSD of t^0.5, by Cholesky factorisation of its covariance.
    times = np.arange(1, 301, dtype=float)
    power = times[:, None] ** 0.5 + times[None, :] ** 0.5 - np.abs(times[:, None] - times[None, :]) ** 0.5
    factor = np.linalg.cholesky(power / 2)
    paths = np.einsum("ts,sna->tna", factor, np.random.default_rng(0).normal(size=(300, 100, 3)))
    verdict = found(gas.make(2 * paths, [11] * 100))
    assert not verdict.diffusive
    assert verdict.diffusivity_m2_s is None
    assert verdict.sentence.startswith("not diffusive yet")


def test_caged_resting_and_ballistic_atoms_are_not_diffusive(gas):
    rng = np.random.default_rng(4)
    caged = found(gas.make(rng.normal(size=(200, 100, 3)), [11] * 100))
    resting = found(gas.make(np.ones((20, 30, 3)), [11] * 30))
    velocity = rng.normal(size=(300, 3))
    ballistic = found(gas.make(gas.step_ps * np.arange(50)[:, None, None] * velocity, [11] * 300))
    assert not any(one.diffusive for one in (caged, resting, ballistic))
    assert resting.sentence == "not diffusive yet: the atoms do not move"
    assert ballistic.slope == pytest.approx(2, abs=1e-3)


def test_too_few_frames_and_unknown_species(gas):
    assert "6 frames are too few" in found(gas.brownian(0, atoms=3, frames=6)).sentence
    with pytest.raises(InputError, match="'V' is not in the trajectory"):
        found(gas.brownian(0, atoms=3, frames=20), "V")


def test_error_bar_knows_that_rare_jumps_are_noisy(gas):
    # Rattling hides at short lags what a few jumps of three angstrom do to the slope.
    def jumpers(seed):
        rng = np.random.default_rng(seed)
        jumps = rng.random((600, 40, 1)) < 0.01
        direction = rng.normal(size=(600, 40, 3))
        steps = 3 * jumps * direction / np.linalg.norm(direction, axis=2, keepdims=True)
        return gas.make(np.cumsum(steps, axis=0) + rng.normal(scale=0.35, size=steps.shape), [11] * 40)

    z = deviations(jumpers, 0.01 * 9 / 6 / gas.step_ps, 40)
    assert 0.45 < (np.abs(z) < 1).mean() < 0.9
    assert z.std() < 1.5
