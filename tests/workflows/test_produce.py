"""The production run as job and as restart work chain; a stand-in for the worker plays the failures."""

import json

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_nvp.calculations.md import MolecularDynamicsCalculation
from aiida_nvp.common.trajectory import TrajectoryWriter
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.workflows.produce import ProduceWorkChain

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

PARAMETERS = {
    "schedule": [{"name": "hold", "steps": 20, "temperature_from": 100, "temperature_to": 100}],
    "dump_every": 5,
    "committee_every": 10,
    "checkpoint_every": 5,
}


@pytest.fixture
def members(tiny_committee):
    packages = enumerate(tiny_committee[:2])
    return {f"member_{m}": PotentialData(p, types=["Na", "V", "P", "O"], cutoff=4.0, seed=m) for m, p in packages}


@pytest.fixture
def builder(worker_code, morse_frames, members):
    builder = ProduceWorkChain.get_builder()
    builder.md.code = worker_code
    builder.md.frames = DatasetData(morse_frames(1).without_labels())
    builder.md.committee = members
    builder.md.parameters = PARAMETERS
    builder.md.seed = 3
    return builder


@pytest.fixture
def run_lines(builder, aiida_code_installed, tmp_path):
    """Return a function that runs the work chain with shell lines in place of the worker."""

    def _run(*lines):
        script = tmp_path / "worker.sh"
        script.write_text("\n".join(["#!/bin/sh", *lines]))
        script.chmod(0o755)
        builder.md.code = aiida_code_installed(label="stand-in", filepath_executable=str(script))
        outputs, node = run_get_node(builder)
        return outputs, node, sorted(node.called, key=lambda child: child.pk)

    return _run


@pytest.fixture
def leave(tmp_path):
    """Return shell lines that leave the files of a run which ended for the given reason."""

    def _leave(reason):
        made = tmp_path / "made"
        made.mkdir()
        with TrajectoryWriter(made / "trajectory.h5", [8]) as writer:
            writer.write(step=0, time_ps=0.0, positions=np.zeros((1, 3)), cell=np.eye(3))
        np.savez(made / "arrays.npz", step=np.array([0]))
        (made / "checkpoint.npz").write_bytes(b"state")
        (made / "output.json").write_text(json.dumps({"stop_reason": reason, "steps": 7, "steps_planned": 20}))
        return f"cp {made}/* ."

    return _leave


def test_a_run_through_the_real_worker(builder):
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    assert outputs["results"]["stop_reason"] == StopReason.COMPLETED
    assert outputs["thermo"].get_array("uncertainty_step").tolist() == [0, 10, 20]
    assert outputs["trajectory"].filename == "trajectory.h5"


def test_restart_brings_checkpoint_and_trajectory(builder, prepare, aiida_localhost, tmp_path):
    job = MolecularDynamicsCalculation.get_builder()
    for name in ("code", "frames", "committee", "parameters", "seed"):
        job[name] = builder.md[name]
    job.restart = orm.RemoteData(remote_path=str(tmp_path), computer=aiida_localhost)
    calc_info, _ = prepare(job)
    names = ("checkpoint.npz", "trajectory.h5")
    assert [entry[1:] for entry in calc_info.remote_copy_list] == [(str(tmp_path / name), name) for name in names]


def test_more_than_one_frame_is_refused_at_once(builder, morse_frames):
    with pytest.raises(ValueError, match="one start frame"):
        builder.md.frames = DatasetData(morse_frames(2))


def test_a_stopped_run_goes_on_in_the_next_job(run_lines, leave, builder):
    builder.max_iterations = 2
    _, node, (first, second) = run_lines(leave(StopReason.WALLTIME.value))
    assert first.exit_status == MolecularDynamicsCalculation.exit_codes.ERROR_RUN_STOPPED.status
    assert second.inputs.restart.uuid == first.outputs.remote_folder.uuid
    assert node.exit_status == ProduceWorkChain.exit_codes.ERROR_MAXIMUM_ITERATIONS_EXCEEDED.status


def test_a_killed_run_goes_on_from_its_last_checkpoint(run_lines, builder):
    builder.max_iterations = 2
    lines = (
        "touch checkpoint.npz trajectory.h5",
        """echo '{"checkpoint": 5}' > progress.jsonl""",
        "printf '{' >> progress.jsonl",
    )
    _, _, (first, second) = run_lines(*lines)
    assert first.exit_status == MolecularDynamicsCalculation.exit_codes.ERROR_WORKER_KILLED.status
    assert second.inputs.restart.uuid == first.outputs.remote_folder.uuid


def test_killed_twice_before_a_checkpoint_is_given_up(run_lines):
    _, node, children = run_lines("echo out of memory")
    assert len(children) == 2
    assert node.exit_status == ProduceWorkChain.exit_codes.ERROR_PRODUCTION_KILLED.status
    assert "out of memory" in node.exit_message


def test_a_broken_run_keeps_its_outputs_and_is_not_repeated(run_lines, leave):
    outputs, node, children = run_lines(leave(StopReason.TEMPERATURE.value))
    assert [child.exit_status for child in children] == [510]
    assert node.exit_status == ProduceWorkChain.exit_codes.ERROR_PRODUCTION_BROKEN.status
    assert "step 7 of 20: temperature out of bounds" in node.exit_message
    assert {"trajectory", "thermo", "results"} <= set(outputs)


@pytest.mark.parametrize(("code", "status"), [("ERROR_WORKER_INPUT", 210), ("ERROR_WORKER_FAILED", 412)])
def test_what_another_attempt_cannot_mend_ends_at_once(run_lines, code, status):
    error = json.dumps({"code": code, "message": "why"})
    _, node, children = run_lines(f"echo '{error}' > error.json")
    assert len(children) == 1
    assert node.exit_status == status
    assert "why" in node.exit_message


def test_a_damaged_trajectory_is_invalid_output(run_lines, leave):
    _, node, (child,) = run_lines(leave(StopReason.COMPLETED.value), "echo broken > trajectory.h5")
    assert child.exit_status == MolecularDynamicsCalculation.exit_codes.ERROR_OUTPUT_INVALID.status
    assert node.exit_status == ProduceWorkChain.exit_codes.ERROR_PRODUCTION_FAILED.status
