"""Commands on campaigns: what they print, and what they refuse in one sentence."""

from pathlib import Path

import pytest
from aiida import orm
from aiida.manage import get_manager
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily
from click.testing import CliRunner

from aiida_nvp.cli import campaign
from aiida_nvp.workflows.engines import Engines, store_engines

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
    name = get_manager().get_profile().name
    assert f"no engines are set up in this profile; run `aiida-nvp setup -p {name}`" in result.output


@pytest.fixture
def first_principles(tmp_path, worker_code):
    """Return a function that writes a campaign which names its engines; they stand on lines 2, 3 and 5."""

    def _write(worker=worker_code.full_label, code="pw@nowhere", pseudos="none/PBE"):
        path = tmp_path / "campaign.yaml"
        text = REHEARSAL.read_text().replace("compute: {processes: 2}", "")
        text = text.replace("labeller:\n  kind: rehearsal\n  in_flight: 4", "")
        text = text.replace("potential: nvp-tiny", f"potential: {REHEARSAL.parents[2] / 'potentials/nvp-tiny'}")
        head = (
            f"labeller:\n  code: {code}\n  pseudos: {pseudos}\n  kind: quantumespresso\ncompute: {{worker: {worker}}}"
        )
        path.write_text(f"{head}\n{text}")
        return path

    return _write


@pytest.mark.usefixtures("no_engines")
def test_check_names_the_line_of_an_engine_that_is_not_there(first_principles, worker_code):
    path = first_principles(worker="none@nowhere")
    assert f"Error: {path}:5: compute.worker: no single code `none@nowhere`" in invoke(campaign.check, path).output
    path = first_principles()
    assert f"Error: {path}:2: labeller.code: no single code `pw@nowhere`" in invoke(campaign.check, path).output
    path = first_principles(code=worker_code.full_label)
    assert f"Error: {path}:3: labeller.pseudos: no pseudopotential family" in invoke(campaign.check, path).output


def test_check_names_the_line_of_a_parent_that_is_not_there(tmp_path, worker_code):
    text = REHEARSAL.read_text().replace("compute: {processes: 2}", f"compute: {{worker: {worker_code.full_label}}}")
    text = text.replace("potential: nvp-tiny", f"potential: {REHEARSAL.parents[2] / 'potentials/nvp-tiny'}")
    path = tmp_path / "campaign.yaml"
    path.write_text(f"parent: nothing\n{text}")
    refused = invoke(campaign.check, path)
    assert f"Error: {path}:1: parent: no single potential `nothing` in this profile" in refused.output
    unseen = invoke(campaign.check, path, "--offline")
    assert "parent of the members" in unseen.output
    assert unseen.exit_code == 0


@pytest.mark.usefixtures("no_engines")
def test_check_warns_of_low_cutoffs_with_their_figures(first_principles, aiida_code_installed, bare_upf):
    family = CutoffsPseudoPotentialFamily(label="local").store()
    family.add_nodes([bare_upf(symbol) for symbol in ("Na", "V", "P", "O")])
    family.set_cutoffs({s: {"cutoff_wfc": 50.0, "cutoff_rho": 300.0} for s in family.elements}, "normal", unit="Ry")
    code = aiida_code_installed(label="pw-here", filepath_executable="/opt/qe/bin/pw.x")
    path = first_principles(code=code.full_label, pseudos="local")
    result = invoke(campaign.check, path)
    assert result.exit_code == 0, result.output
    assert result.output.count("Warning: ") == 1
    assert "Warning: cutoff_wfc_ry is 45 Ry, but family `local` recommends 50 Ry for these species." in result.output


@pytest.mark.usefixtures("no_engines")
def test_check_blames_the_setup_for_what_the_file_does_not_name():
    store_engines(Engines(pw="", worker="gone@nowhere", pseudos=""))
    output = invoke(campaign.check, REHEARSAL).output
    assert f"Error: {REHEARSAL}: no single code `gone@nowhere` for worker programs" in output


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
