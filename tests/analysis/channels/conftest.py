"""Trajectories made of given positions."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.common.trajectory import Trajectory


def make_trajectory(positions, cell=8.0, numbers=None, interval=1.0):
    """(T, N, 3) positions in one cell, all sodium unless ``numbers`` are given."""
    positions = np.asarray(positions, dtype=np.float64)
    frames, atoms = positions.shape[:2]
    box = np.eye(3) * cell if np.ndim(cell) == 0 else np.asarray(cell, dtype=np.float64)
    return Trajectory(
        numbers=np.full(atoms, 11, dtype=np.int32) if numbers is None else np.asarray(numbers, dtype=np.int32),
        step=np.arange(frames),
        time_ps=np.arange(frames) * interval,
        positions=positions.astype(np.float32),
        cells=np.broadcast_to(box, (frames, 3, 3)).copy(),
        stage=np.zeros(frames, dtype=np.int32),
    )


@pytest.fixture(scope="session")
def trajectory():
    return make_trajectory
