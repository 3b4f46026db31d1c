from dataclasses import replace

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import Verdict
from aiida_nvp.convergence.criteria import assess_history, cycle_criteria
from aiida_nvp.convergence.evidence import CycleEvidence, Sample, StopRules, Used

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


def assess(history, labels, core_hours=None, rules=RULES):
    return assess_history(history, Used(len(history), labels, core_hours), rules)


def names(criteria, passed):
    return {criterion.name for criterion in criteria if criterion.passed is passed}


def test_two_good_cycles_in_a_row_converge():
    # the error of the first good cycle still fell by 80 %, so its own assessment fails on one criterion
    assert names(cycle_criteria([FIRST, GOOD], RULES), False) == {"force error settled"}
    assert assess([FIRST, GOOD, GOOD], 90).verdict is Verdict.CONTINUE
    found = assess([FIRST, GOOD, GOOD, GOOD], 90)
    assert found.verdict is Verdict.CONVERGED
    assert all(criterion.passed for criterion in found.criteria)


def test_a_bad_cycle_breaks_the_row():
    history = [FIRST, GOOD, GOOD, replace(GOOD, breaks=1), GOOD]
    assert assess(history, 90).verdict is Verdict.CONTINUE


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


def test_a_named_species_is_judged_on_its_own():
    rules = replace(RULES, species=("V",))
    bad = replace(GOOD, coverage={"V": 0.7, "O": 0.9}, scales={"V": 1.5, "O": 1.1})
    assert names(cycle_criteria([FIRST, GOOD, bad], rules), False) == {"coverage of V", "calibration settled of V"}
    bad = replace(GOOD, coverage={"V": 0.9, "O": 0.7})
    assert names(cycle_criteria([FIRST, GOOD, bad], rules), False) == {"coverage"}
    # No label with the species is no evidence for it.
    gone = replace(GOOD, coverage={"O": 0.9}, scales={"O": 1.1})
    assert names(cycle_criteria([FIRST, GOOD, gone], rules), False) == {"coverage of V", "calibration settled of V"}


def test_coverage_of_few_atoms_is_known_to_within_its_error():
    seven_of_ten = replace(GOOD, coverage={"V": 0.75}, atoms={"V": 10})
    assert names(cycle_criteria([FIRST, GOOD, seven_of_ten], RULES), False) == set()
    thousand = replace(GOOD, coverage={"V": 0.75}, atoms={"V": 1000})
    assert names(cycle_criteria([FIRST, GOOD, thousand], RULES), False) == {"coverage"}


def test_information_goes_before_excess():
    first, last = replace(FIRST, information=40.0), replace(GOOD, information=8.0)
    criteria = {c.name: c for c in cycle_criteria([first, GOOD, last], RULES)}
    assert criteria["gain"].value == pytest.approx(0.2)
    assert "information" in criteria["gain"].sentence


def test_watched_observables_have_to_stay():
    rules = replace(RULES, watch=True)
    rng = np.random.default_rng(1)

    def replicas(mean):
        return [Sample("glass", {"V-O coordination": mean + rng.normal(0, 0.1)}) for _ in range(8)]

    before, same, other = (replace(GOOD, samples=replicas(mean)) for mean in (4.5, 4.5, 5.5))
    assert names(cycle_criteria([FIRST, before, same], rules), False) == set()
    assert names(cycle_criteria([FIRST, before, other], rules), False) == {"V-O coordination settled"}
    assert names(cycle_criteria([FIRST, GOOD, same], rules), False) == {"observables settled"}
    assert assess([FIRST, before, same, same], 90, rules=rules).verdict is Verdict.CONVERGED


def test_cycles_before_an_extension_do_not_count():
    history = [FIRST, GOOD, GOOD, GOOD]
    assert assess(history, 90, rules=replace(RULES, counts_from=3)).verdict is Verdict.CONTINUE
    assert assess([*history, GOOD], 90, rules=replace(RULES, counts_from=3)).verdict is Verdict.CONVERGED


def test_limits_themselves_pass():
    edge = replace(GOOD, uncertain_frames=4, force_error=0.12, mean_excess=0.04, coverage={"V": 0.85, "O": 0.95})
    criteria = cycle_criteria([FIRST, edge, edge], RULES)
    assert names(criteria, False) == set()


def test_budgets_are_verdicts():
    assert assess([FIRST], 500).verdict is Verdict.LABELS_USED
    assert assess([FIRST], 499).verdict is Verdict.CONTINUE
    assert assess([FIRST] * 10, 100).verdict is Verdict.CYCLES_USED
    assert assess([FIRST, replace(FIRST, chosen=0)], 100).verdict is Verdict.NO_CANDIDATES
    hours = replace(RULES, max_core_hours=2.0)
    assert assess([FIRST], 100, 1.9, hours).verdict is Verdict.CONTINUE
    found = assess([FIRST], 100, 2.0, hours)
    assert found.verdict is Verdict.CORE_HOURS_USED
    assert found.sentence == "2 core hours are used; the budget is 2."
    assert [(budget.name, budget.used) for budget in found.budgets] == [
        ("labels", 100),
        ("cycles", 1),
        ("core hours", 2),
    ]


def test_convergence_outranks_budgets():
    assert assess([FIRST, GOOD, GOOD, GOOD], 500).verdict is Verdict.CONVERGED


def test_no_history():
    with pytest.raises(InputError, match="no cycle"):
        assess([], 0)


@pytest.mark.parametrize("change", [{"target_force_error": 0.0}, {"max_cycles": 0}, {"max_labels": 0}, {"in_a_row": 0}])
def test_impossible_rules(change):
    with pytest.raises(InputError):
        replace(RULES, **change)
