import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from aiida_nvp.cli import COMMANDS, nvp
from aiida_nvp.cli.frame import Entry, LazyGroup
from aiida_nvp.common.errors import InputError

REHEARSAL = str(Path(__file__).parents[2] / "workchains" / "campaigns" / "rehearsal.yaml")


@click.command("fails")
def fails():
    """Fail for a reason that the user can remove."""
    raise InputError("density 9 cannot be packed; give at most 4.")


@pytest.fixture
def group(monkeypatch):
    module = type(sys)("commands_of_the_test")
    module.fails = fails
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return LazyGroup(
        "group",
        table={
            "fails": Entry("commands_of_the_test:fails", "Fails."),
            "absent": Entry("aiida_nvp.no_such_module:command", "Is not there."),
        },
    )


def test_help_lists_every_command_and_imports_none(group):
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    assert "Is not there." in result.output


def test_an_input_error_is_one_sentence_without_traceback(group):
    result = CliRunner().invoke(group, ["fails"])
    assert result.exit_code == 1
    assert result.output == "Error: density 9 cannot be packed; give at most 4.\n"


def test_an_unknown_command_is_refused(group):
    assert CliRunner().invoke(group, ["nothing"]).exit_code == 2


def test_help_of_the_program_needs_no_aiida():
    code = (
        "import sys; from aiida_nvp.cli import nvp; nvp(['--help'], standalone_mode=False); "
        "sys.exit(any(name.split('.')[0] in ('aiida', 'torch', 'numpy') for name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_of_the_table_exists_and_explains_itself(name):
    result = CliRunner().invoke(nvp, [name, "--help"])
    assert result.exit_code == 0, result.output
    assert ("--profile" in result.output) is (name not in {"verdi-hook", "benchmark", "analyse"})


def test_an_unknown_profile_is_one_sentence(aiida_profile):
    result = CliRunner().invoke(nvp, ["status", "-p", "nowhere"])
    assert result.exit_code == 1
    assert "no AiiDA profile 'nowhere'" in result.output


@pytest.fixture
def no_profile(tmp_path):
    """Environment in which AiiDA has no profile."""
    return {**os.environ, "AIIDA_PATH": str(tmp_path)}


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", REHEARSAL],
        ["run", REHEARSAL],
        ["submit", REHEARSAL],
        ["submit", "core.arithmetic.add", REHEARSAL],
        ["status"],
        ["report", "1"],
        ["lineage", "1", "--all"],
    ],
    ids=" ".join,
)
def test_without_a_profile_a_command_says_how_to_get_one(no_profile, arguments):
    command = [sys.executable, "-m", "aiida_nvp.cli", *arguments]
    done = subprocess.run(command, env=no_profile, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "Error: no AiiDA profile; run `aiida-nvp setup`, or name one with -p.\n"


def test_what_needs_no_profile_does_without(no_profile):
    for options in (["--schema"], [REHEARSAL, "--offline"]):
        command = [sys.executable, "-m", "aiida_nvp.cli", "check", *options]
        assert subprocess.run(command, env=no_profile, capture_output=True, check=False).returncode == 0


def test_the_submit_of_verdi_says_the_same_without_a_profile(no_profile):
    program = "from aiida_nvp.cli.submit import submit; submit()"
    command = [sys.executable, "-c", program, "core.arithmetic.add", REHEARSAL]
    done = subprocess.run(command, env=no_profile, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith("\nError: no AiiDA profile; run `aiida-nvp setup`, or name one with -p.\n")
    assert "Traceback" not in done.stderr


def test_help_of_submit_keeps_its_examples_apart():
    lines = CliRunner().invoke(nvp, ["submit", "--help"]).output.splitlines()
    assert "  aiida-nvp submit campaign.yaml" in lines
    assert "  aiida-nvp submit nvp.active_learning inputs.yaml" in lines
