import copy

import pytest

from aiida_nvp.labelling.scf_remedies import REMEDIES, asked_parameters, scf_remedy

START = {
    "CONTROL": {"calculation": "scf"},
    "SYSTEM": {"degauss": 0.01, "nspin": 2, "starting_magnetization": {"V4": 0.3, "V9": -0.3, "Fe": 0.6}},
    "ELECTRONS": {"mixing_beta": 0.3, "mixing_ndim": 8},
}


def after(number):
    """The parameters once ``number`` remedies were taken one after another."""
    parameters = START
    for attempt in range(number):
        parameters = scf_remedy(attempt, parameters).parameters
    return parameters


def test_the_order_is_the_documented_one():
    names = [scf_remedy(attempt, START).name for attempt in range(REMEDIES)]
    assert names == [
        "gentler mixing",
        "higher starting magnetisation",
        "conjugate-gradient diagonalisation",
        "detour over a wider smearing",
    ]
    assert scf_remedy(REMEDIES, START) is None
    assert [scf_remedy(attempt, START).detour for attempt in range(REMEDIES)] == [False, False, False, True]


def test_each_remedy_keeps_those_before_it():
    assert after(1)["ELECTRONS"] == {"mixing_beta": pytest.approx(0.15), "mixing_ndim": 16}
    assert after(2)["SYSTEM"]["starting_magnetization"] == {"V4": 0.6, "V9": -0.6, "Fe": 0.9}
    assert after(2)["ELECTRONS"]["mixing_beta"] == pytest.approx(0.15)
    assert after(3)["ELECTRONS"]["diagonalization"] == "cg"
    assert after(4)["SYSTEM"]["degauss"] == pytest.approx(0.04)


def test_only_the_detour_leaves_the_level_of_theory():
    for attempt in range(REMEDIES - 1):
        assert scf_remedy(attempt, START).parameters["SYSTEM"]["degauss"] == 0.01


def test_what_failed_is_not_changed():
    before = copy.deepcopy(START)
    for attempt in range(REMEDIES):
        scf_remedy(attempt, START)
    assert before == START


def test_a_cell_without_spin_has_nothing_to_raise():
    plain = {"SYSTEM": {"degauss": 0.01}, "ELECTRONS": {}}
    assert scf_remedy(1, plain).parameters == plain


@pytest.mark.parametrize("number", [2, 3])
def test_a_remedied_start_is_read_as_the_one_that_was_asked_for(number):
    found = asked_parameters(START, after(number))
    assert found["SYSTEM"] == START["SYSTEM"]
    assert found["ELECTRONS"] == after(number)["ELECTRONS"]


def test_another_start_and_a_detour_are_left_as_they_are():
    other = copy.deepcopy(START)
    other["SYSTEM"]["starting_magnetization"]["V4"] = 0.5
    assert asked_parameters(START, other) == other
    assert asked_parameters({}, other) == other
    assert asked_parameters(START, after(4))["SYSTEM"]["degauss"] == pytest.approx(0.04)
