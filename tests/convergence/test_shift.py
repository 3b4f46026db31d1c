"""Changes against noise: exact in simple cases, honest in random ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind, ttest_rel

from aiida_nvp.convergence.evidence import Sample, StopRules
from aiida_nvp.convergence.shift import observable_names, observables_settled, shift

RULES = StopRules(target_force_error=0.1, max_cycles=9, max_labels=99, watch=True)


def samples(values, strata=None):
    strata = strata or ["glass"] * len(values)
    return [Sample(stratum, {"x": value}) for stratum, value in zip(strata, values, strict=True)]


def test_one_stratum_is_the_t_test():
    one, other = [1.0, 1.4, 0.9, 1.2], [1.5, 1.9, 1.6]
    found = shift("x", samples(one), samples(other))
    assert found.change[0] == pytest.approx(np.mean(other) - np.mean(one))
    assert found.freedom == 5
    assert found.change[0] / found.error[0] == pytest.approx(ttest_ind(other, one).statistic)


def test_single_replicas_of_many_compositions_are_the_paired_test():
    rng = np.random.default_rng(0)
    levels = rng.normal(5, 3, 6)
    one, other = levels + rng.normal(0, 0.1, 6), levels + 0.3 + rng.normal(0, 0.1, 6)
    strata = [str(index) for index in range(6)]
    found = shift("x", samples(one, strata), samples(other, strata))
    assert found.freedom == 5
    assert found.change[0] / found.error[0] == pytest.approx(ttest_rel(other, one).statistic)


@given(st.floats(-50, 50), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_differences_between_compositions_are_no_noise(offset, seed):
    rng = np.random.default_rng(seed)
    one, other = rng.normal(0, 1, 6), rng.normal(0, 1, 6)
    strata = ["a", "a", "a", "b", "b", "b"]
    lifted = np.array([0, 0, 0, offset, offset, offset])
    plain, moved = (shift("x", samples(one + add, strata), samples(other + add, strata)) for add in (0, lifted))
    np.testing.assert_allclose(moved.change, plain.change, atol=1e-9)
    np.testing.assert_allclose(moved.error, plain.error, atol=1e-9)


def test_strata_of_one_cycle_only_do_not_count():
    found = shift("x", samples([1, 1, 9], ["a", "a", "b"]), samples([2, 2, 7], ["a", "a", "c"]))
    assert found.change[0] == pytest.approx(1.0)
    assert shift("x", samples([1], ["a"]), samples([2], ["b"])) is None
    assert shift("x", samples([1], ["a"]), samples([2], ["a"])) is None


def test_chance_seldom_looks_like_a_change():
    """Of settled observables, a share of about ``risk`` is called unsettled."""
    rng = np.random.default_rng(7)
    rules = StopRules(target_force_error=0.1, max_cycles=9, max_labels=99, watch=True, risk=0.1, tolerance=0.0)
    alarms = 0
    for _ in range(400):
        before, now = (samples(list(rng.normal(0, 1, (4, 12)))) for _ in range(2))
        alarms += not observables_settled(before, now, rules)[0].passed
    assert 0.03 * 400 < alarms < 0.15 * 400


def test_curves_are_compared_as_far_as_all_reach():
    before = [Sample("a", {"g": [0.0, 1.0, 2.0]}), Sample("a", {"g": [0.0, 1.1]})]
    now = [Sample("a", {"g": [0.0, 1.0]}), Sample("a", {"g": [0.0, 1.2, 9.0]})]
    assert len(shift("g", before, now).change) == 2
    (criterion,) = observables_settled(before, now, RULES)
    assert criterion.passed


def test_a_change_that_does_not_matter_passes_whatever_its_noise():
    before, now = samples([3.00, 3.00, 3.001]), samples([3.03, 3.03, 3.031])
    (criterion,) = observables_settled(before, now, RULES)
    assert criterion.passed
    assert criterion.limit == pytest.approx(0.02 * 3.0155, rel=1e-2)
    strict = StopRules(target_force_error=0.1, max_cycles=9, max_labels=99, watch=True, tolerance=0.001)
    assert not observables_settled(before, now, strict)[0].passed


def test_without_replicas_there_is_no_evidence():
    assert not observables_settled(None, samples([1.0]), RULES)[0].passed
    assert not observables_settled(samples([1.0]), samples([1.0]), RULES)[0].passed
    assert observable_names([*samples([1.0]), Sample("a", {"y": 1.0})]) == ["x", "y"]
