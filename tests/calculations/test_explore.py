import json

import numpy as np
import pytest
from aiida import orm
from aiida.engine import ToContext, run_get_node, while_

from aiida_nvp.calculations.evaluate import EvaluateCalculation
from aiida_nvp.calculations.explore import ExploreCalculation
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.workflows.second_try import SecondTry

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

PARAMETERS = {
    "schedules": [[{"steps": 20, "temperature_from": 100, "temperature_to": 100}]],
    "replicas": 2,
    "stride": 10,
    "break_threshold": 100.0,
    "min_distance_scale": 0.5,
}


@pytest.fixture
def members(tiny_committee):
    packages = enumerate(tiny_committee)
    return {f"member_{m}": PotentialData(p, types=["Na", "V", "P", "O"], cutoff=4.0, seed=m) for m, p in packages}


@pytest.fixture
def builder(worker_code, morse_frames, members):
    builder = ExploreCalculation.get_builder()
    builder.code = worker_code
    builder.frames = DatasetData(morse_frames(2).without_labels())
    builder.committee = members
    builder.parameters = PARAMETERS
    builder.seed = 3
    return builder


@pytest.fixture
def stand_in(aiida_code_installed, tmp_path):
    """Return a function that makes a code which leaves the given files instead of running the worker."""

    def _make(**files):
        made = tmp_path / "made"
        made.mkdir(exist_ok=True)
        for name, write in files.items():
            write(made / name.replace("__", "."))
        script = tmp_path / "worker.sh"
        script.write_text(f"#!/bin/sh\ncp {made}/* . 2>/dev/null || true\n")
        script.chmod(0o755)
        return aiida_code_installed(label="stand-in", filepath_executable=str(script))

    return _make


def _stillborn(path):
    row = {"stop_reason": StopReason.NOT_A_NUMBER.value, "steps": 0}
    path.write_text(json.dumps({"replicas": [row, row], "totals": {}}))


def _no_candidates(path, frames):
    frames.subset([]).save(path)


def _empty_arrays(path):
    np.savez(path, features=np.empty((0, 4)), forces_mean=np.empty((0, 3)), forces_std=np.empty(0))


def test_folder(builder, prepare):
    builder.calibration = {"scales": {"O": 2.0}, "thresholds": {"break": 3.0}}
    builder.metadata.options.max_wallclock_seconds = 300
    calc_info, folder = prepare(builder)
    content = json.loads((folder / "input.json").read_text())
    assert content["parameters"] == PARAMETERS
    assert (content["members"], content["seed"], content["max_wallclock_s"]) == (3, 3, 300)
    assert content["calibration"]["scales"] == {"O": 2.0}
    names = {entry[2] for entry in calc_info.local_copy_list}
    assert names == {"frames.npz", *(f"member_{m}.nequip.zip" for m in range(3))}


def test_wrong_parameters_and_an_empty_committee_are_refused_at_once(builder):
    with pytest.raises(ValueError, match="replicas"):
        builder.parameters = orm.Dict({**PARAMETERS, "replicas": 0})
    with pytest.raises(ValueError, match="stirde"):
        builder.parameters = orm.Dict({**PARAMETERS, "stirde": 5})
    with pytest.raises(ValueError, match="member_0"):
        builder.committee = {}


def test_execution_gives_candidates_with_sources(builder):
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    candidates = outputs["candidates"]
    assert len(candidates) == outputs["results"]["totals"]["candidates"] > 0
    assert candidates.sources[0] == {"explore": node.uuid, "potential": builder.committee["member_0"].uuid}
    assert outputs["predictions"].get_array("features").shape[0] == len(candidates)
    assert outputs["predictions"].get_array("forces_std").shape == (len(candidates.frames.numbers),)


def test_a_committee_without_numbers_is_an_error_with_its_outputs(builder, stand_in, morse_frames):
    frames = morse_frames(1).without_labels()
    builder.code = stand_in(
        output__json=_stillborn, candidates__npz=lambda path: _no_candidates(path, frames), arrays__npz=_empty_arrays
    )
    outputs, node = run_get_node(builder)
    assert node.exit_status == ExploreCalculation.exit_codes.ERROR_MODEL_NOT_FINITE.status
    assert len(outputs["candidates"]) == 0
    assert len(outputs["results"]["replicas"]) == 2


