from dataclasses import replace

import numpy as np

from aiida_nvp.common.trajectory_key import trajectory_key, trajectory_keys

MD = {"kind": "labeller MD", "step": 3, "start": "abc", "start_origin": {"kind": "packed"}}
EXPLORED = {"kind": "exploration", "replica": 2, "start": 1, "step": 50}


def key(origin, identity="id", **more):
    return trajectory_key({"origin": origin}, identity, **more)


def test_steps_of_one_md_share_a_key_with_the_frame_that_they_began_from():
    assert key(MD, "x") == key({**MD, "step": 9}, "y") == key({"kind": "packed"}, "abc")
    assert key(MD) != key({**MD, "start": "abd"})


def test_frames_of_one_replica_share_a_key():
    chosen = {**EXPLORED, "step": 90, "score": 0.3, "reason": "uncertain"}
    assert key(EXPLORED, "x") == key(chosen, "y")
    for other in ({"replica": 3}, {"start": 0}):
        assert key(EXPLORED) != key({**EXPLORED, **other})
    assert key(EXPLORED, box="a") != key(EXPLORED, box="b")


def test_replicas_of_two_cycles_have_two_keys_and_old_ones_keep_theirs():
    first, second = ({**EXPLORED, "seed": seed} for seed in (11, 12))
    assert key(first) == key({**first, "step": 75})
    assert len({key(first), key(second), key(EXPLORED)}) == 3
    assert key(EXPLORED, box="a") == "replica 2 start 1 a"
    assert key({**MD, "start_origin": second}) == key(second)


def test_a_cell_that_breathes_stays_one_trajectory(morse_frames):
    frames = morse_frames(1).subset([0, 0, 0])
    origin = {**EXPLORED, "seed": 11}
    breathing = replace(
        frames, cells=frames.cells * np.array([1, 1.01, 1.02])[:, None, None], info=({"origin": origin},) * 3
    )
    assert len(set(trajectory_keys(breathing))) == 1


def test_md_from_a_frame_of_an_exploration_belongs_to_its_replica():
    assert key({**MD, "start_origin": EXPLORED}) == key(EXPLORED)


def test_a_frame_without_a_story_stands_alone():
    assert trajectory_key({}, "x") == key({"kind": "packed"}, "x") == key(None, "x") == "x"


def test_keys_of_a_set_tell_cells_apart(morse_frames):
    frames = morse_frames(6)
    frames = replace(frames, info=tuple({"origin": EXPLORED} for _ in range(6)))
    keys = trajectory_keys(frames)
    assert keys[0] == keys[3]
    assert len(set(keys)) == 3
    assert trajectory_keys(frames.subset([4, 1])) == [keys[4], keys[1]]
