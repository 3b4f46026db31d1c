import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from aiida_nvp.cli import COMMANDS, nvp
from aiida_nvp.cli.frame import Entry, LazyGroup
from aiida_nvp.common.errors import InputError


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
    assert ("--profile" in result.output) is (name != "verdi-hook")


def test_an_unknown_profile_is_one_sentence(aiida_profile):
    result = CliRunner().invoke(nvp, ["status", "-p", "nowhere"])
    assert result.exit_code == 1
    assert "no AiiDA profile 'nowhere'" in result.output