def test_a_damaged_candidates_file_is_invalid_output(builder, stand_in):
    builder.code = stand_in(
        output__json=_stillborn, candidates__npz=lambda path: path.write_bytes(b"x"), arrays__npz=_empty_arrays
    )
    _, node = run_get_node(builder)
    assert node.exit_status == ExploreCalculation.exit_codes.ERROR_OUTPUT_INVALID.status
    assert "frame set" in node.exit_message


class _Once(SecondTry):
    """An exploration and its further attempts."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.expose_inputs(ExploreCalculation, namespace="explore")
        spec.outline(cls.begin, while_(cls.has_unfinished)(cls.run_again), cls.results)
        spec.output("candidates", valid_type=DatasetData)

    def begin(self):
        inputs = self.exposed_inputs(ExploreCalculation, "explore")
        inputs.metadata["call_link_label"] = "explore"
        return ToContext(explore=self.submit(ExploreCalculation, **inputs))

    def results(self):
        self.out("candidates", self.ctx.explore.outputs.candidates)


def test_a_stopped_exploration_goes_on_from_its_checkpoint(builder):
    whole, _ = run_get_node(builder)
    # Less than the time that loading the members takes: each job ends after a step.
    builder.metadata.options.max_wallclock_seconds = 1
    outputs, stopped = run_get_node(builder)
    assert stopped.exit_status == ExploreCalculation.exit_codes.ERROR_EXPLORATION_STOPPED.status
    assert "2 of 2 replicas unfinished" in stopped.exit_message
    assert outputs["results"]["totals"]["steps"] < whole["results"]["totals"]["steps"]
    builder.metadata.options.max_wallclock_seconds = 600
    builder.restart = stopped.outputs.remote_folder
    resumed, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    frames, others = whole["candidates"].frames, resumed["candidates"].frames
    assert others.positions == pytest.approx(frames.positions, abs=1e-6)
    assert [entry["origin"]["step"] for entry in others.info] == [entry["origin"]["step"] for entry in frames.info]


def test_a_work_chain_goes_on_as_long_as_it_comes_further(builder):
    builder.parameters = {**PARAMETERS, "schedules": [[{"steps": 3, "temperature_from": 100}]], "stride": 1}
    builder.metadata.options.max_wallclock_seconds = 1
    outputs, node = run_get_node(_Once, explore=builder._inputs(prune=True))
    assert node.is_finished_ok
    jobs = [child for child in node.called if child.process_label == "ExploreCalculation"]
    assert 2 <= len(jobs) <= 3
    assert jobs[-1].is_finished_ok
    assert len(outputs["candidates"]) == 6


def test_evaluation_execution_and_its_refusals(worker_code, members, morse_frames):
    builder = EvaluateCalculation.get_builder()
    builder.code = worker_code
    builder.committee = members
    builder.frames = DatasetData(morse_frames(3))
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert outputs["predictions"].get_array("forces").shape == (3, 24, 3)
    assert outputs["predictions"].get_array("energy").shape == (3, 3)
    assert outputs["results"]["errors"]["force_rmse"] > 0
    with pytest.raises(ValueError, match="empty"):
        builder.frames = DatasetData(morse_frames(1).subset([]))


def test_evaluation_without_numbers_is_an_error_with_its_outputs(stand_in, members, morse_frames):
    builder = EvaluateCalculation.get_builder()
    builder.committee = members
    builder.frames = DatasetData(morse_frames(1))
    builder.code = stand_in(
        output__json=lambda path: path.write_text(json.dumps({"not_finite": 1, "n_frames": 1})),
        arrays__npz=lambda path: np.savez(path, energy=np.full((2, 1), np.nan)),
    )
    outputs, node = run_get_node(builder)
    assert node.exit_status == EvaluateCalculation.exit_codes.ERROR_MODEL_NOT_FINITE.status
    assert np.isnan(outputs["predictions"].get_array("energy")).all()


@pytest.mark.parametrize(("processes", "granted", "threads"), [(1, 1, 1), (2, 1, 1), (2, 4, 2), (8, 4, 2)])
def test_processes_share_the_cores_that_were_granted(builder, prepare, processes, granted, threads):
    builder.parameters = {**PARAMETERS, "processes": processes}
    resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": granted}
    builder.metadata.options.resources = resources
    info, _ = prepare(builder)
    assert info.prepend_text == f"export OMP_NUM_THREADS={threads}"
