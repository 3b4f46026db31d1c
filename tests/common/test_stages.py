import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aiida_nvp.common.stages import Stage


@pytest.mark.parametrize(
    ("length", "timestep", "steps"),
    [
        ({"steps": 7}, 1.0, 7),
        ({"duration_ps": 2.5}, 1.0, 2500),
        ({"duration_ps": 2.5}, 2.0, 1250),
        ({"duration_ps": 1e-9}, 1.0, 1),
        ({"rate_k_per_ps": 100.0}, 1.0, 27000),
        ({"rate_k_per_ps": 100.0, "timestep_fs": 0.5}, 1.0, 54000),
    ],
)
def test_a_length_in_steps_in_time_or_by_rate(length, timestep, steps):
    assert Stage(temperature_from=3000, temperature_to=300, **length).length(timestep) == steps


@given(st.floats(1, 1e4), st.floats(1, 5000), st.floats(1, 5000), st.floats(0.1, 4))
def test_a_quench_keeps_its_rate(rate, begin, end, timestep):
    if begin == end:
        return
    stage = Stage(rate_k_per_ps=rate, temperature_from=begin, temperature_to=end)
    duration_ps = stage.length(timestep) * timestep / 1000
    assert abs(duration_ps - abs(end - begin) / rate) <= timestep / 1000


def test_where_no_end_is_given_it_holds():
    stage = Stage(steps=1, temperature_from=300, pressure_from_gpa=2, ensemble="npt")
    assert (stage.temperature_to, stage.pressure_to_gpa) == (300, 2)
    assert Stage.model_validate(stage.model_dump(mode="json")) == stage


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "exactly one of steps"),
        ({"steps": 1, "duration_ps": 1}, "exactly one of steps"),
        ({"rate_k_per_ps": 5}, "two different temperatures"),
        ({"steps": 1, "pressure_from_gpa": 1}, "ensemble: npt"),
        ({"steps": 1, "ensemble": "nve", "friction_per_fs": 0.1}, "Langevin"),
        ({"steps": 1, "thermostat": "bussi", "friction_per_fs": 0.1}, "Langevin"),
        ({"steps": 1, "ensemble": "npzt"}, "'nve', 'nvt' or 'npt'"),
    ],
)
def test_what_contradicts_itself_is_refused(values, message):
    with pytest.raises(ValidationError, match=message):
        Stage(temperature_from=300, **values)
