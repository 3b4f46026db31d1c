from pathlib import Path

import pytest
from aiida import engine, orm
from click.testing import CliRunner

from aiida_nvp.cli.submit import submit
from aiida_nvp.common.vocabulary import LabellerName
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.workflows.campaign import CampaignWorkChain
from aiida_nvp.workflows.engines import Engines, store_engines
from aiida_nvp.workflows.label import LabelWorkChain

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


REHEARSAL = Path(__file__).parents[2] / "workchains" / "campaigns" / "rehearsal.yaml"


@pytest.fixture
def taken(monkeypatch):
    """Builders that were handed to the daemon, which is said to run."""
    found = []

    def take(builder):
        found.append(builder)
        node = orm.WorkChainNode().store()
        node.set_process_label(builder.process_class.__name__)
        return node

    monkeypatch.setattr(engine, "submit", take)
    monkeypatch.setattr("aiida_nvp.cli.campaign.engine_submit", take)
    monkeypatch.setattr("aiida_nvp.cli.submit.daemon_is_running", lambda _: True)
    return found


def test_a_campaign_file_is_handed_to_the_daemon(taken, worker_code):
    store_engines(Engines(pw="", worker=worker_code.full_label, pseudos=""))
    result = CliRunner().invoke(submit, [str(REHEARSAL)])
    assert result.exit_code == 0, result.output
    (builder,) = taken
    assert builder.process_class is CampaignWorkChain
    assert builder.learn.worker.uuid == builder.learn.label.code.uuid == worker_code.uuid
    assert builder.learn.label.labeller == LabellerName.REHEARSAL
    assert builder.seed == builder.campaign["seed"] == 2025
    assert builder.campaign["name"] == "rehearsal"
    node = orm.QueryBuilder().append(orm.WorkChainNode).first(flat=True)
    assert f"submitted campaign {node.pk}; `aiida-nvp status {node.pk} --watch` follows it." in result.output


def test_a_work_chain_of_ours_is_handed_to_the_daemon(taken, worker_code, morse_frames, tmp_path):
    frames = DatasetData(morse_frames(2).without_labels()).store()
    path = tmp_path / "inputs.yaml"
    path.write_text(
        f"frames: node:{frames.uuid}\nlabeller: rehearsal\ncode: code:{worker_code.full_label}\n"
        "settings: {mode: single_point}\nin_flight: 2\n"
    )
    result = CliRunner().invoke(submit, ["nvp.label", str(path)])
    assert result.exit_code == 0, result.output
    (builder,) = taken
    assert builder.process_class is LabelWorkChain
    assert (builder.frames.uuid, builder.code.uuid) == (frames.uuid, worker_code.uuid)
    assert (builder.labeller.value, builder.in_flight.value) == ("rehearsal", 2)
    assert builder.settings.get_dict() == {"mode": "single_point"}
    assert "submitted LabelWorkChain" in result.output


@pytest.fixture
def inputs(tmp_path, aiida_code_installed):
    aiida_code_installed(label="bash", filepath_executable="/bin/bash")
    path = tmp_path / "inputs.yaml"
    path.write_text("x: 1\ny: 2\ncode: code:bash@localhost\nmetadata: {options: {resources: {num_machines: 1}}}\n")
    return path


def test_a_calculation_is_handed_to_the_daemon(inputs, monkeypatch):
    taken = []

    def take(builder):
        taken.append(builder)
        node = orm.CalcJobNode().store()
        node.set_process_label("ArithmeticAddCalculation")
        return node

    monkeypatch.setattr(engine, "submit", take)
    monkeypatch.setattr("aiida_nvp.cli.submit.daemon_is_running", lambda _: True)
    result = CliRunner().invoke(submit, ["core.arithmetic.add", str(inputs)])
    assert result.exit_code == 0, result.output
    assert (taken[0].x, taken[0].y) == (1, 2)
    assert (
        f"submitted ArithmeticAddCalculation {orm.QueryBuilder().append(orm.CalcJobNode).first()[0].pk};"
        in result.output
    )


def test_a_calcfunction_runs_at_once(tmp_path):
    path = tmp_path / "inputs.yaml"
    path.write_text("x: 1\ny: 2\nz: 3\n")
    result = CliRunner().invoke(submit, ["core.arithmetic.add_multiply", str(path)])
    assert result.exit_code == 0, result.output
    node = orm.QueryBuilder().append(orm.WorkFunctionNode).first()[0]
    assert f"ran add_multiply {node.pk} here" in result.output
    assert node.outputs.result == 9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["core.arithmetic.add"], "give the inputs too: `submit core.arithmetic.add INPUTS.yaml`"),
        (["none.yaml"], "there is no campaign file none.yaml"),
        (["some.yaml", "more.yaml"], "some.yaml is a campaign file and holds all its inputs"),
        (["core.arithmetic.add", "inputs.yaml", "--watch"], "go with a campaign file only"),
        (["nvp.nothing", "inputs.yaml"], "there is no process 'nvp.nothing'"),
    ],
)
def test_faults_are_one_sentence(arguments, says):
    result = CliRunner().invoke(submit, arguments)
    assert result.exit_code == 1
    assert says in result.output
    assert len(result.output.splitlines()) == 1


def test_without_a_daemon_nothing_is_submitted(inputs, monkeypatch):
    monkeypatch.setattr("aiida_nvp.cli.submit.daemon_is_running", lambda _: False)
    result = CliRunner().invoke(submit, ["core.arithmetic.add", str(inputs)])
    assert result.exit_code == 1
    assert "the daemon of profile" in result.output
    assert orm.QueryBuilder().append(orm.ProcessNode).count() == 0
