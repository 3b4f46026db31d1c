from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import SelectionReason, Stream
from aiida_nvp.selection.batch import Known, Pool, choose, worth_keeping
from aiida_nvp.selection.filters import Fault
from aiida_nvp.selection.settings import BatchSettings, Method

BASE = {
    "budget": 8,
    "lower": 0.1,
    "upper": 1.0,
    "random_share": 0.25,
    "max_per_replica": 3,
    "min_apart_ps": 0.0,
    "duplicate_tolerance": 0.0,
    "method": Method.FARTHEST_POINT,
}


def rules(**changes):
    return BatchSettings(**{**BASE, **changes})


def make_pool(count, seed=0, **changes):
    rng = np.random.default_rng(seed)
    values = {
        "ids": [f"f{index:05d}" for index in range(count)],
        "scores": rng.uniform(0.0, 1.3, count),
        "faults": [None] * count,
        "streams": [Stream.BREAK if index % 10 == 9 else Stream.STRIDE for index in range(count)],
        "trajectories": [f"t{index // 10}" for index in range(count)],
        "times": np.array([0.1 * (index % 10) for index in range(count)]),
        "kinds": [{"composition": "AB"[index % 2]} for index in range(count)],
        "features": rng.normal(size=(count, 3)),
        "atoms": np.full(count, 10),
        "information": rng.normal(size=(count, 2, 3)),
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
    method=st.sampled_from(Method),
    apart=st.sampled_from([0.0, 0.2]),
    seed=st.integers(0, 5),
)
def test_invariants_and_the_order_of_candidates_does_not_matter(
    count, budget, share, quota, tolerance, method, apart, seed
):
    pool = make_pool(count, seed)
    drawn = rules(
        budget=budget,
        random_share=share,
        max_per_replica=quota,
        duplicate_tolerance=tolerance,
        method=method,
        min_apart_ps=apart,
    )
    known = Known(frozenset({"f00000"}))
    decisions = choose(pool, known, drawn, seed)
    permutation = [int(index) for index in np.random.default_rng(seed + 1).permutation(count)]
    shuffled = choose(pool.reordered(permutation), known, drawn, seed)
    assert [decisions[index] for index in permutation] == shuffled
    accepted = [index for index, decision in enumerate(decisions) if decision.accepted]
    assert len(decisions) == count
    assert len(accepted) <= budget
    assert sorted(decisions[index].rank for index in accepted) == list(range(len(accepted)))
    assert 0 not in accepted
    for index, decision in enumerate(decisions):
        assert decision.accepted == decision.reason.value.startswith("accepted")
        if decision.reason is SelectionReason.UNCERTAIN:
            assert drawn.lower < pool.scores[index] < drawn.upper
        if decision.reason is SelectionReason.RANDOM:
            assert pool.streams[index] is Stream.STRIDE
    chosen = [index for index in accepted if decisions[index].reason is SelectionReason.UNCERTAIN]
    assert all(number <= quota for number in Counter(pool.trajectories[index] for index in chosen).values())
    for one in chosen:
        rest = [other for other in accepted if other != one and pool.trajectories[one] == pool.trajectories[other]]
        assert all(abs(pool.times[one] - pool.times[other]) > apart - 1e-6 for other in rest)


def test_each_reason_where_it_belongs():
    hot = Fault(SelectionReason.SPIKE, "9000 K")
    pool = make_pool(
        10,
        ids=["a", "a", "known", "close", "nan", "low", "high", "good", "hot", "old"],
        scores=np.array([0.5, 0.5, 0.5, 0.5, np.nan, 0.05, 2.0, 0.6, 0.5, 0.05]),
        faults=[None] * 3 + [Fault(SelectionReason.TOO_CLOSE, "O-P 0.5 Å")] + [None] * 4 + [hot, None],
        streams=[Stream.STRIDE] * 9 + [Stream.LEFT_OVER],
    )
    decisions = choose(pool, Known(frozenset({"known"})), rules(random_share=0.0), 1)
    assert reasons(decisions) == [
        SelectionReason.UNCERTAIN,
        SelectionReason.DUPLICATE,
        SelectionReason.DUPLICATE,
        SelectionReason.TOO_CLOSE,
        SelectionReason.NOT_FINITE,
        SelectionReason.BELOW,
        SelectionReason.ABOVE,
        SelectionReason.UNCERTAIN,
        SelectionReason.SPIKE,
        SelectionReason.KNOWN,
    ]
    assert decisions[8].detail == "9000 K"
    # nothing to be far from: the most uncertain one comes first, and no distance is told of it
    assert (decisions[7].rank, decisions[7].gain) == (0, None)
    assert decisions[0].rank == 1
    assert decisions[0].gain > 0


