import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.worker.dataset_split import frozen_test, split_frames

names = st.lists(st.text("0123456789abcdef", min_size=4, max_size=8), min_size=2, max_size=60, unique=True)
settings = {"bag_fraction": 0.9, "validation_fraction": 0.1}
IDS = [f"frame-{i}" for i in range(2000)]


@given(names, st.integers(0, 1000), st.floats(0.01, 1.0), st.floats(0.01, 0.49))
def test_parts_are_disjoint_cover_all_and_are_usable(ids, seed, bag, validation):
    split = split_frames(ids, seed, bag, validation)
    assert sorted([*split.train, *split.validation, *split.out_of_bag]) == list(range(len(ids)))
    assert split.train
    assert split.validation


@given(names.filter(lambda ids: len(ids) > 2), st.integers(0, 1000), st.randoms())
def test_order_does_not_count(ids, seed, random):
    shuffled = random.sample(ids, len(ids))
    first, second = (split_frames(order, seed, **settings) for order in (ids, shuffled))
    assert {ids[i] for i in first.validation} == {shuffled[i] for i in second.validation}
    assert {ids[i] for i in first.out_of_bag} == {shuffled[i] for i in second.out_of_bag}


def test_frames_keep_their_place_as_the_set_grows():
    small, large = (split_frames(IDS[:count], 3, **settings) for count in (500, 2000))
    for part in ("train", "validation", "out_of_bag"):
        assert getattr(small, part) == tuple(i for i in getattr(large, part) if i < 500)


def test_shares_are_as_asked_and_differ_between_members():
    first, second = (split_frames(IDS, seed, **settings) for seed in (1, 2))
    assert len(first.out_of_bag) == pytest.approx(200, abs=40)
    assert len(first.validation) == pytest.approx(180, abs=40)
    assert len(set(first.out_of_bag) & set(second.out_of_bag)) < 60


def test_bag_of_one_leaves_nothing_out():
    assert split_frames(IDS[:50], 0, 1.0, 0.1).out_of_bag == ()


@pytest.mark.parametrize("ids", [[], ["a"], ["a", "a"]])
def test_too_few_frames_are_refused(ids):
    with pytest.raises(InputError, match="at least two different frames"):
        split_frames(ids, 0, **settings)


def test_frozen_test_keeps_trajectories_whole_and_grows_by_whole_ones():
    trajectories = [f"run {i // 4}" for i in range(2000)]
    test = frozen_test(trajectories, 0.1)
    assert len(test) == pytest.approx(200, abs=60)
    drawn = {trajectories[i] for i in test}
    assert list(test) == [i for i, key in enumerate(trajectories) if key in drawn]
    assert frozen_test(trajectories[:500], 0.1) == tuple(i for i in test if i < 500)
    assert frozen_test(trajectories, 0.0) == ()


def test_no_member_sees_the_frozen_test():
    test = frozen_test(IDS, 0.1)
    for seed in range(3):
        split = split_frames(IDS, seed, **settings, test=test)
        assert split.test == test
        assert sorted([*split.train, *split.validation, *split.out_of_bag, *split.test]) == list(range(len(IDS)))
        codes = split.codes()
        assert codes.dtype == np.int8
        for code, part in enumerate((split.train, split.validation, split.out_of_bag, split.test)):
            assert np.flatnonzero(codes == code).tolist() == list(part)


def test_a_test_that_leaves_nothing_to_learn_from_is_refused():
    with pytest.raises(InputError, match=r"got 1 beside 2 of the test \(`committee.test_fraction`\)"):
        split_frames(["a", "b", "c"], 0, **settings, test=[0, 2])
