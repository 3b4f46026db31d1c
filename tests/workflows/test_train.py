"""The restart work chain; a stand-in for the worker plays the failures, one restart is real."""

import json

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node

from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.workflows.train import RATE_FACTOR_AFTER_DIVERGENCE, TrainWorkChain

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


@pytest.fixture
def builder(worker_code, morse_frames, tiny_definition, tiny_shifts):
    builder = TrainWorkChain.get_builder()
    builder.train.code = worker_code
    builder.train.frames = DatasetData(morse_frames(12))
    builder.train.definition = orm.Dict(tiny_definition.plain())
    builder.train.shifts = orm.Dict(tiny_shifts)
    builder.train.seed = 5
    return builder


@pytest.fixture
def stand_in(aiida_code_installed, tmp_path):
    """Return a function that makes a code which runs the given shell lines instead of the worker."""

    def _make(*lines):
        script = tmp_path / "worker.sh"
        script.write_text("\n".join(["#!/bin/sh", *lines]))
        script.chmod(0o755)
        return aiida_code_installed(label="stand-in", filepath_executable=str(script))

    return _make


def failing(code, message="why"):
    return f"echo '{json.dumps({'code': code, 'message': message})}' > error.json"


def run_with(builder, code):
    builder.train.code = code
    _, node = run_get_node(builder)
    links = node.base.links.get_outgoing(link_type=LinkType.CALL_CALC).all()
    return node, [link.node for link in sorted(links, key=lambda link: link.link_label)]


@pytest.mark.slow
def test_stopped_job_goes_on_in_the_next(builder):
    # The limit is over before the first epoch is, so each job trains one epoch and hands over.
    builder.train.metadata.options.max_wallclock_seconds = 1
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    first, second = sorted(node.called, key=lambda child: child.pk)
    assert first.exit_status == 410
    assert second.inputs.restart.uuid == first.outputs.remote_folder.uuid
    assert outputs["results"]["epochs"] == 2
    assert outputs["metrics"].get_array("epoch").tolist() == [2]
    assert {"potential", "metrics", "results"} == set(outputs)


def test_killed_job_goes_on_from_its_last_checkpoint(builder, stand_in):
    builder.max_iterations = 2
    code = stand_in("touch last.ckpt best.ckpt", """echo '{"checkpoint": 3}' > progress.jsonl""")
    node, (first, second) = run_with(builder, code)
    assert node.exit_status == TrainWorkChain.exit_codes.ERROR_MAXIMUM_ITERATIONS_EXCEEDED.status
    assert "restart" not in first.inputs
    assert second.inputs.restart.uuid == first.outputs.remote_folder.uuid


def test_job_killed_twice_before_a_checkpoint_is_given_up(builder, stand_in):
    node, children = run_with(builder, stand_in("echo out of memory"))
    assert [child.exit_status for child in children] == [301, 301]
    assert node.exit_status == 412
    assert "out of memory" in node.exit_message


def test_divergence_is_answered_once_by_a_lower_rate(builder, stand_in):
    node, (first, second) = run_with(builder, stand_in(failing("ERROR_TRAINING_DIVERGED")))
    assert node.exit_status == 411
    assert "rate_factor" not in first.inputs
    assert second.inputs.rate_factor.value == RATE_FACTOR_AFTER_DIVERGENCE
    assert "restart" not in second.inputs


@pytest.mark.parametrize(
    ("code", "status"),
    [("ERROR_WORKER_INPUT", 210), ("ERROR_PARENT_PACKAGE", 210), ("ERROR_WORKER_FAILED", 413)],
)
def test_what_cannot_be_helped_ends_at_once_with_the_sentence(builder, stand_in, code, status):
    node, children = run_with(builder, stand_in(failing(code, "the sentence")))
    assert len(children) == 1
    assert node.exit_status == status
    assert "the sentence" in node.exit_message
