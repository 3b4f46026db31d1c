"""Ions that are made to move in rows, in clumps, or each for itself."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.channels.cooperation import CooperationSettings, cooperation
from aiida_nvp.common.errors import InputError

SIDE, SPACING = 6, 3.0
HOW = CooperationSettings(window=2, neighbour_distance=3.3, replacement_distance=1.8, top_share=0.1, draws=10)


def _lattice():
    return np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)


def _run(trajectory, movers, step):
    """Ions on a simple cubic lattice; the movers shift by ``step`` between the frames 0-1 and 2-3; the host rests."""
    sites = _lattice().astype(float) * SPACING + 1.0
    start = np.concatenate([sites, [[0.0, 0.0, 0.0]]])
    frames = np.repeat(start[None], 4, axis=0)
    frames[2:, movers] += step
    return trajectory(frames, cell=SIDE * SPACING, numbers=[11] * len(sites) + [15])


def _where(condition):
    return np.flatnonzero(condition)


def test_a_closed_row_that_moves_on_by_one_is_one_string_around_the_cell(trajectory):
    sites = _lattice()
    row = _where((sites[:, 1] == 2) & (sites[:, 2] == 3))
    how = CooperationSettings(window=2, neighbour_distance=3.3, replacement_distance=1.8, top_share=6 / 216)
    found = cooperation(_run(trajectory, row, [SPACING, 0, 0]), "Na", how)
    assert found.n_mobile == 6
    assert found.string_lengths == {6: 2}
    assert found.string_length[0] == 6
    assert found.cluster_sizes == {6: 2}
    assert found.spanning_share[0] == 1
    assert found.null_string_length[0] < 1.2
    assert found.null_spanning_share[0] == 0


def test_a_chain_that_starts_and_ends_is_a_string_that_does_not_span(trajectory):
    sites = _lattice()
    chain = _where((sites[:, 1] == 2) & (sites[:, 2] == 3) & (sites[:, 0] < 3))
    how = CooperationSettings(window=2, neighbour_distance=3.3, replacement_distance=1.8, top_share=3 / 216)
    found = cooperation(_run(trajectory, chain, [SPACING, 0, 0]), "Na", how)
    assert (found.string_lengths, found.spanning_share[0]) == ({3: 2}, 0)


def test_neighbours_that_move_to_empty_places_are_a_cluster_and_no_string(trajectory):
    sites = _lattice()
    block = _where((sites < 2).all(axis=1))
    how = CooperationSettings(window=2, neighbour_distance=3.3, replacement_distance=1.0, top_share=8 / 216)
    found = cooperation(_run(trajectory, block, [SPACING / 2] * 3), "Na", how)
    assert found.cluster_sizes == {8: 2}
    assert found.string_lengths == {1: 16}
    assert found.largest_cluster[0] == 8 > 2 * found.null_largest_cluster[0]


def test_ions_that_move_each_for_itself_are_like_random_ones(trajectory):
    generator = np.random.default_rng(5)
    sites = np.concatenate([_lattice() * SPACING, [[0.0, 0.0, 0.0]]])
    frames = sites[None] + np.concatenate(
        [generator.normal(scale=0.4, size=(60, 216, 3)), np.zeros((60, 1, 3))], axis=1
    )
    run = trajectory(frames, cell=SIDE * SPACING, numbers=[11] * 216 + [15])
    found = cooperation(run, "Na", HOW)
    assert found.n_mobile == 22
    for ours, null in (
        (found.cluster_size, found.null_cluster_size),
        (found.largest_cluster, found.null_largest_cluster),
        (found.string_length, found.null_string_length),
    ):
        assert ours[0] == pytest.approx(null[0], abs=4 * np.hypot(ours[1], null[1]) + 0.02)
    assert cooperation(run, "Na", HOW) == found
    assert sum(size * number for size, number in found.cluster_sizes.items()) == 22 * HOW.origins


def test_bad_settings_give_a_sentence(trajectory):
    run = _run(trajectory, [0], 0.0)
    with pytest.raises(InputError, match="`window` must be positive"):
        CooperationSettings(window=0, neighbour_distance=3, replacement_distance=1)
    with pytest.raises(InputError, match="`top_share` is a share"):
        CooperationSettings(window=1, neighbour_distance=3, replacement_distance=1, top_share=1.0)
    with pytest.raises(InputError, match="does not fit into 4"):
        cooperation(run, "Na", CooperationSettings(window=4, neighbour_distance=3, replacement_distance=1))
    with pytest.raises(InputError, match="two are needed"):
        cooperation(
            run, "Na", CooperationSettings(window=1, neighbour_distance=3, replacement_distance=1, top_share=0.005)
        )
