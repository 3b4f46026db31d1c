"""Thresholds, sites and barriers of densities, against exact answers and against labelling at every density."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.channels.clusters import clusters
from aiida_nvp.analysis.channels.sweep import sweep
from aiida_nvp.common.errors import InputError

N = 6


def test_threshold_is_the_weakest_cell_of_the_best_channel():
    grid = np.zeros((N, N, N))
    grid[1, 1, :] = [9, 8, 7, 5, 8, 9]
    grid[4, 4, :] = [20, 20, 1, 20, 20, 20]
    level = sweep(grid).levels[1]
    assert (level.density, level.peak, level.basis.tolist()) == (5, 9, [[0, 0, 1]])
    grid[1, 1, 0] = 0
    level = sweep(grid).levels[1]
    assert (level.density, level.peak) == (1, 20)
    grid[4, 4, 0] = 0
    assert sweep(grid).levels == {}


def test_sites_saddles_and_exits_of_a_rod_with_two_hills():
    grid = np.zeros((8, 8, 8))
    grid[2, 2, :] = [1, 10, 20, 10, 4, 40, 30, 2]
    grid[6, 6, 6] = 50
    found = sweep(grid)
    order = np.argsort(found.peaks)
    where = np.stack(np.unravel_index(found.sites[order], grid.shape), axis=1).tolist()
    assert where == [[2, 2, 2], [2, 2, 5], [6, 6, 6]]
    assert found.peaks[order].tolist() == [20, 40, 50]
    assert found.saddles[order][0] == 4
    assert np.isnan(found.saddles[order][1:]).all()
    assert found.exits[order][:2].tolist() == [1, 1]
    assert np.isnan(found.exits[order][2])
    # Two kT ask for a hill of e^2 = 7.4 times its saddle; the lower one has 5.
    assert len(sweep(grid, prominence=2.0).sites) == 2


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shape=st.tuples(*[st.integers(1, 6)] * 3), share=st.floats(0.2, 1.0))
def test_agrees_with_labelling_at_every_density(seed, shape, share):
    generator = np.random.default_rng(seed)
    # Few different values, so that ties are met.
    grid = np.where(generator.random(shape) < share, generator.integers(1, 12, size=shape), 0).astype(float)
    found = sweep(grid, prominence=0.0)
    values = np.unique(grid[grid > 0])[::-1]
    labelled = {value: clusters(grid >= value) for value in values}
    for number in (1, 2, 3):
        expected = [value for value in values if labelled[value].rank >= number]
        assert (number in found.levels) == bool(expected)
        if expected:
            assert found.levels[number].density == expected[0]
            assert len(found.levels[number].basis) >= number
    for site, peak, leaves in zip(found.sites, found.peaks, found.exits, strict=True):
        assert grid.reshape(-1)[site] == peak
        inside = [value for value in values if labelled[value].channel.reshape(-1)[site]]
        assert leaves == inside[0] if inside else np.isnan(leaves)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000), shift=st.tuples(*[st.integers(0, N)] * 3), times=st.tuples(*[st.integers(1, 2)] * 3)
)
def test_invariant_under_translation_axis_order_and_supercell(seed, shift, times):
    grid = np.random.default_rng(seed).random((N, N - 1, N + 1))
    other = np.tile(np.roll(grid, shift, axis=(0, 1, 2)).transpose(1, 2, 0), times)
    ours, theirs = sweep(grid, prominence=0.0), sweep(other, prominence=0.0)
    assert {rank: level.density for rank, level in ours.levels.items()} == {
        rank: level.density for rank, level in theirs.levels.items()
    }
    assert len(theirs.sites) == len(ours.sites) * np.prod(times)


def test_random_sites_percolate_at_the_threshold_of_the_simple_cubic_lattice():
    """Mean of 40 fields of 32^3: 0.3102(14), against 0.3116 of the infinite lattice."""
    values = [1 - sweep(np.random.default_rng(seed).random((32,) * 3)).levels[1].density for seed in range(40)]
    assert np.mean(values) == pytest.approx(0.3102, abs=0.006)
    assert np.std(values) / np.sqrt(40) < 0.003


def test_only_finite_grids_are_swept():
    assert sweep(np.zeros((3, 3, 3))).levels == {}
    with pytest.raises(InputError, match="finite values"):
        sweep(np.full((2, 2, 2), np.nan))
