"""Frames and their checks."""

import numpy as np
import pytest

from aiida_nvp.analysis.frame import Frame, frames_of
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory

CELL = np.array([[12.0, 0, 0], [3, 11, 0], [-2, 1, 13]])


def test_geometry_of_a_triclinic_cell():
    frame = Frame(np.array([8]), np.array([[-1e-18, 0, 0]]), CELL)
    assert frame.volume == pytest.approx(12 * 11 * 13)
    a, b, c = CELL
    assert frame.widths[0] == pytest.approx(frame.volume / np.linalg.norm(np.cross(b, c)))
    assert frame.widths[2] == pytest.approx(frame.volume / np.linalg.norm(np.cross(a, b)))
    assert (frame.fractional == 0).all()


def test_frames_of_a_trajectory():
    trajectory = Trajectory(
        numbers=np.array([8, 11], np.int32),
        step=np.arange(3),
        time_ps=np.arange(3.0),
        positions=np.arange(18, dtype=np.float32).reshape(3, 2, 3),
        cells=np.repeat(CELL[None], 3, axis=0),
        stage=np.zeros(3, np.int32),
    )
    frames = list(frames_of(trajectory))
    assert len(frames) == 3
    assert frames[1].positions.dtype == np.float64
    np.testing.assert_array_equal(frames[1].positions, trajectory.positions[1])


@pytest.mark.parametrize(
    ("positions", "cell", "sentence"),
    [
        (np.zeros((3, 3)), CELL, "needs positions"),
        (np.zeros((2, 3)), np.eye(2), "needs positions"),
        (np.full((2, 3), np.nan), CELL, "not finite"),
        (np.zeros((2, 3)), np.diag([1.0, 1.0, 0.0]), "volume"),
    ],
)
def test_bad_frames(positions, cell, sentence):
    with pytest.raises(InputError, match=sentence):
        Frame(np.array([8, 11]), positions, cell)