def test_farthest_point_order_is_exact():
    pool = make_pool(
        5,
        scores=np.array([0.9, 0.8, 0.7, 0.6, 0.5]),
        trajectories=list("abcde"),
        streams=[Stream.STRIDE] * 5,
        features=np.array([[0.0], [1.0], [10.0], [6.0], [9.0]]),
    )
    decisions = choose(pool, Known(), rules(budget=3, random_share=0.0), 0)
    assert [decision.rank for decision in decisions] == [0, None, 1, 2, None]
    assert reasons(decisions)[1] is SelectionReason.BUDGET
    away = choose(pool, Known(features=np.array([[10.0]])), rules(budget=1, random_share=0.0), 0)
    assert away[0].rank == 0
    near_zero = choose(pool, Known(features=np.array([[0.0]])), rules(budget=1, random_share=0.0), 0)
    assert near_zero[2].rank == 0
    # With two places the most uncertain one comes first wherever it lies; after it the farthest.
    free = rules(budget=2, random_share=0.0, composition_share=1.0)
    two = choose(pool, Known(features=np.array([[0.0]])), free, 0)
    assert [two[0].rank, two[2].rank] == [0, 1]


def test_log_det_takes_what_teaches_most_together():
    rows = np.array([[[3.0, 0.0]], [[2.9, 0.0]], [[0.0, 1.0]]])
    pool = make_pool(3, scores=np.full(3, 0.5), trajectories=list("abc"), kinds=[{}] * 3, information=rows)
    decisions = choose(pool, Known(), rules(budget=2, random_share=0.0, method=Method.LOG_DET), 0)
    # the second longest row says what the first one says already: log(1 + 2.9^2 / 10) = 0.61 against log 2 = 0.69
    assert [decision.rank for decision in decisions] == [0, None, 1]
    assert decisions[0].gain == pytest.approx(np.log(10.0))
    assert decisions[2].gain == pytest.approx(np.log(2.0))


def test_log_det_weighs_the_cost():
    rows = np.array([[[1.0]], [[1.1]]])
    pool = make_pool(2, scores=np.full(2, 0.5), atoms=np.array([10, 20]), information=rows)
    free = rules(budget=1, random_share=0.0, method=Method.LOG_DET, cost_exponent=0.0)
    assert choose(pool, Known(), free, 0)[1].rank == 0
    assert choose(pool, Known(), rules(budget=1, random_share=0.0, method=Method.LOG_DET), 0)[0].rank == 0


def test_without_information_likeness_decides():
    pool = make_pool(30, information=None)
    assert choose(pool, Known(), rules(method=Method.LOG_DET), 0) == choose(pool, Known(), rules(), 0)


def test_what_is_drawn_at_random_is_taken_into_account():
    rows = np.array([[[3.0, 0.0]], [[2.0, 0.0]], [[0.0, 1.5]]])
    pool = make_pool(
        3,
        scores=np.array([0.05, 0.5, 0.5]),
        streams=[Stream.STRIDE, Stream.BREAK, Stream.BREAK],
        trajectories=list("abc"),
        kinds=[{}] * 3,
        information=rows,
    )
    decisions = choose(pool, Known(), rules(budget=2, random_share=0.5, method=Method.LOG_DET), 0)
    assert decisions[0].reason is SelectionReason.RANDOM
    assert decisions[2].rank == 0


def test_quota_and_less_uncertain_half():
    pool = make_pool(40, scores=np.linspace(0.2, 0.9, 40), trajectories=["t"] * 40)
    decisions = choose(pool, Known(), rules(budget=4, random_share=0.0, max_per_replica=2), 0)
    counts = Counter(reasons(decisions))
    assert counts[SelectionReason.UNCERTAIN] == 2
    assert counts[SelectionReason.LESS_UNCERTAIN] == 20
    assert counts[SelectionReason.QUOTA] == 18
    assert {decision.reason for decision in decisions[:20]} == {SelectionReason.LESS_UNCERTAIN}


def test_labels_of_earlier_cycles_count_for_their_trajectory():
    pool = make_pool(3, scores=np.full(3, 0.5), trajectories=["t", "t", "u"], times=np.array([0.1, 0.9, 0.1]))
    known = Known(trajectories={"t": [0.15], "u": [5.0, 6.0, 7.0]})
    decisions = choose(pool, known, rules(random_share=0.0, min_apart_ps=0.2), 0)
    assert reasons(decisions) == [SelectionReason.APART, SelectionReason.UNCERTAIN, SelectionReason.QUOTA]
    assert decisions[0].detail == "0.050 ps from another"


