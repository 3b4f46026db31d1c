"""Potentials by command: what is listed, taken in, given out, and refused in one sentence."""

import hashlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage import get_manager
from ase.data import atomic_numbers
from click.testing import CliRunner

from aiida_nvp.calculations.allegro_train import AllegroTrainCalculation
from aiida_nvp.calculations.import_potential import import_potential
from aiida_nvp.cli import nvp
from aiida_nvp.cli.potential import POTENTIAL_COMMANDS
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

ZERO = {"Na": -1300.0, "V": -1900.0, "P": -190.0, "O": -440.0}


def invoke(*arguments):
    profile = get_manager().get_profile().name
    return CliRunner().invoke(nvp, ["-p", profile, "potential", *map(str, arguments)])


def potentials():
    return orm.QueryBuilder().append(PotentialData, tag="p").order_by({"p": "id"}).all(flat=True)


def refused(result, *words):
    """The command failed with one sentence, no traceback, and left no potential."""
    assert result.exit_code == 1, result.output
    said = result.stderr.splitlines()[-1]
    assert said.startswith("Error: ")
    assert all(word in said for word in words), said
    assert not potentials()


def changed(source, target, old, new):
    """Copy a package with another text in its metadata."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name.endswith("package_metadata.txt"):
                assert old.encode() in content
                content = content.replace(old.encode(), new.encode())
            after.writestr(name, content)
    return target


@pytest.fixture
def train(worker_code, tiny_definition, tiny_shifts):
    """Return a function that trains for an epoch or two on a data set."""

    def _train(frames, **inputs):
        builder = AllegroTrainCalculation.get_builder()
        builder.code = worker_code
        builder.frames = DatasetData(frames)
        builder.definition = orm.Dict(tiny_definition.plain())
        builder.seed = 5
        if "parent" not in inputs:
            builder.shifts = orm.Dict(tiny_shifts)
        for name, value in inputs.items():
            builder[name] = value
        outputs, node = run_get_node(builder)
        assert node.is_finished_ok, node.exit_message
        return outputs, node

    return _train


@pytest.mark.parametrize("name", sorted(POTENTIAL_COMMANDS))
def test_every_command_explains_itself(name):
    result = invoke(name, "--help")
    assert result.exit_code == 0, result.output
    assert "--profile" in result.output


def test_an_empty_profile_says_how_to_get_a_potential():
    result = invoke("list")
    assert result.exit_code == 0
    assert "no potentials in this profile" in result.output


def test_a_package_is_not_loaded_without_trust(tiny_committee):
    refused(invoke("import", tiny_committee[0]), "carries Python code and pickles", "--trust")
    file = orm.SinglefileData(tiny_committee[0])
    _, node = import_potential.run_get_node(file=file, statement=orm.Dict({"sha256": None}))
    assert node.exit_status == 210
    assert "say --trust" in node.exit_message
    assert not potentials()


def test_what_is_no_potential_is_refused(tmp_path, tiny_committee):
    text = tmp_path / "text.nequip.zip"
    text.write_text("not a package")
    refused(invoke("import", text, "--trust"), "text.nequip.zip is no zip archive")
    other = tmp_path / "other.nequip.zip"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("README", "a zip that is not a model")
    refused(invoke("import", other, "--trust"), "a zip archive but no model")
    refused(invoke("import", tiny_committee[0], "--trust", "--sha256", "0" * 64), "has the SHA-256", "another one")
    later = changed(tiny_committee[0], tmp_path / "later.nequip.zip", "package_version_id: 2", "package_version_id: 7")
    refused(invoke("import", later, "--trust"), "package format 7", "update here")
    # Nothing of this reached the database.
    assert orm.QueryBuilder().append(orm.Node).count() == 0


def test_a_package_that_does_not_run_here_is_refused_with_its_versions(tmp_path, tiny_committee):
    broken = tmp_path / "broken.nequip.zip"
    with zipfile.ZipFile(tiny_committee[0]) as before, zipfile.ZipFile(broken, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name.endswith("package_metadata.txt"):
                content = content.replace(b"nequip: 0.", b"nequip: 7.")
            if name.endswith("eager_model.pkl"):
                content = content[: len(content) // 2]
            after.writestr(name, content)
    result = invoke("import", broken, "--trust")
    refused(result, "is damaged or no package", "Made by nequip 7.")
    assert "Traceback" not in result.output


def test_another_version_that_works_is_taken_with_a_remark(tmp_path, tiny_committee):
    later = changed(tiny_committee[0], tmp_path / "later.nequip.zip", "nequip: 0.", "nequip: 0.9")
    result = invoke("import", later, "--trust")
    assert result.exit_code == 0, result.output
    assert "made by nequip 0.9" in result.output
    assert potentials()[0].versions["nequip"].startswith("0.9")


def test_an_unknown_or_other_node_is_one_sentence(tmp_path):
    assert "no single node `4711` in this profile" in invoke("show", 4711).output
    node = orm.Int(1).store()
    result = invoke("export", node.pk, "--out", tmp_path / "x")
    assert result.exit_code == 1
    assert f"node {node.pk} is a Int, not a potential" in result.output
    assert not (tmp_path / "x").exists()


def test_from_a_training_to_a_colleague_and_on_with_their_labels(train, morse_frames, tmp_path):
    """Train here, export, import the file as foreign, fine-tune it on labels of another energy zero."""
    frames = morse_frames(12)
    outputs, training = train(frames)
    ours = outputs["potential"]
    listed = invoke("list").output.splitlines()[1]
    assert str(ours.pk) in listed
    assert f"AllegroTrainCalculation<{training.pk}>" in listed
    assert "morse" in listed
    assert "eV/angstrom on out of bag" in listed
    shown = invoke("show", ours.pk).output
    assert ours.sha256 in shown
    assert "12 frames of" in shown
    assert f", {training.inputs.frames.pk}\n" in shown

    folder = tmp_path / "for a colleague"
    result = invoke("export", ours.uuid, "--out", folder)
    assert result.exit_code == 0, result.output
    assert {path.name for path in folder.iterdir()} == {"potential.nequip.zip", "statistics.npz", "card.md"}
    package = folder / "potential.nequip.zip"
    assert hashlib.sha256(package.read_bytes()).hexdigest() == ours.sha256
    card = (folder / "card.md").read_text()
    error = outputs["results"]["errors"]["out_of_bag"]["force_rmse"]
    for word in (str(ours.uuid), str(training.uuid), str(training.inputs.frames.uuid), ours.sha256, f"{error:.3f}"):
        assert word in card
    assert "Temperatures: no frame states one." in card
    again = invoke("export", ours.uuid, "--out", folder)
    assert again.exit_code == 1
    assert "card.md already; --force replaces" in again.output
    assert invoke("export", ours.uuid, "--out", folder, "--force").exit_code == 0

    result = invoke("import", package, "--trust", "--sha256", ours.sha256, "--card", folder / "card.md", "--label", "x")
    assert result.exit_code == 0, result.output
    foreign = potentials()[-1]
    assert (foreign.foreign, foreign.types, foreign.cutoff, foreign.seed) == (True, ours.types, 4.0, None)
    assert "foreign" in invoke("list").output.splitlines()[2]
    result = invoke("export", foreign.pk, "--out", tmp_path / "on")
    assert result.exit_code == 0, result.output
    passed_on = (tmp_path / "on" / "card.md").read_text()
    assert "trained elsewhere" in passed_on
    assert "Card of its maker" in passed_on
    assert str(training.uuid) in passed_on

    each = np.zeros(100)
    each[[atomic_numbers[symbol] for symbol in ZERO]] = list(ZERO.values())
    moved = frames.energy + np.add.reduceat(each[frames.numbers], frames.offsets[:-1])
    tuned, _ = train(replace(frames, energy=moved, level_of_theory="another"), parent=foreign)
    errors = tuned["results"]["errors"]
    assert np.abs(moved / 8).min() > 300
    assert all(part["energy_rmse_per_atom"] < 1.0 for part in errors.values()), errors
    assert tuned["potential"].foreign is False
    assert tuned["potential"].level_of_theory == "another"
    assert f"started from         {foreign.pk}" in invoke("show", tuned["potential"].pk).output


@pytest.mark.slow
def test_compiled_files_agree_with_the_package(train, morse_frames, tmp_path):
    outputs, _ = train(morse_frames(12))
    engines = ("ase", "ase-sigma", "lammps", "torchsim")
    options = [word for engine in engines for word in ("--for", engine)]
    result = invoke("export", outputs["potential"].pk, "--out", tmp_path, *options)
    assert result.exit_code == 0, result.output
    card = (tmp_path / "card.md").read_text()
    for engine in engines:
        assert (tmp_path / f"potential.{engine}.nequip.pt2").stat().st_size > 1e5
        assert f"potential.{engine}.nequip.pt2" in card
    assert card.count("agrees with the package within") == len(engines)
