"""Distinct van Hove functions of gases and crystals."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.distinct import distinct_van_hove
from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.common.errors import InputError


def test_ideal_gas_is_even_at_all_times(gas):
    start = np.random.default_rng(0).uniform(0, 10, size=(1, 150, 3))
    run = gas.make(start + gas.brownian(1, atoms=150, frames=100, diffusivity=2.0).positions, [11] * 150)
    found = distinct_van_hove(MemoryPaths(run, rest=()), ("Na", "Na"), [0.0, 10.0], bin_width=0.5)
    np.testing.assert_allclose(found.g[:, 3:], 1, atol=0.12)
    np.testing.assert_allclose(found.lag_ps, [0, 10])


def test_an_exchange_of_places_fills_the_hole(gas):
    positions = np.zeros((20, 2, 3))
    positions[:10, 1, 0], positions[10:, 0, 0] = 3.05, 3.05
    found = distinct_van_hove(MemoryPaths(gas.make(positions, [11, 11]), rest=()), ("Na", "Na"), [0.0, 5.0])
    assert found.g[0, 0] == 0
    assert found.g[1, 0] > 0
    assert np.argmax(found.g[0]) == 30


@pytest.mark.parametrize(
    ("atoms", "lag", "width", "sentence"),
    [(1, 0.0, 0.1, "one ion of Na alone"), (2, 99.0, 0.1, "lags must lie between 0 and 4.5 ps"), (2, 0.0, 0.0, "bin")],
)
def test_bad_input(gas, atoms, lag, width, sentence):
    with pytest.raises(InputError, match=sentence):
        distinct_van_hove(MemoryPaths(gas.brownian(0, atoms=atoms, frames=10)), ("Na", "Na"), [lag], width)
