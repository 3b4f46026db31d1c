"""Verdicts on results whose verdict is plain."""

from __future__ import annotations

import pytest

from aiida_nvp.analysis.experiment.composition import glass
from aiida_nvp.analysis.experiment.judge import Result, judge, stops
from aiida_nvp.analysis.experiment.targets import Registry, Target, known_targets
from aiida_nvp.common.errors import InputError

NA_RICH = glass({"Na2O": 45, "V2O5": 5, "P2O5": 50})
V_RICH = glass({"Na2O": 10, "V2O5": 54, "P2O5": 36})
ANCHOR = glass({"Na2O": 35, "V2O5": 25, "P2O5": 40})
VP = glass({"V2O5": 50, "P2O5": 50})


def only(target_id):
    registry = known_targets()
    return registry.model_copy(update={"targets": tuple(t for t in registry.targets if t.id == target_id)})


def own(**values):
    base = {
        "id": "own",
        "quantity": "conductivity",
        "of": "total",
        "value": 1e-6,
        "factor": 3,
        "unit": "S/cm",
        "grade": "A",
        "gates": True,
        "system": "a glass",
        "composition": NA_RICH,
        "temperature": 400,
        "reference": "us",
    }
    return Registry(targets=(Target(**{**base, **values}),), regimes=known_targets().regimes)


def one(result, registry):
    (verdict,) = judge(result, registry)
    return verdict


@pytest.mark.parametrize(
    ("value", "error", "status", "words"),
    [
        (2.82, 0.01, "pass", "measured 2.82 g/cm3 +- 3 %"),
        (2.90, 0.01, "pass", ""),
        (3.10, 0.01, "fail", "allowed 2.735 to 2.905 g/cm3"),
        (2.93, 0.05, "not applicable", "outside of 2.735 to 2.905 g/cm3 by less than the error"),
        (2.89, 0.20, "not applicable", "too large to tell"),
        (2.85, None, "pass", ""),
    ],
)
def test_density_line(value, error, status, words):
    verdict = one(Result("density", "glass", value, error, VP, 300), only("density-v2o5-p2o5"))
    assert verdict.status == status
    assert words in verdict.sentence
    assert verdict.gates == (status == "fail")
    assert verdict.source == "10.1016/j.ssi.2019.115180"


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Result("density", "glass", 2.8, 0.01, ANCHOR, 300), "glasses of V and P only"),
        (Result("density", "glass", 2.8, 0.01, glass({"V2O5": 20, "P2O5": 80}), 300), "shares of 0.35 to 0.9, not 0.2"),
        (Result("density", "glass", 2.8, 0.01, VP, 900), "measured at 298 K, calculated at 900 K"),
        (Result("density", "glass", 2.8, 0.01, VP), "states no temperature"),
    ],
)
def test_other_glasses_and_temperatures_do_not_apply(result, words):
    verdict = one(result, only("density-v2o5-p2o5"))
    assert verdict.status == "not applicable"
    assert words in verdict.sentence
    assert not verdict.gates


def test_total_conductivity_of_a_v_rich_glass_says_nothing_about_sodium():
    for value in (1e-6, 1.0, 1e-12):
        verdict = one(Result("conductivity", "Na", value, value / 10, V_RICH, 400), own(composition=V_RICH))
        assert verdict.status == "not applicable"
        assert "electrons carry the current" in verdict.sentence
        assert "Ungureanu" in verdict.sentence
    stated = own(composition=V_RICH, regime="electronic")
    assert "as the source says" in one(Result("conductivity", "Na", 1e-6, None, V_RICH, 400), stated).sentence
    energy = one(Result("activation_energy", "Na", 0.45, 0.01, V_RICH), only("activation-energy-10Na2O-54V2O5-36P2O5"))
    assert energy.status == "not applicable"


@pytest.mark.parametrize(("value", "status"), [(1e-9, "pass"), (1e-7, "pass"), (3e-7, "fail")])
def test_where_ions_and_electrons_share_it_is_an_upper_bound(value, status):
    verdict = one(
        Result("conductivity", "Na", value, 0.01 * value, ANCHOR, 303), only("conductivity-35Na2O-25V2O5-40P2O5")
    )
    assert verdict.status == status
    assert "at most" in verdict.sentence
    barrier = own(quantity="activation_energy", unit="eV", value=0.6, factor=1.1, composition=ANCHOR, temperature=None)
    assert one(Result("activation_energy", "Na", 0.6, 0.01, ANCHOR), barrier).status == "not applicable"


@pytest.mark.parametrize(
    ("value", "status"), [(1e-6, "pass"), (2.9e-6, "pass"), (3.4e-7, "pass"), (1e-8, "fail"), (1e-5, "fail")]
)
def test_where_ions_carry_it_both_sides_count(value, status):
    verdict = one(Result("conductivity", "Na", value, 0.001 * value, NA_RICH, 400), own())
    assert verdict.status == status
    assert verdict.gates == (status == "fail")
    total = one(Result("conductivity", "total", value, 0.001 * value, NA_RICH, 400), own())
    assert total.status == status


def test_grade_c_fails_without_stopping():
    verdicts = judge(Result("coordination", "P-O", 3.5, 0.01, ANCHOR), known_targets())
    assert [(verdict.status, verdict.gates, verdict.grade) for verdict in verdicts] == [("fail", False, "C")]
    assert stops(verdicts) == []
    hard = judge(Result("bond_length", "V-O basal", 2.2, 0.01, VP), known_targets())
    assert [verdict.target for verdict in stops(hard)] == ["basal-v-o-50V2O5-50P2O5"]


def test_families_and_contradicting_sources():
    verdicts = judge(Result("coordination", "V4+-O", 4.1, 0.05, VP), known_targets())
    assert {verdict.target: verdict.status for verdict in verdicts} == {
        "coordination-v4-aoyagi": "pass",
        "coordination-v4-hoppe": "fail",
    }
    assert stops(verdicts) == []
    assert {
        verdict.status for verdict in judge(Result("coordination", "V4+-O", 4.1, 0.05, ANCHOR), known_targets())
    } == {"not applicable"}


def test_bands_and_bounds():
    q2 = only("q2-of-NaPO3")
    metaphosphate = glass({"Na2O": 1, "P2O5": 1})
    assert one(Result("qn_share", "P Q2", 0.8, 0.05, metaphosphate), q2).status == "pass"
    assert one(Result("qn_share", "P Q2", 0.3, 0.05, metaphosphate), q2).status == "fail"
    near = one(Result("qn_share", "P Q2", 0.52, 0.05, metaphosphate), q2)
    assert (near.status, "at least 0.5" in near.sentence) == ("not applicable", True)
    assert judge(Result("qn_share", "P Q3", 0.1, 0.05, metaphosphate), known_targets()) == []


def test_results_have_to_make_sense():
    with pytest.raises(InputError, match="no quantity of a target"):
        Result("colour", "glass", 1.0, None, VP)
    with pytest.raises(InputError, match="not finite"):
        Result("density", "glass", float("nan"), None, VP)
