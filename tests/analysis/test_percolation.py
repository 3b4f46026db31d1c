"""Winding ranks and clusters with exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.percolation import clusters, density, percolation, percolation_threshold
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory

N = 6


def _grid(shape):
    grid = np.zeros((N, N, N), dtype=bool)
    if shape == "rod":
        grid[2, 3, :] = True
    elif shape == "slab":
        grid[:, 3, :] = True
    elif shape == "cut rod":
        grid[2, 3, :] = True
        grid[2, 3, 4] = False
    elif shape == "diagonal rod":
        for i in range(N):
            for step in ((0, 0, 0), (1, 0, 0), (1, 1, 0)):
                grid[(i + step[0]) % N, (i + step[1]) % N, i] = True
    elif shape == "crossed rods":
        grid[2, 3, :] = grid[2, :, 3] = True
    elif shape == "full":
        grid[:] = True
    return grid


@pytest.mark.parametrize(
    ("shape", "rank"),
    [("empty", 0), ("rod", 1), ("slab", 2), ("cut rod", 0), ("diagonal rod", 1), ("crossed rods", 2), ("full", 3)],
)
def test_winding_rank(shape, rank):
    found = clusters(_grid(shape))
    assert found.rank == rank
    assert found.count == (0 if shape == "empty" else 1)


def test_two_parallel_rods_are_two_channels_and_not_a_sheet():
    grid = np.zeros((N, N, N), dtype=bool)
    grid[0, 0, :] = grid[3, 3, :] = True
    assert clusters(grid).ranks.tolist() == [1, 1]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 0.6), shift=st.tuples(*[st.integers(0, N)] * 3))
def test_invariant_under_translation_and_axis_order(seed, share, shift):
    grid = np.random.default_rng(seed).random((N, N, N)) < share
    ours, theirs = clusters(grid), clusters(np.roll(grid, shift, axis=(0, 1, 2)).transpose(2, 0, 1))
    assert sorted(ours.ranks) == sorted(theirs.ranks)


@pytest.mark.parametrize(("share", "count"), [(0.1, 61989), (0.3116, 46313), (0.5, 7955)])
def test_periodic_site_percolation_counts(share, count):
    assert clusters(np.random.default_rng(1).random((96, 96, 96)) < share).count == count


def test_threshold_is_the_weakest_cell_of_the_best_channel():
    grid = np.zeros((N, N, N))
    grid[1, 1, :] = [9, 8, 7, 5, 8, 9]
    grid[4, 4, :] = [20, 20, 1, 20, 20, 20]
    assert percolation_threshold(grid) == 5
    grid[1, 1, 0] = 0
    assert percolation_threshold(grid) == 1
    grid[4, 4, 0] = 0
    assert percolation_threshold(grid) is None


def test_threshold_of_random_sites_is_that_of_the_simple_cubic_lattice():
    values = [1 - percolation_threshold(np.random.default_rng(seed).random((32, 32, 32))) for seed in range(6)]
    assert np.mean(values) == pytest.approx(0.3116, abs=0.015)


def _trajectory(positions):
    frames = len(positions)
    return Trajectory(
        numbers=np.full(positions.shape[1], 11, dtype=np.int32),
        step=np.arange(frames),
        time_ps=np.arange(frames) * 1.0,
        positions=positions.astype(np.float32),
        cells=np.repeat(np.eye(3)[None] * 8, frames, axis=0),
        stage=np.zeros(frames, dtype=np.int32),
    )


def test_an_ion_that_travels_along_x_makes_a_channel_and_a_resting_one_a_pocket():
    path = np.zeros((64, 1, 3)) + 2.1
    resting = percolation(_trajectory(path), "Na")
    assert (resting.visited_rank, resting.threshold_ratio) == (0, None)
    path[:, 0, 0] = np.arange(64) * 0.5 - 40
    moving = percolation(_trajectory(path), "Na")
    assert moving.visited_rank == 1
    assert moving.visited_share == pytest.approx(1 / 256)
    assert moving.threshold_ratio > 1
    assert moving.threshold_error == pytest.approx(0, abs=1e-9)


def test_density_counts_every_ion_once():
    positions = np.random.default_rng(0).normal(scale=50, size=(7, 5, 3))
    assert density(_trajectory(positions), "Na").sum() == pytest.approx(5)
    with pytest.raises(InputError, match="mobile species 'V'"):
        density(_trajectory(positions), "V")
