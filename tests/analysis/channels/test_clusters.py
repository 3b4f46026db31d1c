"""Winding ranks and clusters with exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from aiida_nvp.analysis.channels.clusters import clusters
from aiida_nvp.common.errors import InputError

N = 6


def shape(name):
    grid = np.zeros((N, N, N), dtype=bool)
    if name == "rod":
        grid[2, 3, :] = True
    elif name == "slab":
        grid[:, 3, :] = True
    elif name == "cut rod":
        grid[2, 3, :] = True
        grid[2, 3, 4] = False
    elif name == "diagonal rod":
        for i in range(N):
            for step in ((0, 0, 0), (1, 0, 0), (1, 1, 0)):
                grid[(i + step[0]) % N, (i + step[1]) % N, i] = True
    elif name == "crossed rods":
        grid[2, 3, :] = grid[2, :, 3] = True
    elif name == "full":
        grid[:] = True
    return grid


@pytest.mark.parametrize(
    ("name", "basis"),
    [
        ("empty", []),
        ("rod", [[0, 0, 1]]),
        ("slab", [[1, 0, 0], [0, 0, 1]]),
        ("cut rod", []),
        ("diagonal rod", [[1, 1, 1]]),
        ("crossed rods", [[0, 1, 0], [0, 0, 1]]),
        ("full", [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    ],
)
@pytest.mark.parametrize("neighbours", [6, 18, 26])
def test_winding_rank_and_basis(name, basis, neighbours):
    grid = shape(name)
    found = clusters(grid, neighbours)
    assert found.rank == len(basis)
    assert found.count == (0 if name == "empty" else 1)
    assert found.sizes.sum() == grid.sum()
    assert ((found.labels > 0) == grid).all()
    rows = found.bases.reshape(-1, 3)
    assert rows[rows.any(axis=1)].tolist() == basis
    assert (found.channel == (grid if basis else False)).all()


def test_winding_lattice_of_a_double_helix_has_index_two():
    """Two strands that swap places once per cell: the closed path needs two cells."""
    grid = np.zeros((6, 6, 6), dtype=bool)
    first = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 2), (2, 0, 2), (2, 0, 3), (2, 0, 4), (2, 0, 5)]
    second = [(2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 2, 1), (2, 2, 2), (2, 2, 3), (2, 2, 4), (1, 2, 4), (0, 2, 4)]
    second += [(0, 1, 4), (0, 0, 4), (0, 0, 5)]
    for cell in first + second:
        grid[cell] = True
    found = clusters(grid)
    assert found.count == 1
    assert found.bases[0].tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 2]]


def test_two_parallel_rods_are_two_channels_and_not_a_sheet():
    grid = np.zeros((N, N, N), dtype=bool)
    grid[0, 0, :] = grid[3, 3, :] = True
    assert clusters(grid).ranks.tolist() == [1, 1]


def test_a_grid_of_one_cell_winds_along_all_axes():
    assert clusters(np.ones((1, 1, 1), dtype=bool)).rank == 3
    assert clusters(np.ones((1, 2, 3), dtype=bool), 26).rank == 3


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0.05, 0.6),
    shift=st.tuples(*[st.integers(0, N)] * 3),
    neighbours=st.sampled_from([6, 18, 26]),
)
def test_invariant_under_translation_and_axis_order(seed, share, shift, neighbours):
    grid = np.random.default_rng(seed).random((N, N + 1, N - 2)) < share
    other = np.roll(grid, shift, axis=(0, 1, 2)).transpose(2, 0, 1)
    ours, theirs = clusters(grid, neighbours), clusters(other, neighbours)
    assert sorted(zip(ours.ranks, ours.sizes, strict=True)) == sorted(zip(theirs.ranks, theirs.sizes, strict=True))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 0.6), times=st.tuples(*[st.integers(1, 3)] * 3))
def test_a_supercell_has_the_same_rank(seed, share, times):
    grid = np.random.default_rng(seed).random((N, N, N)) < share
    ours, theirs = clusters(grid), clusters(np.tile(grid, times))
    assert theirs.rank == ours.rank
    assert (theirs.channel == np.tile(ours.channel, times)).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 0.7), neighbours=st.sampled_from([6, 18, 26]))
def test_clusters_away_from_the_faces_are_those_of_an_open_grid(seed, share, neighbours):
    grid = np.zeros((N, N, N), dtype=bool)
    grid[1:-1, 1:-1, 1:-1] = np.random.default_rng(seed).random((N - 2,) * 3) < share
    reach = {6: 1, 18: 2, 26: 3}[neighbours]
    near = np.abs(np.indices((3, 3, 3)) - 1).sum(axis=0) <= reach
    expected, count = label(grid, near)
    found = clusters(grid, neighbours)
    assert found.count == count
    assert len(set(zip(expected[grid], found.labels[grid], strict=True))) == count


@pytest.mark.parametrize(("share", "count"), [(0.1, 61989), (0.3116, 46313), (0.5, 7955)])
def test_periodic_site_percolation_counts(share, count):
    assert clusters(np.random.default_rng(1).random((96, 96, 96)) < share).count == count


def test_more_neighbours_percolate_earlier():
    """Site percolation through corners sets in at 0.0976, through faces at 0.3116."""
    random = np.random.default_rng(0).random((48, 48, 48))
    assert [clusters(random < share, 26).rank for share in (0.08, 0.12)] == [0, 3]
    assert [clusters(random < share, 6).rank for share in (0.28, 0.34)] == [0, 3]


def test_bad_grids_give_a_sentence():
    with pytest.raises(InputError, match="three axes"):
        clusters(np.ones((2, 2), dtype=bool))
    with pytest.raises(InputError, match="6, 18 or 26"):
        clusters(np.ones((2, 2, 2), dtype=bool), 8)
