"""Setup as a new user meets it, from nothing to a profile whose daemon has been killed and healed."""

import json
import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import pytest

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
    assert "restarted with one worker" in healed.stdout
    assert _doctor(program)[0] == 0
