"""What the how-to pages show works as it stands."""

from pathlib import Path

import pytest
import yaml
from aiida import orm
from aiida.cmdline.commands.cmd_verdi import verdi
from aiida.engine import run_get_node
from aiida.plugins import WorkflowFactory
from ase import Atoms
from click.testing import CliRunner

from aiida_nvp.calculations.generate import generate
from aiida_nvp.campaign.schema import ExplorationSpec
from aiida_nvp.cli.inputs import fill_builder, load_process, read_inputs
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.labelling.settings import read_settings
from aiida_nvp.provision.codes import check_own_pw
from aiida_nvp.worker.course import Course
from aiida_nvp.worker.settings import ExploreSettings

TOPICS = Path(__file__).parents[1] / "docs" / "topics"
HOWTO = Path(__file__).parents[1] / "docs" / "howto"


def test_schedules_of_the_exploration_page_are_what_their_comments_say():
    shown = ExplorationSpec.model_validate(yaml.safe_load((TOPICS / "exploration.schedules.yaml").read_text()))
    values = shown.model_dump(mode="json", exclude={"cells"})
    settings = ExploreSettings.model_validate(values)
    courses = [Course.of(schedule, settings) for schedule in settings.schedules]
    assert [course.time_ps(course.total) for course in courses] == [89.0, 10.0, 9.0, 6.0]
    assert [course.total for course in courses] == [89_000, 10_000, 9_000, 7_000]
    assert courses[0].at(45_000).temperature == pytest.approx(2250)
    assert courses[2].at(7_500).pressure_gpa == pytest.approx(-1.5)
    assert "exploration.schedules.yaml" in (TOPICS / "exploration.md").read_text()


@pytest.mark.usefixtures("aiida_profile_clean")
def test_inputs_of_the_loop_are_complete_and_valid(worker_code, tmp_path):
    cells = {"cells": [{"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10}]}
    frames = generate(orm.Dict(cells), orm.Int(1))
    shown = (HOWTO / "active_learning.inputs.yaml").read_text()
    path = tmp_path / "inputs.yaml"
    path.write_text(shown.replace("node:PK", f"node:{frames.pk}"))
    builder = fill_builder(load_process("nvp.active_learning"), read_inputs(path))
    assert builder.worker.uuid == builder.label.code.uuid == worker_code.uuid
    assert builder.frames.uuid == frames.uuid
    for settings in (builder.label.settings, builder.seed_settings):
        assert read_settings(settings.get_dict())
    assert ExploreSettings.model_validate(builder.exploration.get_dict()).replicas == 8
    assert len(generate(builder.exploration_cells, orm.Int(1))) == 4
    assert "active_learning.inputs.yaml" in (HOWTO / "submit.md").read_text()


@pytest.mark.usefixtures("aiida_profile_clean")
def test_inputs_of_a_fine_tuning_are_complete_and_valid(worker_code, tiny_committee, morse_frames, tmp_path):
    parent = PotentialData(tiny_committee[0], types=["Na", "V", "P", "O"], cutoff=4.0, seed=None)
    parent.set_origin(foreign=True)
    frames = DatasetData(morse_frames(4)).store()
    shown = (HOWTO / "fine_tune.inputs.yaml").read_text()
    path = tmp_path / "inputs.yaml"
    path.write_text(
        shown.replace("node:PARENT", f"node:{parent.store().pk}").replace("node:DATASET", f"node:{frames.pk}")
    )
    builder = fill_builder(load_process("nvp.train"), read_inputs(path))
    assert (builder.train.parent.uuid, builder.train.frames.uuid) == (parent.uuid, frames.uuid)
    assert PotentialDefinition.model_validate(builder.train.definition.get_dict()).training.warm_epochs == 20
    # Whole as it stands: AiiDA finds no port that is missing.
    assert builder.process_class.spec().inputs.validate(builder._inputs(prune=True)) is None
    assert "fine_tune.inputs.yaml" in (HOWTO / "potentials.md").read_text()


@pytest.mark.usefixtures("aiida_profile_clean")
def test_the_files_of_a_cluster_make_computer_and_code(tmp_path):
    """Where no cluster is, its files must at least be what `verdi` takes, and its code what a campaign takes."""

    def run(*words):
        result = CliRunner().invoke(verdi, words)
        assert result.exit_code == 0, result.output

    run("computer", "setup", "-n", "--config", str(HOWTO / "cluster.computer.yaml"))
    computer = orm.load_computer("cluster")
    assert (computer.transport_type, computer.scheduler_type) == ("core.ssh_async", "core.slurm")
    run("code", "create", "core.code.installed", "-n", "--config", str(HOWTO / "cluster.pw.yaml"))
    code = check_own_pw("pw-7.4@cluster").value
    assert code.default_calc_job_plugin == "quantumespresso.pw"
    assert code.with_mpi
    page = (HOWTO / "own-cluster.md").read_text()
    assert "code:pw-7.4@cluster" in page
    assert "cluster.pw.yaml" in page


@pytest.mark.slow
@pytest.mark.usefixtures("aiida_profile_clean")
def test_the_same_files_run_pw_with_the_scheduler_and_host_of_this_machine(quantum_espresso, pseudos, tmp_path):
    """The way of the page from the first command to a label, on the one computer that is always there."""
    computer = yaml.safe_load((HOWTO / "cluster.computer.yaml").read_text())
    computer |= {"hostname": "localhost", "transport": "core.local", "scheduler": "core.direct"}
    computer |= {"work_dir": str(tmp_path / "work"), "mpirun_command": "env", "mpiprocs_per_machine": 1}
    code = yaml.safe_load((HOWTO / "cluster.pw.yaml").read_text())
    code |= {"filepath_executable": str(quantum_espresso / "pw.x"), "prepend_text": ""}
    for name, content in (("computer", computer), ("pw", code)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    for words in (
        ("computer", "setup", "-n", "--config", str(tmp_path / "computer.yaml")),
        ("computer", "configure", "core.local", "cluster", "-n"),
        ("code", "create", "core.code.installed", "-n", "--config", str(tmp_path / "pw.yaml")),
    ):
        result = CliRunner().invoke(verdi, words)
        assert result.exit_code == 0, result.output
    outputs, node = run_get_node(
        WorkflowFactory("nvp.label"),
        frames=DatasetData(
            FrameSet.from_atoms([Atoms("NaP", [[0, 0, 0], [1.2, 1.4, 1.7]], cell=[3.2, 3.4, 3.6], pbc=True)])
        ),
        labeller="quantumespresso",
        code=check_own_pw("pw-7.4@cluster").value,
        pseudos=pseudos,
        settings={"cutoff_wfc_ry": 30, "cutoff_rho_ry": 240, "degauss_ry": 0.02},
    )
    assert node.is_finished_ok, node.exit_message
    (job,) = (child for child in node.called_descendants if isinstance(child, orm.CalcJobNode))
    assert (job.computer.label, len(outputs["dataset"])) == ("cluster", 1)
