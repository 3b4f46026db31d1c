import json
import shutil

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import read_trajectory
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.worker.job import Job
from aiida_nvp.worker.main import run_stage
from aiida_nvp.worker.produce import produce
from aiida_nvp.worker.settings import ProduceSettings, read_settings

SCHEDULE = [
    {"name": "heat", "steps": 40, "temperature_from": 100, "temperature_to": 400},
    {"name": "hold", "steps": 60, "temperature_from": 400, "temperature_to": 400},
]


def _job(folder, **content):
    folder.mkdir(exist_ok=True)
    return Job(folder, {"seed": 4, **content})


def _settings(**changes):
    values = {"schedule": SCHEDULE, "dump_every": 5, "thermo_every": 5, "committee_every": 20, "checkpoint_every": 30}
    return read_settings(ProduceSettings, {**values, **changes})


def _arrays(folder):
    with np.load(folder / "arrays.npz") as stored:
        return {name: stored[name] for name in stored.files}


def test_a_whole_run(tmp_path, crystals, pair_committee):
    output = produce(_job(tmp_path), _settings(), crystals(), pair_committee())
    assert output["stop_reason"] == StopReason.COMPLETED
    assert [stage["steps_done"] for stage in output["stages"]] == [40, 60]
    thermo = _arrays(tmp_path)
    assert list(thermo["step"]) == list(range(0, 101, 5))
    assert list(thermo["uncertainty_step"]) == [0, 20, 40, 60, 80, 100]
    assert list(np.unique(thermo["stage"])) == [0, 1]
    trajectory = read_trajectory(tmp_path / "trajectory.h5")
    assert list(trajectory.step) == list(range(0, 101, 5))
    assert trajectory.time_ps[-1] == pytest.approx(0.1)
    assert list(trajectory.stage[[8, 9]]) == [0, 1]
    assert 1.5 < output["shortest_distance"] < 2.3
    assert output["uncertainty_max"] >= output["uncertainty_mean"] > 0


def test_calibration_scales_the_uncertainty(tmp_path, crystals, pair_committee):
    raw = produce(_job(tmp_path / "raw"), _settings(), crystals(), pair_committee())
    job = _job(tmp_path / "scaled", calibration={"scales": {"O": 2.0}})
    scaled = produce(job, _settings(), crystals(), pair_committee())
    assert scaled["uncertainty_max"] == pytest.approx(2 * raw["uncertainty_max"])
    assert scaled["calibrated"]


def test_stopped_and_resumed_equals_uninterrupted(tmp_path, crystals, pair_committee, pair_member):
    whole = produce(_job(tmp_path / "whole"), _settings(), crystals(), pair_committee())
    job = _job(tmp_path / "parts")

    def stop(calls):
        job.stop_requested = calls >= 50

    stopped = produce(
        job, _settings(), crystals(), pair_committee(pair_member(0.2, before_call=stop), *_others(pair_member))
    )
    assert stopped["stop_reason"] == StopReason.WALLTIME
    assert 0 < stopped["steps"] < 100
    resumed = produce(_job(tmp_path / "parts"), _settings(), crystals(), pair_committee())
    assert resumed["restarted_from_step"] == stopped["steps"]
    _assert_same_run(tmp_path / "whole", tmp_path / "parts", whole, resumed)


def test_killed_and_resumed_equals_uninterrupted(tmp_path, crystals, pair_committee, pair_member):
    whole = produce(_job(tmp_path / "whole"), _settings(), crystals(), pair_committee())

    def die(calls):
        if calls == 80:
            raise MemoryError

    killed = pair_committee(pair_member(0.2, before_call=die), *_others(pair_member))
    with pytest.raises(MemoryError):
        produce(_job(tmp_path / "parts"), _settings(), crystals(), killed)
    assert len(read_trajectory(tmp_path / "parts" / "trajectory.h5")) > 1
    resumed = produce(_job(tmp_path / "parts"), _settings(), crystals(), pair_committee())
    assert resumed["restarted_from_step"] == 60
    _assert_same_run(tmp_path / "whole", tmp_path / "parts", whole, resumed)


def _others(pair_member):
    return pair_member(0.21), pair_member(0.19)


def _assert_same_run(one, other, whole, resumed):
    first, second = read_trajectory(one / "trajectory.h5"), read_trajectory(other / "trajectory.h5")
    assert (first.step == second.step).all()
    assert (first.positions == second.positions).all()
    for name, values in _arrays(one).items():
        assert (values == _arrays(other)[name]).all()
    for key in ("shortest_distance", "uncertainty_max", "stages", "stop_reason"):
        assert whole[key] == resumed[key]


LEGS = [
    {"name": "squeeze", "steps": 40, "temperature_from": 300, "ensemble": "npt", "pressure_from_gpa": 10,
     "barostat_time_fs": 50, "compressibility_per_gpa": 0.005},
    {"name": "free", "steps": 40, "temperature_from": 300, "ensemble": "nve", "timestep_fs": 2.0},
]  # fmt: skip


def test_legs_of_different_ensembles(tmp_path, crystals, pair_committee):
    frames = crystals()
    output = produce(_job(tmp_path), _settings(schedule=LEGS), frames, pair_committee())
    assert output["simulated_ps"] == pytest.approx(0.12)
    trajectory = read_trajectory(tmp_path / "trajectory.h5")
    volumes = np.linalg.det(trajectory.cells)
    assert volumes[8] < 0.99 * volumes[0]
    assert volumes[8:] == pytest.approx(np.full(9, volumes[8]))
    thermo = _arrays(tmp_path)
    grams = 32 * 15.999 * 1.66054 / volumes
    assert thermo["density_g_cm3"] == pytest.approx(grams, rel=1e-4)
    assert [stage["mean_density_g_cm3"] for stage in output["stages"]] == pytest.approx(
        [thermo["density_g_cm3"][:9].mean(), thermo["density_g_cm3"][9:].mean()]
    )


