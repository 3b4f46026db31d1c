"""Gases whose motion is known, as trajectories."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from aiida_nvp.common.trajectory import Trajectory, TrajectoryWriter

STEP_PS = 0.5


def make(positions, numbers, times=None, cells=None):
    frames = len(positions)
    return Trajectory(
        numbers=np.asarray(numbers, dtype=np.int32),
        step=np.arange(frames),
        time_ps=STEP_PS * np.arange(frames) if times is None else np.asarray(times, dtype=float),
        positions=np.asarray(positions, dtype=np.float32),
        cells=np.repeat(np.eye(3)[None] * 10, frames, axis=0) if cells is None else np.asarray(cells, dtype=float),
        stage=np.zeros(frames, dtype=np.int32),
    )


def walkers(seed, diffusivities, frames=400):
    """Sodium ions that walk at random, one for each diffusivity (angstrom^2/ps)."""
    scale = np.sqrt(2 * np.asarray(diffusivities) * STEP_PS)
    steps = np.random.default_rng(seed).normal(size=(frames, len(scale), 3)) * scale[None, :, None]
    return make(np.cumsum(steps, axis=0), [11] * len(scale))


def brownian(seed, atoms=200, frames=400, diffusivity=0.3):
    return walkers(seed, np.full(atoms, diffusivity), frames)


def two_populations(seed, atoms=200, frames=400, slow=0.1, fast=0.5):
    """Walkers every second of which is fast."""
    return walkers(seed, np.where(np.arange(atoms) % 2, fast, slow), frames)


def write(path, trajectory):
    with TrajectoryWriter(path, trajectory.numbers) as writer:
        for frame in range(len(trajectory)):
            writer.write(
                step=int(trajectory.step[frame]),
                time_ps=float(trajectory.time_ps[frame]),
                positions=trajectory.positions[frame],
                cell=trajectory.cells[frame],
                stage=int(trajectory.stage[frame]),
            )
    return path


@pytest.fixture(scope="session")
def gas():
    """The makers above, under one name."""
    return SimpleNamespace(
        step_ps=STEP_PS, make=make, walkers=walkers, brownian=brownian, two_populations=two_populations, write=write
    )
