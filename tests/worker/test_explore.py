import json
import shutil
from collections import defaultdict

import numpy as np
import pytest
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import StopReason, Stream
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.information import most_uncertain
from aiida_nvp.uncertainty.judge import Judge
from aiida_nvp.uncertainty.last_layer import FeatureStatistics, pool_features
from aiida_nvp.worker import explore as stage
from aiida_nvp.worker import pool
from aiida_nvp.worker.job import Job
from aiida_nvp.worker.pool import explore
from aiida_nvp.worker.replica_store import pack_replicas, unpack_replicas
from aiida_nvp.worker.replicas import Plan
from aiida_nvp.worker.settings import ExploreSettings, read_settings


def _settings(**changes):
    hold = [{"steps": 40, "temperature_from": 300, "temperature_to": 300}]
    values = {"schedules": [hold], "replicas": 1, "stride": 10, "break_threshold": 50.0, "min_distance_scale": 0.6}
    return {**values, **changes}


def _plan(frames, scales=None, threshold=50.0, statistics=None, **changes):
    judge = Judge(statistics, ErrorModel.of({"scales": scales or {}}))
    return Plan(read_settings(ExploreSettings, _settings(**changes)), frames, 11, judge, threshold)


def _run(committee, plan, stop_after=None):
    calls = []

    def count(steps, finished):
        calls.append((steps, finished))
        return stop_after is not None and len(calls) >= stop_after

    return explore(committee, plan, [plan.new_replica(i) for i in range(plan.settings.replicas)], count), calls


def _explore(committee, plan, indices):
    return explore(committee, plan, [plan.new_replica(i) for i in indices], lambda _steps, _finished: False)


def test_a_quiet_replica_gives_a_candidate_every_stride(crystals, pair_committee):
    (replica,), calls = _run(pair_committee(), _plan(crystals()))
    assert replica.stop_reason is StopReason.COMPLETED
    assert [c.origin["step"] for c in replica.candidates] == [10, 20, 30, 40]
    assert {c.origin["stream"] for c in replica.candidates} == {Stream.STRIDE}
    assert replica.candidates[1].origin["time_ps"] == 0.02
    assert replica.max_score == pytest.approx(max(c.origin["score"] for c in replica.candidates), rel=0.5)
    # Members are 0.19, 0.20, 0.21 times the same forces: the spread is 5 % of the mean.
    last = replica.candidates[-1]
    assert last.sigma == pytest.approx(0.05 * np.linalg.norm(last.forces_mean, axis=1), rel=1e-9)
    assert sum(steps for steps, _ in calls) == 40
    assert sum(finished for _, finished in calls) == 1


def test_equal_seeds_equal_candidates(crystals, pair_committee):
    runs = [_run(pair_committee(), _plan(crystals(3), replicas=3))[0] for _ in range(2)]
    for one, other in zip(*runs, strict=True):
        assert (one.candidates[-1].positions == other.candidates[-1].positions).all()
    first, second = runs[0][:2]
    assert not np.allclose(first.candidates[-1].positions, second.candidates[-1].positions, atol=1e-3)


def test_heating_past_the_break_threshold_marks_the_last_trusted_frame(crystals, pair_committee):
    heat = [{"steps": 400, "temperature_from": 50, "temperature_to": 4000}]
    (replica,), _ = _run(pair_committee(), _plan(crystals(), threshold=0.3, schedules=[heat]))
    assert replica.stop_reason is StopReason.UNCERTAINTY
    assert 0 < replica.step < 400
    streams = [candidate.origin["stream"] for candidate in replica.candidates]
    assert streams == [Stream.STRIDE] * (len(streams) - 1) + [Stream.BREAK]
    assert replica.candidates[-1].origin["step"] == replica.step - 10
    assert all(candidate.origin["score"] <= 0.3 for candidate in replica.candidates)
    assert replica.max_score > 0.3


@pytest.fixture
def watched(crystals, pair_committee):
    """A plan of three replicas that heat up between two looks, watched by the last layer of cold crystals."""
    frames = crystals(3)
    known = FeatureStatistics.fit(frames.numbers, pair_committee().drive(frames).features)
    heat = [{"steps": 200, "temperature_from": 50, "temperature_to": 6000}]
    changes = {"replicas": 3, "stride": 200, "schedules": [heat], "monitor_every": 5, "monitor_factor": 1.1}
    return lambda statistics=known: _plan(frames, threshold=0.3, statistics=statistics, **changes)