def test_legs_resumed_equal_uninterrupted(tmp_path, crystals, pair_committee, pair_member):
    settings = _settings(schedule=LEGS, checkpoint_every=25)
    whole = produce(_job(tmp_path / "whole"), settings, crystals(), pair_committee())

    def die(calls):
        if calls == 60:
            raise MemoryError

    killed = pair_committee(pair_member(0.2, before_call=die), *_others(pair_member))
    with pytest.raises(MemoryError):
        produce(_job(tmp_path / "parts"), settings, crystals(), killed)
    resumed = produce(_job(tmp_path / "parts"), settings, crystals(), pair_committee())
    assert resumed["restarted_from_step"] == 50
    _assert_same_run(tmp_path / "whole", tmp_path / "parts", whole, resumed)


@pytest.mark.parametrize("checkpoint_every", [1000, 10])
def test_too_long_a_step_is_halved_from_the_last_checkpoint(tmp_path, crystals, pair_committee, checkpoint_every):
    changes = {"timestep_fs": 4.0, "max_displacement": 0.03, "checkpoint_every": checkpoint_every}
    output = produce(_job(tmp_path), _settings(halvings=3, **changes), crystals(), pair_committee())
    assert output["stop_reason"] == StopReason.COMPLETED
    assert 1 <= len(output["halvings"]) <= 3
    assert {halving["reason"] for halving in output["halvings"]} == {StopReason.LARGE_STEP}
    assert list(read_trajectory(tmp_path / "trajectory.h5").step) == list(range(0, 101, 5))
    assert list(_arrays(tmp_path)["step"]) == list(range(0, 101, 5))
    rigid = produce(_job(tmp_path / "rigid"), _settings(halvings=0, **changes), crystals(), pair_committee())
    assert rigid["stop_reason"] == StopReason.LARGE_STEP
    assert rigid["steps"] == output["halvings"][0]["step"]


def test_a_run_without_numbers_ends_with_what_it_had(tmp_path, crystals, pair_committee, pair_member):
    broken = pair_committee(pair_member(0.2, broken_after=30), *_others(pair_member))
    output = produce(_job(tmp_path), _settings(), crystals(), broken)
    assert output["stop_reason"] == StopReason.NOT_A_NUMBER
    assert 20 < output["steps"] < 40
    assert np.isfinite(read_trajectory(tmp_path / "trajectory.h5").positions).all()
    json.dumps(output, allow_nan=False)


def test_nothing_but_not_a_number_from_the_start(tmp_path, crystals, pair_committee, pair_member):
    hopeless = pair_committee(pair_member(0.2, broken_after=0))
    output = produce(_job(tmp_path), _settings(relax_steps=3), crystals(), hopeless)
    assert (output["stop_reason"], output["steps"]) == (StopReason.NOT_A_NUMBER, 0)
    assert output["shortest_distance"] is None
    assert len(read_trajectory(tmp_path / "trajectory.h5")) == 0
    json.dumps(output, allow_nan=False)


def test_too_hot_and_too_close_end_the_run(tmp_path, crystals, pair_committee):
    hot = produce(_job(tmp_path / "hot"), _settings(max_temperature=90.0), crystals(), pair_committee())
    assert hot["stop_reason"] == StopReason.TEMPERATURE
    fused = crystals()
    fused.positions[1] = fused.positions[0] + np.array([0.6, 0, 0])
    short = produce(_job(tmp_path / "short"), _settings(max_temperature=1e9), fused, pair_committee())
    assert (short["stop_reason"], short["steps"]) == (StopReason.SHORT_DISTANCE, 0)
    assert short["shortest_distance"] == pytest.approx(0.6, abs=1e-6)


def test_relaxation_comes_first(tmp_path, crystals, pair_committee):
    frames = crystals(seed=8)
    committee = pair_committee()
    before = committee.drive(frames).energy[0, 0]
    output = produce(_job(tmp_path), _settings(relax_steps=30), frames, committee)
    assert output["relaxation_steps"] > 0
    assert _arrays(tmp_path)["potential_energy"][0] < before - 0.01


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path, crystals, pair_committee):
    produce(_job(tmp_path), _settings(), crystals(), pair_committee())
    with pytest.raises(InputError, match="another run"):
        produce(_job(tmp_path), _settings(), crystals(repeat=(1, 1, 1)), pair_committee())
    (tmp_path / "checkpoint.npz").write_bytes(b"half")
    with pytest.raises(InputError, match="damaged"):
        produce(_job(tmp_path), _settings(), crystals(), pair_committee())


def test_the_stage_on_a_trained_committee(tmp_path, tiny_committee, morse_frames):
    morse_frames(1).save(tmp_path / "frames.npz")
    for index, package in enumerate(tiny_committee):
        shutil.copy(package, tmp_path / f"member_{index}.nequip.zip")
    parameters = {"schedule": [{"steps": 10, "temperature_from": 100, "temperature_to": 100}], "dump_every": 5}
    content = {"parameters": parameters, "members": 3, "seed": 1}
    (tmp_path / "input.json").write_text(json.dumps(content))
    assert run_stage("produce", tmp_path / "input.json") == 0
    assert json.loads((tmp_path / "output.json").read_text())["stop_reason"] == StopReason.COMPLETED
    morse_frames(2).save(tmp_path / "frames.npz")
    assert run_stage("produce", tmp_path / "input.json") == 1
    assert "one start frame" in json.loads((tmp_path / "error.json").read_text())["message"]
