import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import SelectionReason, Stream
from aiida_nvp.selection.batch import BatchSettings, Known, Pool, choose

RULES = BatchSettings(budget=8, lower=0.1, upper=1.0, random_share=0.25, max_per_replica=3, duplicate_tolerance=0.0)


def make_pool(count, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "ids": [f"f{index}" for index in range(count)],
        "scores": rng.uniform(0.0, 1.3, count),
        "too_close": np.zeros(count, dtype=bool),
        "streams": [Stream.BREAK if index % 10 == 9 else Stream.STRIDE for index in range(count)],
        "replicas": [index // 10 for index in range(count)],
        "features": rng.normal(size=(count, 3)),
    }
    return Pool(**{**values, **changes})


def reasons(decisions):
    return [decision.reason for decision in decisions]


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(0, 80),
    budget=st.integers(1, 20),
    share=st.sampled_from([0.0, 0.15, 0.5, 1.0]),
    quota=st.integers(1, 5),
    tolerance=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 5),
)
def test_invariants(count, budget, share, quota, tolerance, seed):
    pool = make_pool(count, seed)
    rules = BatchSettings(budget, 0.1, 1.0, share, 0.5, quota, tolerance)
    decisions = choose(pool, Known(frozenset({"f0"})), rules, seed)
    assert decisions == choose(pool, Known(frozenset({"f0"})), rules, seed)
    accepted = [index for index, decision in enumerate(decisions) if decision.accepted]
    assert len(decisions) == count
    assert len(accepted) <= budget
    assert sorted(decisions[index].rank for index in accepted) == list(range(len(accepted)))
    assert 0 not in accepted
    for index, decision in enumerate(decisions):
        assert decision.accepted == decision.reason.value.startswith("accepted")
        if decision.reason is SelectionReason.UNCERTAIN:
            assert rules.lower < pool.scores[index] < rules.upper
        if decision.reason is SelectionReason.RANDOM:
            assert pool.streams[index] is Stream.STRIDE
    uncertain = Counter(pool.replicas[i] for i in accepted if decisions[i].reason is SelectionReason.UNCERTAIN)
    assert all(number <= quota for number in uncertain.values())


def test_each_reason_where_it_belongs():
    pool = make_pool(
        8,
        ids=["a", "a", "known", "close", "nan", "low", "high", "good"],
        scores=np.array([0.5, 0.5, 0.5, 0.5, np.nan, 0.05, 2.0, 0.6]),
        too_close=np.array([False, False, False, True, False, False, False, False]),
    )
    decisions = choose(pool, Known(frozenset({"known"})), replace(RULES, random_share=0.0), 1)
    assert reasons(decisions) == [
        SelectionReason.UNCERTAIN,
        SelectionReason.DUPLICATE,
        SelectionReason.DUPLICATE,
        SelectionReason.TOO_CLOSE,
        SelectionReason.NOT_FINITE,
        SelectionReason.BELOW,
        SelectionReason.ABOVE,
        SelectionReason.UNCERTAIN,
    ]
    # nothing to be far from: the most uncertain one comes first
    assert [decision.rank for decision in decisions] == [1, None, None, None, None, None, None, 0]


def test_farthest_point_order_is_exact():
    pool = make_pool(
        5,
        scores=np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
        replicas=list(range(5)),
        streams=[Stream.STRIDE] * 5,
        features=np.array([[0.0], [1.0], [10.0], [6.0], [9.0]]),
    )
    decisions = choose(pool, Known(), replace(RULES, budget=3, random_share=0.0), 0)
    assert [decision.rank for decision in decisions] == [0, None, 1, 2, None]
    assert reasons(decisions)[1] is SelectionReason.BUDGET
    away = choose(pool, Known(features=np.array([[10.0]])), replace(RULES, budget=1, random_share=0.0), 0)
    assert away[0].rank == 0
    near_zero = choose(pool, Known(features=np.array([[0.0]])), replace(RULES, budget=1, random_share=0.0), 0)
    assert near_zero[2].rank == 0