def test_an_unusual_last_layer_asks_the_committee_ahead_of_its_stride(watched, pair_committee):
    blind = _explore(pair_committee(), watched(None), range(3))
    seeing = _explore(pair_committee(), watched(), range(3))
    for before, after in zip(blind, seeing, strict=True):
        assert (before.early_looks, after.early_looks > 0) == (0, True)
        assert after.stop_reason is StopReason.UNCERTAINTY
        assert after.step < before.step == 200
        # Looks that were taken for their high score are no candidates; the last trusted frame is.
        assert [candidate.origin["stream"] for candidate in after.candidates] == [Stream.BREAK]


def test_what_a_replica_does_is_independent_of_its_company(watched, pair_committee):
    together = _explore(pair_committee(), watched(), range(3))[2]
    (alone,) = _explore(pair_committee(), watched(), [2])
    assert (together.step, together.early_looks) == (alone.step, alone.early_looks)
    assert together.max_score == pytest.approx(alone.max_score, rel=1e-9)


def test_calibration_scales_the_score_but_not_the_stored_spread(crystals, pair_committee):
    (raw,), _ = _run(pair_committee(), _plan(crystals()))
    (scaled,), _ = _run(pair_committee(), _plan(crystals(), scales={"O": 3.0}))
    assert scaled.candidates[0].origin["score"] == pytest.approx(3 * raw.candidates[0].origin["score"], abs=1e-5)
    assert scaled.candidates[0].sigma == pytest.approx(raw.candidates[0].sigma)
    (stopped,), _ = _run(pair_committee(), _plan(crystals(), scales={"O": 1e6}))
    assert (stopped.stop_reason, stopped.step, stopped.candidates) == (StopReason.UNCERTAINTY, 0, [])


def test_hot_cell_stops_and_its_start_is_the_last_trusted_frame(crystals, pair_committee):
    plan = _plan(crystals(), max_temperature=100.0, stride=40)
    (replica,), _ = _run(pair_committee(), plan)
    assert (replica.stop_reason, replica.step) == (StopReason.TEMPERATURE, 1)
    (candidate,) = replica.candidates
    assert (candidate.origin["stream"], candidate.origin["step"]) == (Stream.BREAK, 0)
    assert candidate.positions == pytest.approx(plan.starts.positions)


def test_fused_atoms_stop_before_the_first_step(pair_committee):
    frames = FrameSet.from_atoms([Atoms("O2", [[0, 0, 0], [0.7, 0, 0]], cell=[6] * 3, pbc=True)])
    (replica,), _ = _run(pair_committee(), _plan(frames, threshold=1e9))
    assert (replica.stop_reason, replica.step, replica.candidates) == (StopReason.SHORT_DISTANCE, 0, [])


@pytest.mark.parametrize(("broken", "steps"), [(0, 0), (15, 15)])
def test_a_driver_without_numbers_stops_its_replica(crystals, pair_committee, pair_member, broken, steps):
    committee = pair_committee(pair_member(0.2, broken_after=broken), pair_member(0.21))
    (replica,), _ = _run(committee, _plan(crystals(), stride=100))
    assert (replica.stop_reason, replica.step) == (StopReason.NOT_A_NUMBER, steps)
    assert len(replica.candidates) == bool(steps)


def test_only_the_faulty_replica_of_a_batch_stops(crystals, pair_committee):
    frames = crystals(2)
    hot = Atoms("O2", [[0, 0, 0], [1.0, 0, 0]], cell=[6] * 3, pbc=True)
    mixed = FrameSet.from_atoms([frames.atoms(0), hot, frames.atoms(1)])
    replicas, _ = _run(pair_committee(), _plan(mixed, replicas=3, max_temperature=5000.0, threshold=1e9))
    assert [replica.stop_reason for replica in replicas][::2] == [StopReason.COMPLETED] * 2
    assert replicas[1].stop_reason is not StopReason.COMPLETED
    (alone,), _ = _run(pair_committee(), _plan(frames.subset([0])))
    assert replicas[0].candidates[-1].positions == pytest.approx(alone.candidates[-1].positions, abs=1e-9)


def test_asked_to_stop_it_keeps_what_it_has(crystals, pair_committee):
    replicas, _ = _run(pair_committee(), _plan(crystals(2), replicas=2), stop_after=25)
    assert {replica.stop_reason for replica in replicas} == {StopReason.WALLTIME}
    assert {replica.step for replica in replicas} == {25}
    assert [c.origin["stream"] for c in replicas[0].candidates] == [Stream.STRIDE] * 2