def test_a_kind_that_has_enough_waits_for_the_others():
    kinds = [{"V-O": "5"}] * 16 + [{"V-O": "4"}] * 4
    pool = make_pool(
        20,
        scores=np.full(20, 0.5),
        trajectories=[f"t{index}" for index in range(20)],
        kinds=kinds,
        features=np.arange(20.0)[:, None],
    )
    few = choose(pool, Known(), rules(budget=4, random_share=0.0, keep_most_uncertain=1.0), 0)
    assert Counter(kinds[i]["V-O"] for i, found in enumerate(few) if found.accepted) == {"4": 2, "5": 2}
    assert SelectionReason.KIND in reasons(few)
    assert next(found.detail for found in few if found.reason is SelectionReason.KIND) == "V-O 5, at most 2 of 4"
    # with four examples of the other kind there are places left, and none is wasted
    many = choose(pool, Known(), rules(budget=10, random_share=0.0), 0)
    assert Counter(kinds[i]["V-O"] for i, found in enumerate(many) if found.accepted) == {"4": 4, "5": 6}


def test_random_share_is_uniform_over_the_physical_stride_frames():
    streams = [Stream.STRIDE] * 20 + [Stream.LEFT_OVER] * 5
    pool = make_pool(25, scores=np.where(np.arange(25) < 10, 0.01, 0.5), streams=streams)
    drawn = Counter()
    for seed in range(600):
        decisions = choose(pool, Known(), rules(), seed)
        drawn.update(i for i, decision in enumerate(decisions) if decision.reason is SelectionReason.RANDOM)
    assert sum(drawn.values()) == 1200
    # each of 20 frames is expected 60 times, with a standard deviation of about 7.3
    assert all(30 < drawn[index] < 90 for index in range(20))
    assert not any(drawn[index] for index in range(20, 25))


def test_near_duplicates_keep_the_more_uncertain():
    pool = make_pool(
        4,
        scores=np.array([0.3, 0.9, 0.5, 0.6]),
        features=np.array([[0.0], [0.001], [5.0], [9.0]]),
        streams=[Stream.STRIDE] * 4,
    )
    decisions = choose(pool, Known(), rules(random_share=0.0, duplicate_tolerance=0.02), 0)
    assert reasons(decisions)[0] is SelectionReason.DUPLICATE
    assert decisions[1].accepted


def test_nothing_above_the_lower_threshold_chooses_nothing():
    streams = [Stream.STRIDE] * 29 + [Stream.LEFT_OVER]
    decisions = choose(make_pool(30, scores=np.full(30, 0.05), streams=streams), Known(), rules(), 0)
    assert Counter(reasons(decisions)) == {SelectionReason.BELOW: 29, SelectionReason.KNOWN: 1}


def test_all_above_the_window_still_draws_the_random_share():
    decisions = choose(make_pool(30, scores=np.full(30, 5.0)), Known(), rules(), 0)
    assert Counter(reasons(decisions)) == {SelectionReason.RANDOM: 2, SelectionReason.ABOVE: 28}


def test_no_candidate_at_all():
    empty = make_pool(0, features=np.empty((0, 0)), information=None)
    assert choose(empty, Known(), rules(), 0) == []


@pytest.mark.parametrize("column", ["features", "information"])
def test_values_that_are_not_numbers_reject_their_frame_only(column):
    values = np.random.default_rng(0).normal(size=(6, 2) if column == "features" else (6, 2, 3))
    values[2, 1] = np.nan
    pool = make_pool(6, scores=np.full(6, 0.5), **{column: values})
    decisions = choose(pool, Known(), rules(method=Method.LOG_DET), 0)
    assert reasons(decisions).count(SelectionReason.NOT_FINITE) == 1
    assert decisions[2].reason is SelectionReason.NOT_FINITE


def test_what_is_worth_another_judgement():
    pool = make_pool(40, scores=np.linspace(0.05, 1.2, 40), trajectories=[f"t{i}" for i in range(40)])
    decisions = choose(pool, Known(), rules(budget=4, random_share=0.0, max_per_replica=2), 0)
    kept = worth_keeping(pool, decisions, 100)
    window = [i for i in range(40) if 0.1 < pool.scores[i] < 1.0 and not decisions[i].accepted]
    above = [i for i in range(40) if pool.scores[i] >= 1.0]
    assert kept == window[::-1] + above[::-1]
    assert worth_keeping(pool, decisions, 3) == kept[:3]
    assert worth_keeping(pool, decisions, 0) == []


def test_a_trajectory_that_has_given_its_labels_takes_no_places_of_others():
    # The frames of the spent trajectory are the most uncertain; half of all would be cut as less uncertain.
    spent, fresh = ["spent"] * 20, [f"t{i}" for i in range(20)]
    pool = make_pool(40, scores=np.linspace(0.9, 0.2, 40), trajectories=[*spent, *fresh])
    known = Known(trajectories={"spent": [0.0, 1.0]})
    decisions = choose(pool, known, rules(budget=4, random_share=0.0, max_per_replica=2), 0)
    assert reasons(decisions)[:20] == [SelectionReason.QUOTA] * 20
    assert sum(decision.accepted for decision in decisions[20:]) == 4
    assert min(worth_keeping(pool, decisions, 100)) >= 20


def test_columns_of_different_lengths():
    with pytest.raises(InputError, match="3 scores for 4 frames"):
        make_pool(4, scores=np.zeros(3))
