"""Commands on campaigns: what they print, and what they refuse in one sentence."""

from pathlib import Path

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_nvp.cli import campaign

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

REHEARSAL = Path(__file__).parents[2] / "workchains" / "campaigns" / "rehearsal.yaml"


def invoke(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_check_prints_the_plan():
    result = invoke(campaign.check, REHEARSAL, "--offline")
    assert result.exit_code == 0, result.output
    for words in ("is in order", "cells", "labels, at most", "trainings, at most", "stand-in", "core hours"):
        assert words in result.output


def test_check_wants_a_file_or_the_schema():
    assert "give a campaign file" in invoke(campaign.check).output
    assert '"properties"' in invoke(campaign.check, "--schema").output


def test_check_names_the_faulty_line(tmp_path):
    text = REHEARSAL.read_text().replace("seed: 2025", "seed: minus")
    path = tmp_path / "faulty.yaml"
    path.write_text(text.replace("potential: nvp-tiny", f"potential: {REHEARSAL.parents[2] / 'potentials/nvp-tiny'}"))
    result = invoke(campaign.check, path, "--offline")
    assert result.exit_code == 1
    assert f"{path}:5: seed:" in result.output


@pytest.mark.usefixtures("no_engines")
def test_check_names_engines_that_are_missing():
    result = invoke(campaign.check, REHEARSAL)
    assert result.exit_code == 1
    assert "no engines are set up in this profile; run `aiida-nvp setup`" in result.output


def test_status_without_campaigns_says_how_to_start_one():
    assert "aiida-nvp submit FILE" in invoke(campaign.status).output


def test_status_of_something_else_is_refused():
    node = orm.Int(1).store()
    for arguments in ((node.pk,), (node.pk, "--watch")):
        result = invoke(campaign.status, *arguments)
        assert result.exit_code == 1
        assert "not a process" in result.output
    assert "no node 999999" in invoke(campaign.status, 999999).output


def test_status_lists_campaigns():
    node = orm.WorkChainNode(process_type="aiida.workflows:nvp.campaign", label="glass")
    node.set_process_state("finished")
    node.set_exit_status(0)
    node.store()
    result = invoke(campaign.status)
    assert "glass" in result.output
    assert "finished" in result.output