@pytest.mark.parametrize(("starts", "schedules"), [(4, 2), (5, 3), (3, 3), (2, 5)])
def test_every_start_meets_every_schedule(crystals, starts, schedules):
    ramp = [{"steps": 1, "temperature_from": 1, "temperature_to": 1}]
    plan = _plan(crystals(starts, (1, 1, 1)), replicas=starts * schedules, schedules=[ramp] * schedules)
    met = defaultdict(set)
    for replica in range(plan.settings.replicas):
        met[plan.start_of(replica)].add(plan.schedule_of(replica))
    assert all(len(seen) == schedules for seen in met.values())
    assert len(met) == starts


def test_a_free_place_is_filled_at_once(crystals, pair_committee, monkeypatch):
    monkeypatch.setattr(pool, "ATOMS_PER_CALL", 64)
    short = [{"steps": 10, "temperature_from": 300}]
    long = [{"steps": 40, "temperature_from": 300}]
    plan = _plan(crystals(3), replicas=3, schedules=[short, long, long])
    replicas, calls = _run(pair_committee(), plan)
    # Two places: the second replica and the short one begin, the third takes the place of the short one.
    assert [replica.step for replica in replicas] == [10, 40, 40]
    assert [steps for steps, _ in calls] == [2] * 40 + [1] * 10
    (alone,) = _explore(pair_committee(), plan, [2])
    assert replicas[2].candidates[-1].positions == pytest.approx(alone.candidates[-1].positions, abs=1e-9)


def test_a_cell_that_moves_gives_candidates_with_their_cells(crystals, pair_committee):
    squeeze = [{"steps": 200, "temperature_from": 300, "ensemble": "npt", "pressure_from_gpa": 20}]
    squeeze[0] |= {"barostat_time_fs": 100, "compressibility_per_gpa": 0.005}
    (replica,), _ = _run(pair_committee(), _plan(crystals(), schedules=[squeeze], stride=50, max_drift_mev_ps=1e-9))
    volumes = [float(np.linalg.det(candidate.cell)) for candidate in replica.candidates]
    assert len(volumes) == 4
    assert volumes[0] < 0.98 * 6.3**3
    assert volumes[-1] < 0.97 * volumes[0]
    assert replica.stop_reason is StopReason.COMPLETED


def test_a_cell_that_bursts_ends_its_replica(crystals, pair_committee):
    burst = [{"steps": 400, "temperature_from": 300, "ensemble": "npt", "pressure_from_gpa": -150}]
    burst[0] |= {"barostat_time_fs": 50, "compressibility_per_gpa": 0.02}
    (replica,), _ = _run(pair_committee(), _plan(crystals(), schedules=[burst], max_volume_ratio=1.2, threshold=1e9))
    assert replica.stop_reason is StopReason.VOLUME
    assert replica.candidates[-1].origin["stream"] == Stream.BREAK


@pytest.mark.parametrize(
    ("guard", "reason"),
    [({"max_displacement": 0.02}, StopReason.LARGE_STEP), ({"max_drift_mev_ps": 1e-9}, StopReason.ENERGY_DRIFT)],
)
def test_too_long_a_step_is_halved_from_the_last_good_frame(crystals, pair_committee, guard, reason):
    hold = [{"steps": 400, "temperature_from": 900}]
    settings = {"schedules": [hold], "stride": 20, "timestep_fs": 2.0, **guard}
    (replica,), calls = _run(pair_committee(), _plan(crystals(), halvings=1, **settings))
    assert [halving["reason"] for halving in replica.halvings] == [reason]
    assert replica.stop_reason in (reason, StopReason.COMPLETED)
    # Steps before the halving count one each and those from the last good frame on two each.
    first = replica.halvings[0]["step"]
    made = sum(steps for steps, _ in calls)
    begin = (first - (reason is StopReason.LARGE_STEP)) // 20 * 20
    assert made == pytest.approx(first + 2 * (replica.step - begin), abs=21)
    steps = [candidate.origin["step"] for candidate in replica.candidates]
    assert steps == sorted(set(steps))
    (never,), _ = _run(pair_committee(), _plan(crystals(), halvings=0, **settings))
    assert (never.stop_reason, never.halvings, never.step) == (reason, [], first)
    assert never.summary()["halvings"] == []


