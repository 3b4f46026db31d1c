"""Ways through channels whose length is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from aiida_nvp.analysis.channels.paths import channel_paths, channel_radius
from aiida_nvp.common.errors import InputError

CUBE = np.eye(3) * 8.0


def rod(cells=16):
    grid = np.zeros((cells, cells, cells), dtype=bool)
    grid[3, 4, :] = True
    return grid


def zigzag():
    """Up, four cells aside, up, and back."""
    grid = np.zeros((16, 16, 16), dtype=bool)
    grid[2, 4, :5] = grid[2:7, 4, 4] = grid[6, 4, 4:13] = grid[2:7, 4, 12] = grid[2, 4, 12:] = True
    return grid


def test_a_straight_rod_is_straight_and_half_a_cell_wide():
    (path,) = channel_paths(rod(), CUBE)
    assert path.winding == (0, 0, 1)
    assert (path.length, path.straight, path.tortuosity) == (pytest.approx(8), pytest.approx(8), pytest.approx(1))
    assert channel_radius(rod(), CUBE) == pytest.approx(0.25)
    assert path.nodes[-1] - path.nodes[0] == pytest.approx([0, 0, 1])


def test_a_round_rod_has_its_radius_up_to_half_a_cell():
    x, y = np.indices((33, 33)) - 16
    box = np.eye(3) * 16.5
    for axis in range(3):
        grid = np.moveaxis(np.repeat((np.hypot(x, y) < 10)[:, :, None], 33, axis=2), 2, axis)
        assert channel_radius(grid, box) == pytest.approx(5.0, abs=0.26)
        rolled = np.roll(grid, (9, 20, 5), axis=(0, 1, 2))
        assert channel_radius(rolled, box) == pytest.approx(channel_radius(grid, box))


def test_the_neck_limits_the_sphere():
    grid = np.zeros((20, 20, 20), dtype=bool)
    grid[5:14, 5:14, :] = True
    grid[:, :, 10] = False
    assert channel_radius(grid, CUBE) is None
    grid[8:11, 8:11, 10] = True
    assert channel_radius(grid, np.eye(3) * 20) == pytest.approx(1.5)
    assert channel_radius(np.ones((4, 4, 4), dtype=bool), CUBE) is None


def test_nothing_winds_in_a_cut_rod():
    grid = rod()
    grid[3, 4, 9] = False
    assert channel_paths(grid, CUBE) == []


def test_a_zigzag_has_the_length_of_its_legs():
    (path,) = channel_paths(zigzag(), CUBE)
    # 16 cells up and 8 aside; each of the four corners is cut by one diagonal step.
    assert path.length == pytest.approx(0.5 * (16 + 8 - 4 * 2 + 4 * np.sqrt(2)))
    assert path.tortuosity == pytest.approx(path.length / 8)


def test_a_full_box_lets_every_basis_vector_through_straight():
    skew = np.array([[8.0, 0, 0], [3, 7, 0], [-1, 2, 9]])
    paths = channel_paths(np.ones((6, 6, 6), dtype=bool), skew)
    assert [path.winding for path in paths] == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]
    assert [path.straight for path in paths] == pytest.approx(np.linalg.norm(skew, axis=1))
    assert [path.tortuosity for path in paths] == pytest.approx([1, 1, 1])


@pytest.mark.parametrize("turn", [1, -1])
def test_a_diagonal_rod_is_one_straight_channel(turn):
    grid = np.zeros((6, 6, 6), dtype=bool)
    for i in range(6):
        for x, y in ((0, 0), (1, 0), (1, 1)):
            grid[(i + x) % 6, turn * (i + y) % 6, i] = True
    (path,) = channel_paths(grid, CUBE)
    assert path.winding in {(1, turn, turn), (1, turn, 1)}
    assert path.straight == pytest.approx(8 * np.sqrt(3))
    assert path.tortuosity == pytest.approx(1, abs=0.03)
    assert path.nodes[-1] - path.nodes[0] == pytest.approx(path.winding)


def test_a_path_that_winds_twice_before_it_closes():
    grid = np.zeros((6, 6, 6), dtype=bool)
    first = [(0, 0, 0), (0, 0, 1), (0, 0, 2), (1, 0, 2), (2, 0, 2), (2, 0, 3), (2, 0, 4), (2, 0, 5)]
    second = [(2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 2, 1), (2, 2, 2), (2, 2, 3), (2, 2, 4), (1, 2, 4), (0, 2, 4)]
    for cell in [*first, *second, (0, 1, 4), (0, 0, 4), (0, 0, 5)]:
        grid[cell] = True
    (path,) = channel_paths(grid, np.eye(3) * 6)
    assert path.winding == (0, 0, 2)
    assert path.straight == pytest.approx(12)
    # Twelve cells up and eight aside, at best along one slope, at worst by steps.
    assert np.hypot(12, 8) < path.length < 20


def test_the_larger_of_two_channels_is_described():
    grid = zigzag()
    grid[9:13, 9:13, :] = True
    (path,) = channel_paths(grid, CUBE)
    assert path.tortuosity == pytest.approx(1)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.tuples(*[st.integers(0, 15)] * 3), axis=st.integers(0, 2))
def test_invariant_under_translation_axis_order_and_supercell(seed, shift, axis):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(16,) * 3), 2, mode="wrap")
    grid = field > np.quantile(field, 0.75)
    ours = {path.winding: path.tortuosity for path in channel_paths(grid, CUBE)}
    rolled = {path.winding: path.tortuosity for path in channel_paths(np.roll(grid, shift, axis=(0, 1, 2)), CUBE)}
    # Of several ways equally long in steps, one is pulled straighter than another.
    assert rolled == pytest.approx(ours, rel=0.08)
    turned = channel_paths(np.moveaxis(grid, (0, 1, 2), (1, 2, 0)), CUBE)
    assert len(turned) == len(ours)
    times = np.roll([2, 1, 1], axis)
    double = channel_paths(np.tile(grid, times), CUBE * times[:, None])
    for path in double:
        if path.winding in ours:
            assert path.tortuosity == pytest.approx(ours[path.winding], rel=0.08)


def test_a_cell_without_volume_is_refused():
    with pytest.raises(InputError, match="with a volume"):
        channel_paths(rod(), np.zeros((3, 3)))
