"""Setup as a new user meets it, from nothing to a profile whose daemon has been killed and healed."""

import json
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest
from aiida import orm

from aiida_nvp.provision import setup, verdi_hook
from aiida_nvp.provision.codes import PW_DESCRIPTION
from aiida_nvp.provision.pseudopotentials import FAMILY
from aiida_nvp.provision.setup import Choices, set_up
from aiida_nvp.provision.steps import Outcome, Steps
from aiida_nvp.workflows.engines import Engines, chosen_engines, store_engines

PROGRAMS = Path(sysconfig.get_path("scripts"))


@pytest.fixture
def program(tmp_path):
    """Run a program of this environment with an AiiDA folder of its own; the daemon is stopped at the end."""
    environment = {**os.environ, "AIIDA_PATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}

    def _run(name, *arguments):
        return subprocess.run(
            [PROGRAMS / name, *arguments], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
        )

    yield _run
    _run("verdi", "daemon", "stop")


def _broker(home):
    (status,) = (home / ".aiida" / "broker").glob("*/broker.status")
    return json.loads(status.read_text())["pid"]


def _doctor(program):
    result = program("aiida-nvp", "doctor")
    lines = [line.split(maxsplit=2) for line in result.stdout.splitlines() if line.startswith(("works", "BROKEN"))]
    return result.returncode, {line[1]: line for line in lines}


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.timeout(600)
def test_setup_repeat_examine_and_heal(program, tmp_path):
    first = program("aiida-nvp", "setup", "--no-verdi-hook")
    assert first.returncode == 0, first.stdout + first.stderr
    steps = first.stdout.splitlines()[:-1]
    assert all(line.startswith("+") for line in steps), first.stdout
    assert (tmp_path / ".engines" / "qe" / "bin" / "pw.x").is_file()

    start = time.monotonic()
    second = program("aiida-nvp", "setup", "--no-verdi-hook")
    assert all(line.startswith("=") for line in second.stdout.splitlines()[:-1]), second.stdout
    assert time.monotonic() - start < 30

    status, parts = _doctor(program)
    assert status == 0, parts
    assert {"profile", "daemon", "broker", "computer", "pw.x", "pseudopotentials", "worker", "libraries"} <= set(parts)

    os.kill(_broker(tmp_path), signal.SIGKILL)
    status, parts = _doctor(program)
    assert status == 1
    assert [name for name, line in parts.items() if line[0] == "BROKEN"] == ["broker"]

    healed = program("aiida-nvp", "setup", "--no-verdi-hook")
    assert "restarted with 1 worker" in healed.stdout
    assert _doctor(program)[0] == 0


@pytest.fixture
def light_setup(aiida_profile_clean, aiida_localhost, aiida_code_installed, no_engines, monkeypatch, tmp_path):
    """Return a function that sets up and returns what was printed and which programs were installed.

    The steps that reach beyond the database are stood in for; the hook goes into ``tmp_path / "site"``.
    """
    installed = []
    worker = aiida_code_installed(label="nvp-worker", filepath_executable="/bin/true")

    def step(name, value):
        def _do(*_):
            installed.append(name)
            return Outcome(value() if callable(value) else value, name, changed=False)

        return _do

    def pw():
        label = {"label": "pw", "filepath_executable": "/bin/true"}
        return aiida_code_installed(**label, description=PW_DESCRIPTION)

    def own_family(label):
        return Outcome(label, f"{label} is yours", changed=False)

    for name in ("profile", "options", "write_ahead_log", "computer", "worker", "daemon"):
        monkeypatch.setattr(setup, f"ensure_{name}", step(name, worker))
    monkeypatch.setattr(setup, "ensure_quantum_espresso", step("qepy", tmp_path))
    monkeypatch.setattr(setup, "ensure_pw", step("pw.x", pw))
    monkeypatch.setattr(setup, "ensure_family", step("family", FAMILY))
    monkeypatch.setattr(setup, "check_own_family", own_family)
    monkeypatch.setattr(verdi_hook, "site_folder", lambda: tmp_path / "site")
    (tmp_path / "site").mkdir()

    def _set_up(**choices):
        lines = []
        installed.clear()
        set_up(Choices(**{"hook": False, "daemon": False, **choices}), Steps(lines.append))
        return "\n".join(lines), set(installed) & {"qepy", "pw.x", "family"}

    yield _set_up
    # A later test would be given these stand-ins: codes are found again by their labels.
    aiida_profile_clean.reset_storage()


def test_own_engines_of_an_earlier_setup_are_kept(light_setup, aiida_code_installed):
    own = aiida_code_installed(label="pw-7.4", filepath_executable="/opt/qe/bin/pw.x").full_label
    assert light_setup(pw=own, pseudos="SSSP")[1] == set()
    said, installed = light_setup()
    assert installed == set()
    assert f"{own}, SSSP kept from the setup before" in said
    engines = chosen_engines()
    assert (engines.pw, engines.pseudos) == (own, "SSSP")


def test_each_own_engine_is_kept_by_itself(light_setup, aiida_code_installed):
    own = aiida_code_installed(label="pw", filepath_executable="/opt/qe/bin/pw.x").full_label
    light_setup(pw=own)
    said, installed = light_setup()
    assert installed == {"qepy", "family"}
    assert f"{own} kept from the setup before; --pw would name others" in said
    assert (chosen_engines().pw, chosen_engines().pseudos) == (own, FAMILY)


def test_engines_that_the_setup_installed_are_ensured_again(light_setup):
    for _ in range(2):
        said, installed = light_setup()
        assert installed == {"qepy", "pw.x", "family"}
        assert "kept" not in said
    store_engines(Engines("pw@localhost", "nvp-worker@localhost", FAMILY))
    orm.load_code("pw@localhost").label = "gone"
    assert light_setup()[1] == {"qepy", "pw.x", "family"}


def test_the_hook_is_left_out_where_asked_and_installed_otherwise(light_setup, tmp_path):
    said, _ = light_setup(hook=False)
    assert list((tmp_path / "site").iterdir()) == []
    assert "verdi hook" not in said
    said, _ = light_setup(hook=True)
    assert verdi_hook.is_installed(tmp_path / "site")
    assert "verdi hook" in said