def test_stopped_and_continued_equals_uninterrupted(tmp_path, crystals, pair_committee, monkeypatch):
    monkeypatch.setattr(pool, "ATOMS_PER_CALL", 64)
    legs = [{"steps": 30, "temperature_from": 400}, {"steps": 30, "temperature_from": 400, "ensemble": "npt"}]
    plan = _plan(crystals(4), replicas=4, schedules=[legs])
    whole, _ = _run(pair_committee(), plan)
    replicas = [plan.new_replica(index) for index in range(4)]
    path = tmp_path / "checkpoint.npz"
    for stop_at in (7, 45, None):
        calls = iter(range(1, 1000))
        stopped = explore(pair_committee(), plan, replicas, lambda *_, c=calls, at=stop_at: next(c) == at)
        assert any(not replica.finished for replica in stopped) == (stop_at is not None)
        np.savez(path, **pack_replicas(stopped))
        replicas = unpack_replicas(path, plan)
    for one, other in zip(whole, replicas, strict=True):
        assert one.summary() == other.summary()
        assert one.candidates[-1].positions == pytest.approx(other.candidates[-1].positions, abs=1e-9)
        assert one.candidates[-1].cell == pytest.approx(other.candidates[-1].cell, abs=1e-9)
        assert [c.origin["score"] for c in one.candidates] == pytest.approx(
            [c.origin["score"] for c in other.candidates]
        )
        assert other.trusted is other.candidates[-1]


def test_a_checkpoint_of_another_exploration_is_refused(tmp_path, crystals):
    plan = _plan(crystals(2), replicas=2)
    path = tmp_path / "checkpoint.npz"
    np.savez(path, **pack_replicas([plan.new_replica(index) for index in range(2)]))
    with pytest.raises(InputError, match="another exploration"):
        unpack_replicas(path, _plan(crystals(3), replicas=3))
    path.write_bytes(b"half")
    with pytest.raises(InputError, match="damaged"):
        unpack_replicas(path, plan)


def _job(folder, committee, frames, **changes):
    frames.save(folder / "frames.npz")
    for index, package in enumerate(committee):
        shutil.copy(package, folder / f"member_{index}.nequip.zip")
    return Job(folder, {"parameters": _settings(**changes), "members": len(committee), "seed": 5})


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_stage_writes_aligned_files(tmp_path, tiny_committee, morse_frames, processes):
    job = _job(tmp_path, tiny_committee, morse_frames(3), replicas=5, processes=processes, stride=20)
    statistics = FeatureStatistics.load(tiny_committee[0].with_name("statistics.npz"))
    statistics.save(tmp_path / "statistics.npz")
    output = stage.run(job)
    candidates = FrameSet.load(tmp_path / "candidates.npz")
    committee = Committee.load(tiny_committee)
    with np.load(tmp_path / "arrays.npz") as arrays:
        features = committee.drive(candidates).features
        pooled = pool_features(candidates, features, committee.species)
        assert arrays["features"] == pytest.approx(pooled, rel=1e-3, abs=1e-3)
        mean = committee.predict(candidates).forces.mean(axis=0)
        assert arrays["forces_mean"] == pytest.approx(mean, abs=1e-3)
        assert arrays["forces_std"].shape == (len(candidates.numbers),)
        # Cells of eight atoms: every atom has its row, the largest spread first.
        worst = most_uncertain(candidates.offsets, arrays["forces_std"])
        lengths = np.linalg.norm(arrays["information"], axis=2)
        assert lengths == pytest.approx(statistics.sigma(features)[worst], rel=1e-2, abs=1e-2)
    assert {entry["origin"]["seed"] for entry in candidates.info} == {5}
    assert all(entry["origin"]["temperature_now"] > 0 for entry in candidates.info)
    met = [(entry["origin"]["replica"], entry["origin"]["step"]) for entry in candidates.info]
    assert met == sorted(met)
    assert output["totals"]["candidates"] == len(candidates) > 0
    assert [replica["index"] for replica in output["replicas"]] == list(range(5))
    last = json.loads((tmp_path / "progress.jsonl").read_text().splitlines()[-1])
    assert last["replicas_done"] == 5


def test_a_stage_told_to_stop_finishes_with_what_is_there(tmp_path, tiny_committee, morse_frames):
    job = _job(tmp_path, tiny_committee, morse_frames(2), replicas=2)
    job.stop_requested = True
    output = stage.run(job)
    assert output["totals"]["stop_reasons"] == {StopReason.WALLTIME: 2}
    assert output["totals"]["unfinished"] == 2
    assert len(FrameSet.load(tmp_path / "candidates.npz")) == 0
    job.stop_requested = False
    assert stage.run(job)["totals"]["unfinished"] == 0
    assert len(FrameSet.load(tmp_path / "candidates.npz")) > 0


def test_no_start_frame_is_refused(tmp_path):
    with pytest.raises(InputError, match="no start frame"):
        stage.run(_job(tmp_path, [], FrameSet.from_atoms([])))
