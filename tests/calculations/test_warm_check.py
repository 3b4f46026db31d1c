"""What a warm start costs: the ratio, on frames that both trainings left alone."""

import pytest
from aiida import orm

from aiida_nvp.calculations.warm_check import warm_check

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def results(rmse, frames, seconds=10.0):
    return orm.Dict(
        {
            "errors": {part: {"force_rmse": value} for part, value in rmse.items()},
            **{f"n_{part}": count for part, count in frames.items()},
            "wall_s": {"train": seconds},
        }
    )


def test_the_ratio_is_taken_on_the_test_frames_where_there_are_any():
    frames = {"test": 3, "validation": 2}
    warm, scratch = results({"test": 0.3, "validation": 9.0}, frames), results({"test": 0.2, "validation": 1.0}, frames)
    found = warm_check(warm, scratch)
    assert (found["part"], found["frames"]) == ("test", 3)
    assert found["ratio"] == pytest.approx(1.5)
    assert "ratio 1.50: the warm start costs accuracy" in found["sentence"]


def test_without_a_test_set_the_bag_decides():
    frames = {"test": 0, "out_of_bag": 4, "validation": 2}
    found = warm_check(*(results({"out_of_bag": value, "validation": 1.0}, frames) for value in (0.1, 0.2)))
    assert (found["part"], found["ratio"]) == ("out_of_bag", pytest.approx(0.5))


def test_trainings_of_different_frames_are_not_compared():
    one, other = results({"validation": 0.1}, {"validation": 2}), results({"validation": 0.1}, {"validation": 3})
    _, node = warm_check.run_get_node(one, other)
    assert node.exit_status == 210
    assert "no unseen frames in common" in node.exit_message
