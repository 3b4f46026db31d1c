"""A process in the calling one, with a second program that watches it."""

import sys

import pytest
from aiida import orm
from aiida.manage import get_manager

from aiida_nvp.cli import running
from aiida_nvp.workflows.converge import ConvergeWorkChain

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def test_it_runs_to_its_end_while_its_status_is_watched(monkeypatch, capsys, aiida_code_installed, bare_upf):
    started = []

    class Watcher:
        def __init__(self, command):
            started.append(command)

        def __enter__(self):
            return self

        def __exit__(self, *fault):
            return None

        def wait(self):
            started.append("waited for")

    monkeypatch.setattr(running.subprocess, "Popen", Watcher)
    structure = orm.StructureData(cell=[[4, 0, 0], [0, 4, 0], [0, 0, 4]])
    structure.append_atom(symbols="O", position=(0, 0, 0))
    builder = ConvergeWorkChain.get_builder()
    builder.structure, builder.pseudos = structure, {"O": bare_upf("O")}
    builder.code = aiida_code_installed(label="none", filepath_executable="/bin/true")
    builder.settings, builder.plan = orm.Dict({}), orm.Dict({"duals": [4, 8]})
    pk = running.run_watched(builder, "convergence test")
    node = orm.load_node(pk)
    assert node.exit_status == 201
    profile = get_manager().get_profile().name
    command = [sys.executable, "-m", "aiida_nvp.cli", "-p", profile, "status", str(pk), "--watch"]
    assert started == [command, "waited for"]
    assert f"convergence test {pk} runs in this process" in capsys.readouterr().out
