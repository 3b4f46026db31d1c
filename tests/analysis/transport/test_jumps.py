"""Ions that jump between known sites at known times."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.jumps import find_sites, jumps
from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.common.errors import InputError

SITES = np.array([[1.0, 1.0, 1.0], [4.0, 1.0, 1.0], [9.5, 5.0, 5.0]])


def run(gas, states, noise=0.15, seed=0):
    """Return ions (T, N) on their sites, rattling."""
    rattle = np.random.default_rng(seed).normal(scale=noise, size=(*states.shape, 3))
    return MemoryPaths(gas.make(SITES[states] + rattle, [11] * states.shape[1]), rest=())


def test_planted_jumps_are_found_with_their_way_back(gas):
    states = np.zeros((300, 3), dtype=int)
    states[:, 2] = 2
    states[100:, 0] = 1
    states[150:, 0] = 0
    states[60:, 1] = 1
    found = jumps(run(gas, states), "Na")
    assert len(found.sites) == 3
    assert found.jumps[:, :2].tolist() == [[60, 1], [100, 0], [150, 0]]
    assert found.back.tolist() == [False, False, True]
    np.testing.assert_allclose(found.lengths, 3.0, atol=0.5)
    assert found.rate_per_ps == pytest.approx(3 / 3 / (299 * gas.step_ps))
    assert found.residence_ps == pytest.approx(1 / found.rate_per_ps)
    assert found.in_core_share > 0.95


def test_rattling_between_the_cores_is_no_jump(gas):
    states = np.zeros((400, 2), dtype=int)
    states[:, 1] = 1
    positions = SITES[states] + np.random.default_rng(1).normal(scale=0.1, size=(400, 2, 3))
    # Half way and back, again and again: across the boundary between the sites, outside both cores.
    positions[::10, 0] = [2.5, 1, 1]
    found = jumps(MemoryPaths(gas.make(positions, [11, 11]), rest=()), "Na")
    assert len(found.jumps) == 0
    assert found.residence_ps is None


def test_sites_are_found_across_the_boundary_of_the_cell(gas):
    states = np.full((200, 1), 2)
    (site,) = find_sites(run(gas, states), "Na")
    np.testing.assert_allclose(site * 10, SITES[2], atol=0.4)


def test_one_site_is_refused(gas):
    with pytest.raises(InputError, match="has 1 peaks; jumps need two"):
        jumps(run(gas, np.zeros((100, 2), dtype=int)), "Na")
