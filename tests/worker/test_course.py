import numpy as np
import pytest

from aiida_nvp.common.stages import Stage
from aiida_nvp.worker.course import Course
from aiida_nvp.worker.settings import Dynamics


def _course(*stages, **dynamics):
    return Course.of([Stage.model_validate(stage) for stage in stages], Dynamics(**dynamics))


def test_ramps_and_holds_by_hand():
    course = _course(
        {"steps": 2, "temperature_from": 300, "temperature_to": 500}, {"steps": 1, "temperature_from": 500}
    )
    assert [course.at(step).temperature for step in range(4)] == pytest.approx([300, 400, 500, 500])
    assert [course.stage_at(step) for step in range(4)] == [0, 0, 0, 1]
    assert course.total == 3


def test_time_follows_the_time_step_of_each_stage():
    course = _course({"steps": 10, "temperature_from": 1, "timestep_fs": 0.5}, {"steps": 10, "temperature_from": 1})
    assert [course.time_ps(step) for step in (0, 10, 11, 20)] == [0, 0.005, 0.006, 0.015]
    assert [course.at(step).timestep_fs for step in (10, 11)] == [0.5, 1.0]
    assert course.at(11, halvings=2).timestep_fs == 0.25


def test_each_ensemble_brings_what_it_needs():
    course = _course(
        {"steps": 1, "temperature_from": 1, "ensemble": "nve"},
        {"steps": 1, "temperature_from": 1},
        {"steps": 1, "temperature_from": 1, "friction_per_fs": 0.5},
        {"steps": 1, "temperature_from": 1, "thermostat": "bussi", "thermostat_time_fs": 70},
        {"steps": 2, "temperature_from": 1, "ensemble": "npt", "pressure_from_gpa": 1, "pressure_to_gpa": 3},
        friction_per_fs=0.1,
    )
    found = [course.at(step) for step in range(1, 7)]
    assert [each.friction_per_fs for each in found] == [0, 0.1, 0.5, 0, 0.1, 0.1]
    assert [each.rescaling_fs for each in found] == [np.inf, np.inf, np.inf, 70, np.inf, np.inf]
    assert [each.pressure_gpa for each in found] == pytest.approx([np.nan] * 4 + [2, 3], nan_ok=True)
