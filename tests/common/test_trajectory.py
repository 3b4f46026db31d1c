"""Trajectories: what is written comes back, also after a crash."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import FRAMES_PER_BLOCK, TrajectoryWriter, read_trajectory

NUMBERS = [11, 23, 15, 8, 8]


def _frame(step):
    rng = np.random.default_rng(step)
    return {
        "step": step,
        "time_ps": step * 1e-3,
        "positions": rng.normal(scale=30, size=(len(NUMBERS), 3)),
        "cell": np.diag(rng.uniform(5, 6, 3)),
        "stage": step // 20,
    }


def _write(path, steps, **options):
    with TrajectoryWriter(path, NUMBERS, **options) as writer:
        for step in steps:
            writer.write(**_frame(step))


def _assert_frames(trajectory, steps):
    assert trajectory.step.tolist() == list(steps)
    for index, step in enumerate(steps):
        frame = _frame(step)
        np.testing.assert_array_equal(trajectory.positions[index], frame["positions"].astype(np.float32))
        np.testing.assert_array_equal(trajectory.cells[index], frame["cell"])
        assert trajectory.time_ps[index] == frame["time_ps"]
        assert trajectory.stage[index] == frame["stage"]


@pytest.mark.parametrize("count", [0, 1, FRAMES_PER_BLOCK, 3 * FRAMES_PER_BLOCK + 5])
def test_round_trip(tmp_path, count):
    path = tmp_path / "trajectory.h5"
    _write(path, range(0, 2 * count, 2))
    trajectory = read_trajectory(path)
    assert trajectory.symbols == ["Na", "V", "P", "O", "O"]
    assert trajectory.positions.dtype == np.float32
    _assert_frames(trajectory, range(0, 2 * count, 2))


def test_layout_is_h5md(tmp_path):
    path = tmp_path / "trajectory.h5"
    _write(path, range(3))
    with h5py.File(path) as file:
        assert file["h5md"].attrs["version"].tolist() == [1, 1]
        assert file["h5md/creator"].attrs["name"] == "aiida-nvp"
        assert file["particles/all/position/value"].shape == (3, 5, 3)
        assert file["particles/all/box/edges/step"] == file["particles/all/position/step"]
        assert file["particles/all/position/value"].compression == "gzip"
        assert file["particles/all/position/value"].shuffle


def test_append_drops_frames_after_the_checkpoint(tmp_path):
    path = tmp_path / "trajectory.h5"
    _write(path, range(40))
    _write(path, range(26, 50), append=True, keep_to_step=25)
    _assert_frames(read_trajectory(path), range(50))
    assert [entry.name for entry in tmp_path.iterdir()] == ["trajectory.h5"]


def test_append_goes_on_at_the_end_and_makes_a_missing_file(tmp_path):
    path = tmp_path / "trajectory.h5"
    _write(path, range(5), append=True)
    _write(path, range(5, 9), append=True)
    _assert_frames(read_trajectory(path), range(9))


def test_append_refuses_other_atoms(tmp_path):
    path = tmp_path / "trajectory.h5"
    _write(path, range(2))
    with pytest.raises(InputError, match="other atoms"):
        TrajectoryWriter(path, [8, 8], append=True)


def test_frames_are_copied_when_written(tmp_path):
    path = tmp_path / "trajectory.h5"
    positions = np.zeros((5, 3), dtype=np.float32)
    with TrajectoryWriter(path, NUMBERS) as writer:
        for step in range(3):
            positions += 1
            writer.write(step=step, time_ps=0.0, positions=positions, cell=np.eye(3))
    assert read_trajectory(path).positions[:, 0, 0].tolist() == [1, 2, 3]


def test_flushed_frames_are_visible_while_the_writer_is_open(tmp_path):
    path = tmp_path / "trajectory.h5"
    with TrajectoryWriter(path, NUMBERS) as writer:
        for step in range(FRAMES_PER_BLOCK + 3):
            writer.write(**_frame(step))
        writer.flush()
        code = f"from aiida_nvp.common.trajectory import read_trajectory as r; print(len(r({str(path)!r})))"
        shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert int(shown) == FRAMES_PER_BLOCK + 3


def test_killed_writer_leaves_whole_blocks_and_can_be_continued(tmp_path):
    path = tmp_path / "trajectory.h5"
    program = f"""
        import numpy as np
        from aiida_nvp.common.trajectory import TrajectoryWriter
        writer = TrajectoryWriter({str(path)!r}, [8] * 200)
        step = 0
        while True:
            writer.write(step=step, time_ps=0.0, positions=np.full((200, 3), step + 1.0), cell=np.eye(3))
            step += 1
            if step == 100:
                print("go", flush=True)
    """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "go\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    trajectory = read_trajectory(path)
    count = len(trajectory)
    assert count >= 96
    np.testing.assert_array_equal(trajectory.positions, np.arange(1, count + 1)[:, None, None] * np.ones((200, 3)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cut off"):
        read_trajectory(path)
    path.write_bytes(whole)
    with TrajectoryWriter(path, [8] * 200, append=True, keep_to_step=49) as writer:
        writer.write(step=50, time_ps=0.0, positions=np.zeros((200, 3)), cell=np.eye(3))
    assert read_trajectory(path).step.tolist() == list(range(51))


@pytest.mark.parametrize("damage", ["cut", "text", "empty", "other", "missing"])
def test_unreadable_files_give_one_sentence(tmp_path, damage):
    path = tmp_path / "trajectory.h5"
    _write(path, range(40))
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif damage == "text":
        path.write_text("not HDF5")
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    else:
        path.unlink()
    with pytest.raises(InputError, match=r"trajectory\.h5"):
        read_trajectory(path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"positions": np.zeros((4, 3))}, "do not fit 5 atoms"),
        ({"positions": np.full((5, 3), np.nan)}, "not finite"),
        ({"step": 3}, "steps must rise"),
    ],
)
def test_bad_frames_are_refused(tmp_path, change, sentence):
    with TrajectoryWriter(tmp_path / "t.h5", NUMBERS) as writer:
        writer.write(**_frame(3))
        with pytest.raises(InputError, match=sentence):
            writer.write(**{**_frame(4), **change})


def test_stages_are_selected_by_index(tmp_path):
    path = tmp_path / "trajectory.h5"
    _write(path, range(45))
    assert read_trajectory(path).at_stage(1).step.tolist() == list(range(20, 40))
    with pytest.raises(InputError, match="no frame of stage 7; its stages are 0, 1, 2"):
        read_trajectory(path).at_stage(7)
