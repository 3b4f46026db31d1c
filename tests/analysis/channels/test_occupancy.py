"""Ions that are known to prefer a channel, and ions that are known not to."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.channels.occupancy import OccupancySettings, channel_occupancy
from aiida_nvp.common.errors import InputError


def _run(trajectory, seed=0, frames=400, preference=True):
    """Forty ions that run along z in a square channel of 2 x 2 angstrom, and forty that stay in cages elsewhere."""
    generator = np.random.default_rng(seed)
    steps = generator.normal(scale=0.4, size=(frames, 40, 1))
    fast = np.concatenate([generator.uniform(1, 3, size=(frames, 40, 2)), np.cumsum(steps, axis=0)], axis=2)
    homes = generator.uniform(4.5, 11.5, size=(40, 3)) * [1, 1, 12 / 7]
    slow = homes + generator.normal(scale=0.1, size=(frames, 40, 3))
    if not preference:
        fast = generator.uniform(0, 12, size=(1, 80, 3)) + np.cumsum(
            generator.normal(scale=0.8, size=(frames, 80, 3)), axis=0
        )
        return trajectory(fast, cell=12.0)
    return trajectory(np.concatenate([fast, slow], axis=1), cell=12.0)


def test_fast_ions_in_a_channel_stand_out(trajectory):
    found = channel_occupancy(_run(trajectory), "Na", OccupancySettings(window=20))
    # The threshold cuts the denser part out of the 4 of 144 square angstrom that half of the ions keep to.
    assert 0.005 < found.volume_share < 4 / 144 * 1.2
    assert 0.2 < found.time_share.value < 0.55
    assert found.time_share.low < found.time_share.value < found.time_share.high
    assert found.time_share.value > 2 * found.null_time_share[2]
    # 2 x the variance of the sides of the channel each in x and y, and a walk of 20 steps along z.
    assert found.msd_inside.value == pytest.approx(20 * 0.16 + 4 * 4 / 12, rel=0.15)
    assert found.msd_outside.value < 0.5 * found.msd_inside.value
    assert found.contrast.low > 2
    assert found.contrast.value > found.null_contrast[2] > found.null_contrast[1]


def test_brownian_ions_have_no_preference(trajectory):
    """Free walkers: a threshold finds a channel all the same, but the second half does not know it."""
    found = channel_occupancy(_run(trajectory, preference=False), "Na", OccupancySettings(window=5, rank=3))
    assert found.null_time_share[0] <= found.time_share.value <= found.null_time_share[2] * 1.05
    assert found.contrast.value == pytest.approx(1, abs=0.05)
    assert found.null_contrast[1] == pytest.approx(1, abs=0.05)


def test_same_seed_same_answer_and_no_channel_no_answer(trajectory):
    run = _run(trajectory, frames=60)
    settings = OccupancySettings(window=5, seed=4)
    assert channel_occupancy(run, "Na", settings) == channel_occupancy(run, "Na", settings)
    still = trajectory(np.full((10, 3, 3), 2.0))
    assert channel_occupancy(still, "Na", OccupancySettings(window=2)) is None


def test_bad_settings_give_a_sentence(trajectory):
    with pytest.raises(InputError, match="must be longer than the window of 5"):
        channel_occupancy(trajectory(np.zeros((10, 1, 3))), "Na", OccupancySettings(window=5))
    with pytest.raises(InputError, match="at least one frame"):
        OccupancySettings(window=0)
    with pytest.raises(InputError, match="1, 2 or 3, not 4"):
        OccupancySettings(window=1, rank=4)
