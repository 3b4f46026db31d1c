"""Which points a convergence test has, and what is no test."""

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.convergence_plan import (
    Series,
    combination,
    distinct_points,
    make_series,
    nearest,
    read_plan,
)
from aiida_nvp.labelling.settings import LabelSettings

CUBE = np.eye(3) * 5.0
PLAN = {
    "cutoffs_ry": [30, 45, 60],
    "duals": [4, 8],
    "k_distances": [1.3, 0.65, 0.45],
    "base_cutoff_ry": 45,
    "base_dual": 8,
}


def plan(**changes):
    return read_plan({**PLAN, **changes})


def test_the_series_cross_in_one_point():
    series = make_series(plan(), CUBE)
    # 2 pi / 5 is 1.257 per angstrom, so 1, 2 and 3 points along each axis.
    assert [point.mesh for point in series[Series.KPOINTS]] == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    assert [point.cutoff_wfc_ry for point in series[Series.CUTOFF]] == [30, 45, 60]
    assert [point.cutoff_rho_ry for point in series[Series.CUTOFF]] == [240, 360, 480]
    assert [point.cutoff_rho_ry for point in series[Series.DUAL]] == [180, 360]
    assert {point.mesh for name in (Series.CUTOFF, Series.DUAL) for point in series[name]} == {(1, 1, 1)}
    base = series[Series.CUTOFF][1]
    assert base == series[Series.DUAL][1] == series[Series.KPOINTS][0]
    assert len(distinct_points(series)) == 3 + 2 + 3 - 2


def test_distances_that_give_one_mesh_are_one_point_under_the_coarsest():
    series = make_series(plan(k_distances=[0.8, 0.7, 0.45]), CUBE)
    assert [(point.k_distance, point.mesh[0]) for point in series[Series.KPOINTS]] == [(0.8, 2), (0.45, 3)]


def test_the_key_is_a_name_that_aiida_takes():
    series = make_series(plan(cutoffs_ry=[45, 47.5]), CUBE)
    keys = list(distinct_points(series))
    assert keys[:2] == ["cutoff_45_dual_8_mesh_1_1_1", "cutoff_47p5_dual_8_mesh_1_1_1"]
    assert all(key.isidentifier() for key in keys)


def test_a_point_changes_its_setting_and_nothing_else():
    base = LabelSettings(degauss_ry=0.02, mode="relax", cutoff_wfc_ry=30, cutoff_rho_ry=240, start="valence")
    series = make_series(plan(), CUBE)
    loose, dense = series[Series.DUAL][0].settings(base), series[Series.KPOINTS][1].settings(base)
    assert (loose.cutoff_wfc_ry, loose.cutoff_rho_ry, loose.kpoints) == (45, 180, "gamma")
    assert (dense.cutoff_rho_ry, dense.kpoints) == (360, (2, 2, 2))
    changed = {"mode", "cutoff_wfc_ry", "cutoff_rho_ry", "kpoints", "stress_converged"}
    assert loose.model_dump(exclude=changed) == base.model_dump(exclude=changed)
    assert loose.stress_converged
    assert loose.mode.value == "single_point"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cutoffs_ry": []}, "cutoffs_ry: nothing given; give two values or more"),
        ({"cutoffs_ry": [45]}, "cutoffs_ry: 45 given; give two values or more, the last is the reference"),
        ({"cutoffs_ry": [45, 30, 60]}, "cutoffs_ry: 45,30,60 does not rise; write it as 30,45,60"),
        ({"cutoffs_ry": [45, 45]}, "cutoffs_ry: 45,45 does not rise; write it as 45"),
        ({"cutoffs_ry": [-45, 45]}, "cutoffs_ry.0: Input should be greater than 0"),
        ({"cutoffs_ry": [45, float("inf")]}, "cutoffs_ry.1: Input should be a finite number"),
        ({"duals": [3, 8]}, "duals.0: Input should be greater than or equal to 4"),
        ({"duals": [8, 4]}, "duals: 8,4 does not rise"),
        ({"duals": [8]}, "duals: 8 given; give two values or more"),
        ({"duals": [], "base_dual": 3}, "base_dual: Input should be greater than or equal to 4"),
        ({"k_distances": [0.3, 0.5]}, "k_distances: 0.3,0.5 does not go from coarse to fine; write it as 0.5,0.3"),
        ({"k_distances": [0.5, 0.01]}, "k_distances.1: Input should be greater than 0.02"),
        ({"base_cutoff_ry": 50}, "base_cutoff_ry 50 has to be one of 30,45,60"),
        ({"tolerances": {"force": 0}}, "tolerances.force: Input should be greater than 0"),
        ({"cutofs": [1]}, "cutofs: Extra inputs"),
    ],
)
def test_what_is_no_test_is_said_in_one_sentence(changes, words):
    with pytest.raises(InputError) as error:
        plan(**changes)
    assert str(error.value).startswith("convergence test: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_one_mesh_for_all_distances_is_refused():
    with pytest.raises(InputError, match=r"1\.5,1\.3 all give the mesh 1x1x1 in this cell; add a smaller distance"):
        make_series(plan(k_distances=[1.5, 1.3]), CUBE)


def test_nearest_takes_the_stricter_of_two_and_the_wish_itself_where_nothing_is_given():
    assert nearest([4, 8, 12], 10) == 12
    assert nearest([4, 8, 12], 9) == 8
    assert nearest([], 9) == 9


def test_duals_may_be_left_out_and_stay_at_the_base():
    series = make_series(plan(duals=[], base_dual=10), CUBE)
    assert list(series) == [Series.CUTOFF, Series.KPOINTS]
    assert {point.dual for points in series.values() for point in points} == {10}


def test_what_is_proposed_is_a_point_with_exactly_its_cutoffs():
    """A density cutoff that is no whole multiple comes back as it was, so that a label finds the calculation."""
    settings = {"cutoff_wfc_ry": 30, "cutoff_rho_ry": 320, "kpoints": {"distance_per_angstrom": 0.65}}
    point = combination(settings, CUBE)
    assert (point.cutoff_wfc_ry, point.cutoff_rho_ry, point.mesh) == (30, 320, (2, 2, 2))
    assert point.key.isidentifier()
