"""The benchmark by command: it needs no profile, and says in one sentence what it cannot use."""

import json

import pytest
import yaml
from click.testing import CliRunner

from aiida_nvp.cli import nvp
from aiida_nvp.labelling.extxyz import write_extxyz


def invoke(*arguments):
    return CliRunner().invoke(nvp, ["benchmark", "uncertainty", *map(str, arguments)])


@pytest.fixture
def potential(tmp_path, tiny_definition):
    folder = tmp_path / "potential"
    folder.mkdir()
    (folder / "potential.yaml").write_text(yaml.safe_dump(tiny_definition.plain()))
    return folder


@pytest.fixture
def file(tmp_path, morse_frames):
    path = tmp_path / "morse.extxyz"
    path.write_text(write_extxyz(morse_frames(30, seed=3)))
    return path


@pytest.mark.slow
def test_a_committee_is_trained_judged_and_used_again(tmp_path, file, potential):
    arguments = (
        file,
        "--potential",
        potential,
        "--out",
        tmp_path / "out",
        "--ood",
        "composition=O3V",
        "--divisions",
        3,
    )
    first = invoke(*arguments)
    assert first.exit_code == 0, first.output
    assert "10 out of it" in first.output
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result["frames"] == {"train": 10, "in": 10, "out": 10}
    assert set(result["calibrated"]) == {"in", "out"}
    page = (tmp_path / "out" / "uncertainty.html").read_text()
    assert page.count("<svg") == 2
    package = tmp_path / "out" / "member_0" / "potential.nequip.zip"
    made = package.stat().st_mtime_ns
    again = invoke(*arguments)
    assert package.stat().st_mtime_ns == made
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == result
    assert again.exit_code == 0


def test_what_cannot_be_used_is_said(tmp_path, file, potential, morse_frames):
    few = tmp_path / "few.extxyz"
    few.write_text(write_extxyz(morse_frames(1)))
    assert "at least 12 labelled frames" in invoke(few, "--potential", potential).output
    bare = tmp_path / "bare.extxyz"
    bare.write_text(write_extxyz(morse_frames(12).without_labels()))
    assert "energy" in invoke(bare, "--potential", potential).output
    assert "no frame has `temperature`" in invoke(file, "--potential", potential, "--ood", "temperature>9").output
    wrong = invoke(file, "--potential", potential, "--key", "energy=REF_energy")
    assert wrong.exit_code != 0
    assert "REF_energy" in wrong.output


def test_a_failed_training_is_told(tmp_path, morse_frames, tiny_definition):
    from aiida_nvp.benchmark.members import train_committee
    from aiida_nvp.common.errors import InputError

    same = morse_frames(1)
    with pytest.raises(InputError, match=r"member_0: .*two different frames"):
        train_committee(same, tiny_definition, 1, tmp_path, lambda _sentence: None)
