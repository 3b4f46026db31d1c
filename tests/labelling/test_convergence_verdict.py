"""Differences by exact answers, and verdicts on errors made by hand."""

import numpy as np
import pytest

from aiida_nvp.common.units import GPA_EV_ANGSTROM3
from aiida_nvp.labelling.convergence_plan import Point, Series, Tolerances
from aiida_nvp.labelling.convergence_verdict import (
    Measured,
    Tried,
    beyond_tolerance,
    errors_against,
    find_warnings,
    finest,
    judge,
    state_note,
)

TOLERANCES = Tolerances(force=0.01, stress_gpa=0.5, energy_per_atom=0.01)
FORCES = np.array([[0.3, 0.0, 0.0], [-0.3, 0.0, 0.0]])
REFERENCE = Measured(-20.0, FORCES, np.zeros(6))


def point(cutoff):
    return Point(cutoff, 8.0, 0.5, (1, 1, 1))


def result(force=0.0, stress_gpa=0.0, energy_per_atom=0.0, **more):
    """A result that differs from the reference by these amounts."""
    forces = FORCES + np.array([[0.0, force, 0.0], [0.0, 0.0, 0.0]])
    return Measured(-20.0 + 2 * energy_per_atom, forces, np.full(6, stress_gpa * GPA_EV_ANGSTROM3), **more)


def series(*results):
    """Points 10, 20, 30 ... Ry; a text stands for one that failed for this reason."""
    entries = [(point(10.0 * number), each) for number, each in enumerate(results, start=1)]
    return [Tried(at, None, each) if isinstance(each, str) else Tried(at, each) for at, each in entries]


def verdict(*results, tolerances=TOLERANCES, name=Series.CUTOFF):
    return judge(name, series(*results), tolerances)


def test_errors_are_exact():
    measured = Measured(
        -20.5, FORCES + np.array([[0.03, 0.0, 0.04], [0.0, 0.0, 0.0]]), np.array([1, -3, 0, 0, 2, 0]) / 1e3
    )
    errors = errors_against(REFERENCE, measured)
    assert errors.energy_per_atom == pytest.approx(0.25)
    assert errors.force_max == pytest.approx(0.05)
    assert errors.force_rms == pytest.approx(np.sqrt(0.0025 / 6))
    assert errors.stress_gpa == pytest.approx(0.003 / GPA_EV_ANGSTROM3)
    assert errors_against(REFERENCE, Measured(-20.0, FORCES)).stress_gpa is None


def test_pressure_is_positive_where_the_cell_pushes_outwards():
    assert Measured(0.0, FORCES, np.array([-3, -3, 0, 9, 9, 9]) * GPA_EV_ANGSTROM3).pressure_gpa == pytest.approx(2)
    assert Measured(0.0, FORCES).pressure_gpa is None


def test_the_cheapest_from_which_on_all_is_within():
    found = verdict(result(force=0.1), result(force=0.009), result(force=0.002), REFERENCE)
    assert found.index == 1
    assert (
        "20 Ry and all stricter settings agree with 40 Ry within the tolerances: force 0.009 eV/angstrom"
        in found.reason
    )
    assert "Looser: 10 Ry differs in force by 0.1 eV/angstrom (tolerance 0.01)." in found.reason


def test_an_accidental_crossing_is_no_convergence():
    found = verdict(result(force=0.001), result(force=0.03), result(force=0.002), REFERENCE)
    assert found.index == 2


def test_a_series_of_which_all_is_within_says_that_nothing_looser_was_tried():
    found = verdict(result(force=0.004), REFERENCE)
    assert found.index == 0
    assert found.reason.endswith("No looser setting was tried.")


@pytest.mark.parametrize(
    ("name", "further"),
    [
        (Series.CUTOFF, "go beyond 30 Ry."),
        (Series.DUAL, "go beyond dual 8."),
        (Series.KPOINTS, "go below 0.5 1/angstrom."),
    ],
)
def test_a_series_that_ends_too_early_says_where_to_go(name, further):
    found = verdict(result(force=0.001), result(force=0.02), REFERENCE, name=name)
    assert (found.index, found.compared) == (None, True)
    assert found.reason.startswith("not converged within the series: ")
    assert found.reason.endswith(further)


