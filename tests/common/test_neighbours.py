"""Neighbour pairs against a sum over images, and their symmetries."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.neighbours import find_pairs


def all_pairs(positions, cell, cutoff, images):
    """Every pair by brute force, as rows (first, second, shift)."""
    shifts = np.array(list(product(range(-images, images + 1), repeat=3)))
    vectors = positions[None, :, None] - positions[:, None, None] + shifts @ cell
    first, second, image = np.nonzero(np.linalg.norm(vectors, axis=-1) < cutoff)
    found = np.column_stack([first, second, shifts[image]])
    itself = (first == second) & ~shifts[image].any(axis=1)
    return sorted(map(tuple, found[~itself].tolist()))


def rows(pairs):
    columns = np.column_stack([pairs.first, pairs.second, pairs.shift]).astype(int)
    return sorted(map(tuple, columns.tolist()))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.sampled_from([2.0, 3.5]), st.booleans())
def test_pairs_are_those_of_a_sum_over_images(seed, count, edge, left_handed):
    rng = np.random.default_rng(seed)
    cell = edge * (np.eye(3) + rng.uniform(-0.2, 0.2, (3, 3)))
    cell = cell[[1, 0, 2]] if left_handed else cell
    positions = (rng.random((count, 3)) * 2 - 0.5) @ cell
    pairs = find_pairs(positions, cell, 3.0)
    assert rows(pairs) == all_pairs(positions, cell, 3.0, 6)
    vectors = positions[pairs.second] - positions[pairs.first] + pairs.shift @ cell
    assert pairs.distance == pytest.approx(np.linalg.norm(vectors, axis=1))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_half_has_each_pair_in_one_direction(seed, count):
    rng = np.random.default_rng(seed)
    cell = 4.0 * np.eye(3)
    positions = rng.random((count, 3)) * 4.0
    half = rows(find_pairs(positions, cell, 5.0, half=True))
    back = [(j, i, -x, -y, -z) for i, j, x, y, z in half]
    assert not set(half) & set(back)
    assert sorted(half + back) == rows(find_pairs(positions, cell, 5.0))


def test_a_lone_atom_has_its_images():
    # simple cubic: 6 neighbours at the edge, 12 on the face diagonal
    assert len(find_pairs(np.zeros((1, 3)), 2.0 * np.eye(3), 2.1, half=True).first) == 3
    assert len(find_pairs(np.zeros((1, 3)), 2.0 * np.eye(3), 2.9).first) == 18


def test_no_atoms_and_lonely_atoms_have_no_pairs():
    assert find_pairs(np.empty((0, 3)), np.eye(3), 3.0).shift.shape == (0, 3)
    assert not find_pairs(np.zeros((1, 3)), 9.0 * np.eye(3), 3.0, half=True).distance.size
