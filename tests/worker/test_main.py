"""The worker program: whatever happens, a file says what."""

import json
import sys
import types

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError, WorkerError
from aiida_nvp.worker import main


@pytest.fixture
def stage(monkeypatch, tmp_path):
    """Return a function that runs the stage ``probe`` with the given body and returns status and folder."""
    monkeypatch.setattr(main.Job, "listen_for_stop", lambda _: None)

    def _run(body, inputs="{}"):
        module = types.ModuleType("aiida_nvp.worker.probe")
        module.run = body
        monkeypatch.setitem(sys.modules, "aiida_nvp.worker.probe", module)
        (tmp_path / "input.json").write_text(inputs)
        return main.run_stage("probe", tmp_path / "input.json"), tmp_path

    return _run


def error_of(folder):
    return json.loads((folder / "error.json").read_text())


def test_output_and_progress_are_written(stage):
    def body(job):
        job.progress(step=1)
        job.write_arrays({"a": np.arange(3)})
        return {"doubled": 2 * job.inputs["n"]}

    status, folder = stage(body, '{"n": 21}')
    assert status == 0
    assert json.loads((folder / "output.json").read_text()) == {"doubled": 42}
    assert json.loads((folder / "progress.jsonl").read_text())["step"] == 1
    assert np.load(folder / "arrays.npz")["a"].tolist() == [0, 1, 2]
    assert not list(folder.glob("*.part"))


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (WorkerError("ERROR_PROBE", "no luck"), "ERROR_PROBE"),
        (InputError("no luck"), "ERROR_WORKER_INPUT"),
        (KeyError("no luck"), "ERROR_WORKER_INPUT"),
        (RuntimeError("no luck"), "ERROR_WORKER_FAILED"),
    ],
)
def test_failures_are_written_with_their_code(stage, raised, code):
    def body(_job):
        raise raised

    status, folder = stage(body)
    assert status == 1
    assert error_of(folder)["code"] == code
    assert "no luck" in error_of(folder)["message"]
    assert not (folder / "output.json").exists()


def test_input_that_is_no_json_is_an_input_error(stage):
    status, folder = stage(lambda _: {}, "{")
    assert status == 1
    assert error_of(folder)["code"] == "ERROR_WORKER_INPUT"


def test_not_a_number_in_the_output_is_a_failure(stage):
    status, folder = stage(lambda _: {"x": float("nan")})
    assert status == 1
    assert error_of(folder)["code"] == "ERROR_WORKER_FAILED"


def test_unknown_stage_is_refused_by_the_command_line(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main.main(["nothing", str(tmp_path / "input.json")])
    assert "invalid choice" in capsys.readouterr().err