def test_quota_and_less_uncertain_half():
    pool = make_pool(40, scores=np.linspace(0.2, 0.9, 40), replicas=[0] * 40)
    decisions = choose(pool, Known(), replace(RULES, budget=4, random_share=0.0, max_per_replica=2), 0)
    counts = Counter(reasons(decisions))
    assert counts[SelectionReason.UNCERTAIN] == 2
    assert counts[SelectionReason.LESS_UNCERTAIN] == 20
    assert counts[SelectionReason.QUOTA] == 18
    assert {decision.reason for decision in decisions[:20]} == {SelectionReason.LESS_UNCERTAIN}


def test_random_share_is_uniform_over_the_physical_stride_frames():
    pool = make_pool(20, scores=np.where(np.arange(20) < 10, 0.01, 0.5), streams=[Stream.STRIDE] * 20)
    drawn = Counter()
    for seed in range(600):
        decisions = choose(pool, Known(), replace(RULES, budget=8, random_share=0.25), seed)
        drawn.update(i for i, decision in enumerate(decisions) if decision.reason is SelectionReason.RANDOM)
    assert sum(drawn.values()) == 1200
    # each of 20 frames is expected 60 times, with a standard deviation of about 7.3
    assert all(30 < drawn[index] < 90 for index in range(20))


def test_near_duplicates_keep_the_more_uncertain():
    pool = make_pool(
        4,
        scores=np.array([0.3, 0.9, 0.5, 0.6]),
        features=np.array([[0.0], [0.001], [5.0], [9.0]]),
        streams=[Stream.STRIDE] * 4,
    )
    decisions = choose(pool, Known(), replace(RULES, random_share=0.0, duplicate_tolerance=0.02), 0)
    assert reasons(decisions)[0] is SelectionReason.DUPLICATE
    assert decisions[1].accepted


def test_nothing_above_the_lower_threshold_chooses_nothing():
    decisions = choose(make_pool(30, scores=np.full(30, 0.05)), Known(), RULES, 0)
    assert set(reasons(decisions)) == {SelectionReason.BELOW}


def test_all_above_the_window_still_draws_the_random_share():
    decisions = choose(make_pool(30, scores=np.full(30, 5.0)), Known(), RULES, 0)
    assert Counter(reasons(decisions)) == {SelectionReason.RANDOM: 2, SelectionReason.ABOVE: 28}


def test_no_candidate_at_all():
    assert choose(make_pool(0, features=np.empty((0, 0))), Known(), RULES, 0) == []


def test_features_that_are_not_numbers_reject_their_frame_only():
    features = np.random.default_rng(0).normal(size=(6, 2))
    features[2, 1] = np.nan
    decisions = choose(make_pool(6, scores=np.full(6, 0.5), features=features), Known(), RULES, 0)
    assert reasons(decisions).count(SelectionReason.NOT_FINITE) == 1
    assert decisions[2].reason is SelectionReason.NOT_FINITE


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 0}, "label budget is 0"),
        ({"lower": 1.0}, "has to rise"),
        ({"random_share": 1.5}, "random_share"),
        ({"keep_most_uncertain": 0.0}, "keep_most_uncertain"),
        ({"max_per_replica": 0}, "max_per_replica"),
    ],
)
def test_impossible_settings(change, words):
    with pytest.raises(InputError, match=words):
        replace(RULES, **change)


def test_columns_of_different_lengths():
    with pytest.raises(InputError, match="3 scores for 4 frames"):
        make_pool(4, scores=np.zeros(3))


def test_ten_thousand_candidates_take_seconds():
    rng = np.random.default_rng(0)
    pool = make_pool(10_000, features=rng.normal(size=(10_000, 64)))
    started = time.perf_counter()
    decisions = choose(
        pool, Known(features=rng.normal(size=(500, 64))), replace(RULES, budget=48, duplicate_tolerance=0.02), 0
    )
    assert time.perf_counter() - started < 20
    assert sum(decision.accepted for decision in decisions) == 48
