from dataclasses import replace

import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import Verdict
from aiida_nvp.convergence.criteria import CycleEvidence, StopRules, assess_history, cycle_criteria

RULES = StopRules(target_force_error=0.12, max_cycles=10, max_labels=500)
FIRST = CycleEvidence(
    fresh_frames=200,
    uncertain_frames=150,
    breaks=3,
    chosen=24,
    mean_excess=0.4,
    force_error=0.5,
    scales={"V": 1.0, "O": 1.1},
)
GOOD = CycleEvidence(
    fresh_frames=200,
    uncertain_frames=2,
    breaks=0,
    chosen=4,
    mean_excess=0.01,
    force_error=0.10,
    coverage={"V": 0.9, "O": 0.88, "all": 0.2},
    scales={"V": 1.0, "O": 1.1},
)


def names(criteria, passed):
    return {criterion.name for criterion in criteria if criterion.passed is passed}


def test_two_good_cycles_in_a_row_converge():
    # the error of the first good cycle still fell by 80 %, so its own assessment fails on one criterion
    assert names(cycle_criteria([FIRST, GOOD], RULES), False) == {"force error settled"}
    assert assess_history([FIRST, GOOD, GOOD], 90, RULES).verdict is Verdict.CONTINUE
    found = assess_history([FIRST, GOOD, GOOD, GOOD], 90, RULES)
    assert found.verdict is Verdict.CONVERGED
    assert all(criterion.passed for criterion in found.criteria)


def test_a_bad_cycle_breaks_the_row():
    history = [FIRST, GOOD, GOOD, replace(GOOD, breaks=1), GOOD]
    assert assess_history(history, 90, RULES).verdict is Verdict.CONTINUE


@pytest.mark.parametrize(
    ("change", "name", "value"),
    [
        ({"uncertain_frames": 5}, "uncertain share", 0.025),
        ({"fresh_frames": 0, "uncertain_frames": 0}, "uncertain share", None),
        ({"breaks": 2}, "breaks", 2.0),
        ({"force_error": 0.121}, "force error", 0.121),
        ({"force_error": None}, "force error", None),
        ({"force_error": 0.09}, "force error settled", pytest.approx(0.1)),
        ({"coverage": {"V": 0.7, "O": 0.9}}, "coverage", 0.7),
        ({"coverage": {"V": 0.9, "O": 0.99}}, "coverage", 0.99),
        ({"coverage": {"all": 0.9}}, "coverage", None),
        ({"scales": {"V": 1.5, "O": 1.1}}, "calibration settled", 1.5),
        ({"scales": {"V": 1.0, "O": 0.55}}, "calibration settled", 0.5),
        ({"scales": {}}, "calibration settled", None),
        ({"mean_excess": 0.08}, "gain", pytest.approx(0.2)),
        ({"mean_excess": None}, "gain", None),
    ],
)
def test_each_criterion_fails_on_its_own_evidence(change, name, value):
    criteria = {c.name: c for c in cycle_criteria([FIRST, GOOD, replace(GOOD, **change)], RULES)}
    assert not criteria[name].passed
    assert criteria[name].value == value
    assert criteria[name].sentence


def test_limits_themselves_pass():
    edge = replace(GOOD, uncertain_frames=4, force_error=0.12, mean_excess=0.04, coverage={"V": 0.85, "O": 0.95})
    criteria = cycle_criteria([FIRST, edge, edge], RULES)
    assert names(criteria, False) == set()


def test_budgets_are_verdicts():
    assert assess_history([FIRST], 500, RULES).verdict is Verdict.LABELS_USED
    assert assess_history([FIRST], 499, RULES).verdict is Verdict.CONTINUE
    assert assess_history([FIRST] * 10, 100, RULES).verdict is Verdict.CYCLES_USED
    assert assess_history([FIRST, replace(FIRST, chosen=0)], 100, RULES).verdict is Verdict.NO_CANDIDATES


def test_convergence_outranks_budgets():
    assert assess_history([FIRST, GOOD, GOOD, GOOD], 500, RULES).verdict is Verdict.CONVERGED


def test_no_history():
    with pytest.raises(InputError, match="no cycle"):
        assess_history([], 0, RULES)


@pytest.mark.parametrize("change", [{"target_force_error": 0.0}, {"max_cycles": 0}, {"max_labels": 0}, {"in_a_row": 0}])
def test_impossible_rules(change):
    with pytest.raises(InputError):
        replace(RULES, **change)
