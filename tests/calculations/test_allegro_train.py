import json

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_nvp.calculations.allegro_train import AllegroTrainCalculation
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


@pytest.fixture
def builder(worker_code, morse_frames, tiny_definition, tiny_shifts):
    builder = AllegroTrainCalculation.get_builder()
    builder.code = worker_code
    builder.frames = DatasetData(morse_frames(12))
    builder.definition = orm.Dict(tiny_definition.plain())
    builder.shifts = orm.Dict(tiny_shifts)
    builder.seed = 5
    return builder


def potential(path):
    return PotentialData(path, types=["Na", "V", "P", "O"], cutoff=4.0, seed=0)


def test_cold_start_folder(builder, prepare, tiny_definition):
    builder.metadata.options.max_wallclock_seconds = 600
    calc_info, folder = prepare(builder)
    content = json.loads((folder / "input.json").read_text())
    assert content["definition"] == tiny_definition.plain()
    assert (content["seed"], content["max_wallclock_s"]) == (5, 600)
    assert "rate_factor" not in content
    assert [entry[2] for entry in calc_info.local_copy_list] == ["frames.npz"]
    assert not calc_info.remote_copy_list


def test_warm_start_brings_the_parent_and_a_restart_the_checkpoints(
    builder, prepare, tiny_committee, aiida_localhost, tmp_path
):
    builder.parent = potential(tiny_committee[0]).store()
    builder.restart = orm.RemoteData(remote_path=str(tmp_path), computer=aiida_localhost)
    builder.rate_factor = 0.3
    calc_info, folder = prepare(builder)
    assert json.loads((folder / "input.json").read_text())["rate_factor"] == 0.3
    assert {entry[2] for entry in calc_info.local_copy_list} == {"frames.npz", "parent.nequip.zip"}
    assert [entry[1:] for entry in calc_info.remote_copy_list] == [
        (str(tmp_path / name), name) for name in ("last.ckpt", "best.ckpt")
    ]


@pytest.mark.parametrize(
    ("about", "refit"),
    [
        ({}, False),
        ({"level_of_theory": "morse"}, False),
        ({"level_of_theory": "another"}, True),
        ({"foreign": True}, True),
    ],
)
def test_shifts_are_fitted_anew_where_the_parent_has_another_zero(builder, prepare, tiny_committee, about, refit):
    parent = potential(tiny_committee[0])
    parent.set_origin(**about)
    builder.parent = parent.store()
    del builder.shifts
    _, folder = prepare(builder)
    content = json.loads((folder / "input.json").read_text())
    assert content["refit_shifts"] is refit
    assert content["shifts"] == {}


def test_a_start_from_random_weights_needs_shifts(builder, prepare):
    del builder.shifts
    with pytest.raises(ValueError, match=r"give `shifts`.*or a `parent`"):
        prepare(builder)


def test_impossible_inputs_are_refused_at_once(builder, morse_frames, tiny_definition):
    with pytest.raises(ValueError, match="unlabelled"):
        builder.frames = DatasetData(morse_frames(2).without_labels())
    with pytest.raises(ValueError, match="empty"):
        builder.frames = DatasetData(morse_frames(2).subset([]))
    with pytest.raises(ValueError, match="not valid"):
        builder.definition = orm.Dict({**tiny_definition.plain(), "cutoff": -1})


@pytest.mark.parametrize(
    "resources", [{"num_machines": 2, "num_mpiprocs_per_machine": 1}, {"num_machines": 1, "tot_num_mpiprocs": 4}]
)
def test_more_than_one_process_is_refused(builder, resources):
    with pytest.raises(ValueError, match=r"a training is one process.*`num_cores_per_mpiproc`"):
        builder.metadata.options.resources = resources


def test_more_cores_for_the_one_process_are_taken(builder, prepare):
    resources = {"num_machines": 1, "num_mpiprocs_per_machine": 1, "num_cores_per_mpiproc": 4}
    builder.metadata.options.resources = resources
    assert prepare(builder)[0].prepend_text == "export OMP_NUM_THREADS=4"


def test_execution_gives_potential_metrics_and_results(builder):
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    trained = outputs["potential"]
    assert (trained.types, trained.cutoff) == (["Na", "V", "P", "O"], 4.0)
    assert (trained.seed, trained.level_of_theory, trained.foreign) == (5, "morse", False)
    assert outputs["metrics"].get_array("epoch").tolist() == [1, 2]
    assert outputs["results"]["n_train"] > outputs["results"]["n_validation"] >= 1


def test_species_outside_the_definition_ends_with_a_sentence(builder, morse_frames):
    builder.frames = DatasetData(morse_frames(4, symbols=["LiVPO5"]))
    _, node = run_get_node(builder)
    assert node.exit_status == AllegroTrainCalculation.exit_codes.ERROR_WORKER_INPUT.status
    assert "holds Li" in node.exit_message