@pytest.mark.parametrize(
    ("off", "words"),
    [
        ({"force": 0.011}, "force by 0.011 eV/angstrom (tolerance 0.01)"),
        ({"stress_gpa": 0.6}, "stress by 0.6 GPa (tolerance 0.5)"),
        ({"energy_per_atom": 0.02}, "energy by 0.02 eV/atom (tolerance 0.01)"),
    ],
)
def test_each_quantity_alone_can_be_too_far_off(off, words):
    found = verdict(result(**off), REFERENCE)
    assert found.index is None
    assert words in found.reason
    loose = Tolerances(force=1, stress_gpa=None, energy_per_atom=None)
    assert verdict(result(**off), REFERENCE, tolerances=loose).index == 0


def test_a_tolerance_that_is_just_met_is_met():
    still, moved = np.zeros((2, 3)), np.array([[0.25, 0.0, 0.0], [0.0, 0.0, 0.0]])
    results = Measured(0.0, moved), Measured(0.0, still)
    assert verdict(*results, tolerances=Tolerances(force=0.25)).index == 0
    assert verdict(*results, tolerances=Tolerances(force=0.2499)).index is None


def test_below_a_point_that_failed_nothing_is_proposed():
    found = verdict(result(), "no memory.", result(force=0.002), REFERENCE)
    assert found.index == 2
    assert "20 Ry failed (no memory), so that nothing is known of it" in found.reason
    assert verdict(result(), "no memory.", REFERENCE).index is None


def test_without_reference_nothing_is_compared():
    found = verdict(result(), result(), "no memory.")
    assert (found.index, found.compared) == (None, False)
    assert found.reason == "nothing can be compared: the reference, 30 Ry, failed: no memory."


def test_another_magnetic_state_is_named_as_the_cause():
    reference = result(magnetisation=2.1)
    other = result(force=0.2, magnetisation=0.0)
    assert "another magnetic state than the reference (0.00 against 2.10" in verdict(other, reference).reason
    assert state_note(reference, result(magnetisation=2.0)) == ""
    assert state_note(reference, result()) == ""


def test_forces_that_vanish_by_symmetry_are_told():
    still = Measured(-20.0, np.full((2, 3), 1e-4), np.zeros(6))
    (warning,) = find_warnings(series(still, still), TOLERANCES)
    assert "too small to test a tolerance of 0.01" in warning
    assert find_warnings(series(result(), REFERENCE), TOLERANCES) == []
    assert find_warnings(series("failed", "failed"), TOLERANCES) == []


def test_a_stress_that_is_not_there_is_told():
    without = Measured(-20.0, FORCES)
    assert "no stress" in find_warnings(series(without, REFERENCE), TOLERANCES)[0]
    assert find_warnings(series(without, REFERENCE), Tolerances(stress_gpa=None)) == []


def test_the_finest_of_all_series_adds_what_each_reference_changes():
    together = finest(
        REFERENCE, [result(force=0.02, stress_gpa=0.3), result(force=0.03, energy_per_atom=0.1), REFERENCE]
    )
    errors = errors_against(REFERENCE, together)
    assert errors.force_max == pytest.approx(0.05)
    assert errors.stress_gpa == pytest.approx(0.3)
    assert errors.energy_per_atom == pytest.approx(0.1)
    assert finest(REFERENCE, [Measured(-20.0, FORCES)]).stress is None


def test_what_lies_beyond_its_tolerance_is_named_alone():
    errors = errors_against(REFERENCE, result(force=0.02, stress_gpa=0.6, energy_per_atom=0.001))
    words = "force by 0.02 eV/angstrom (tolerance 0.01), stress by 0.6 GPa (tolerance 0.5)"
    assert beyond_tolerance(errors, TOLERANCES) == words
    assert beyond_tolerance(errors, Tolerances(force=0.1, stress_gpa=None)) == ""
