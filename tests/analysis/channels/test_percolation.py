"""The percolation of a density: which way, from where on, at what barrier."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.channels.density import DensityGrid
from aiida_nvp.analysis.channels.percolation import describe, percolation
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import BOLTZMANN_EV_K


def test_an_ion_that_travels_along_x_makes_a_channel_and_a_resting_one_a_pocket(trajectory):
    path = np.zeros((64, 1, 3)) + 2.1
    resting = percolation(trajectory(path), "Na")
    assert (resting.visited_rank, resting.threshold_ratio, resting.winding) == (0, None, ())
    assert (resting.n_sites, resting.n_sites_enclosed) == (1, 1)
    assert resting.site_barrier_kt.value is None
    assert "does not join up" in resting.sentence
    path[:, 0, 0] = np.arange(64) * 0.5 - 40
    moving = percolation(trajectory(path), "Na")
    assert moving.visited_rank == 1
    assert moving.visited_share == pytest.approx(1 / 256)
    assert moving.threshold_ratio > 1
    assert moving.threshold_error == pytest.approx(0, abs=1e-9)
    assert moving.threshold_drift == pytest.approx(0, abs=1e-9)
    assert moving.winding == ((1, 0, 0),)
    assert moving.barrier_kt.value == pytest.approx(0, abs=1e-9)
    assert moving.barrier is None
    assert [level.ratio is None for level in moving.levels] == [False, True, True]


def _boltzmann(barrier_kt, count=20000):
    """A rod along z whose density is that of a cosine barrier."""
    grid = DensityGrid((8, 8, 16))
    z = (np.arange(16) + 0.5) / 16
    weights = np.exp(-barrier_kt * (1 - np.cos(2 * np.pi * (z - z[0]))) / 2)
    grid.counts[3, 5, :] = np.rint(weights * count)
    grid.frames = 100
    grid._cells = np.eye(3) * 8 * 100
    return grid


def test_barrier_is_that_of_the_potential_behind_the_density():
    found = describe(_boltzmann(4.0), [_boltzmann(3.9), _boltzmann(4.3)], blur=0.0, temperature=900)
    assert found.barrier_kt.value == pytest.approx(4.0, abs=0.01)
    assert found.barrier_kt.error == pytest.approx(0.2, abs=0.01)
    assert found.barrier.value == pytest.approx(4.0 * BOLTZMANN_EV_K * 900, rel=0.01)
    assert found.site_barrier_kt.value == pytest.approx(4.0, abs=0.01)
    assert (found.n_sites, found.n_sites_enclosed) == (1, 0)
    assert found.channel_share == pytest.approx(1 / 64)
    assert found.channel_occupancy == pytest.approx(1)
    assert found.threshold_drift is not None
    assert found.barrier_drift_kt == pytest.approx(-0.1, abs=0.01)
    assert "channel (rank 1) with a barrier of 4.00 kT +- 0.20" in found.sentence


def test_brownian_ions_fill_the_box_without_a_barrier(trajectory):
    generator = np.random.default_rng(2)
    positions = generator.random((400, 120, 3)) * 8
    found = percolation(trajectory(positions), "Na", spacing=0.8, blur=0.8, temperature=1000)
    assert found.visited_rank == 3
    assert 0.9 < found.threshold_ratio < 1.2
    assert found.barrier.value < 0.02
    ratios = [level.ratio for level in found.levels]
    assert ratios == sorted(ratios, reverse=True)
    assert found.channel_share <= found.threshold_share


def test_noise_of_few_counts_is_told_from_a_barrier(trajectory):
    """Free walkers know no barrier; a short run shows one that falls with its length."""
    generator = np.random.default_rng(3)
    positions = generator.random((1, 60, 3)) * 12 + np.cumsum(generator.normal(scale=0.3, size=(200, 60, 3)), axis=0)
    found = percolation(trajectory(positions, cell=12.0), "Na")
    assert found.barrier_kt.value > 0.5
    assert found.barrier_drift_kt < -0.2
    assert "bound from above" in found.sentence


def test_a_half_that_does_not_percolate_leaves_no_error(trajectory):
    path = np.full((64, 1, 3), 2.1)
    path[32:, 0, 0] = np.arange(32) * 0.5
    found = percolation(trajectory(path), "Na")
    assert found.visited_rank == 1
    assert (found.threshold_error, found.barrier_drift_kt) == (None, None)
    assert "one half of the run does not percolate" in found.sentence


def test_temperature_must_be_positive(trajectory):
    with pytest.raises(InputError, match="temperature of barriers"):
        percolation(trajectory(np.zeros((4, 1, 3))), "Na", temperature=-3)
