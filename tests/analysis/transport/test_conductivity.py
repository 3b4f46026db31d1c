"""Conductivities whose value is known."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.conductivity import charge_path, conductivity, si_per_diffusivity
from aiida_nvp.analysis.transport.diffusion import diffusion
from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.common.errors import InputError


def measured(trajectory, charges, temperature=1000.0):
    paths = MemoryPaths(trajectory, rest=())
    return conductivity(paths, charges, temperature, {name: diffusion(paths, name) for name in charges})


def test_nernst_einstein_of_the_textbook():
    # 1e22 ions in a cm^3, D = 1e-7 cm^2/s, 1000 K: 1.859e-3 S/cm.
    volume_of_one = 1e24 / 1e22
    assert si_per_diffusivity(volume_of_one, 1000.0) * 1e-11 / 100 == pytest.approx(1.859e-3, rel=1e-3, abs=0)


def test_independent_ions_have_a_haven_ratio_of_one(gas):
    found = [measured(gas.brownian(seed, atoms=20, frames=4000), {"Na": 1}) for seed in range(6)]
    z = [(one.haven - 1) / one.haven_error for one in found]
    assert np.abs(z).max() < 3
    assert 0.3 < np.std(z) < 2
    assert found[0].nernst_einstein_s_m == pytest.approx(20 * 0.3e-8 * si_per_diffusivity(1000.0, 1000.0), rel=0.1)


def test_ions_that_move_as_one_conduct_n_times_better(gas):
    alone = gas.brownian(5, atoms=1, frames=3000)
    found = measured(gas.make(np.repeat(alone.positions, 8, axis=1), [11] * 8), {"Na": 1})
    # The two fits may begin at other lags.
    assert found.haven == pytest.approx(1 / 8, rel=0.2)


def test_perfect_exchange_carries_nothing(gas):
    half = gas.brownian(5, atoms=5, frames=500).positions
    # The middle stays, so there is no frame of reference to choose.
    found = measured(gas.make(np.concatenate([half, -half], axis=1), [11] * 10), {"Na": 1})
    assert found.nernst_einstein_s_m > 0
    assert found.collective_s_m is None
    assert found.haven is None
    assert "from single ions only" in found.sentence


def test_opposite_charges_add_and_resting_ones_are_named(gas):
    walk = gas.brownian(0, atoms=4, frames=400).positions
    still = np.zeros_like(walk)
    trajectory = gas.make(np.concatenate([walk, still], axis=1), [11] * 4 + [8] * 4)
    found = measured(trajectory, {"Na": 1, "O": -2})
    assert found.left_out == ("O",)
    assert "O counted as at rest" in found.sentence
    path = charge_path(MemoryPaths(trajectory, rest=()), {"Na": 1, "O": -2})
    np.testing.assert_allclose(path, walk.sum(axis=1), atol=1e-4)


@pytest.mark.parametrize(
    ("charges", "temperature", "sentence"),
    [({"Na": 1}, 0.0, "temperature above 0 K"), ({"Na": 0}, 300.0, "a charge of at least one species")],
)
def test_bad_input(gas, charges, temperature, sentence):
    with pytest.raises(InputError, match=sentence):
        measured(gas.brownian(0, atoms=4, frames=50), charges, temperature)


def test_a_counter_charge_rests_in_the_host(gas):
    # The centre of mass of all atoms would share the ions' way out; that of the host does not move.
    walk = gas.brownian(0, atoms=4, frames=50).positions
    still = np.zeros((50, 6, 3))
    drift = np.linspace(0, 5, 50)[:, None, None]
    trajectory = gas.make(np.concatenate([walk, still], axis=1) + drift, [11] * 4 + [8] * 6)
    for rest in (None, ()):
        path = charge_path(MemoryPaths(trajectory, rest=rest), {"Na": 1})
        np.testing.assert_allclose(path - path[0], (walk - walk[0]).sum(axis=1), atol=1e-4)
