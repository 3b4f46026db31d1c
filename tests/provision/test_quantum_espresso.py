import subprocess
import sys
from pathlib import Path

import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision import quantum_espresso
from aiida_nvp.provision.quantum_espresso import (
    ensure_quantum_espresso,
    find_interpreter,
    interpreter_candidates,
    probe_interpreter,
    shim,
)


def test_the_first_interpreter_with_a_wheel_is_taken():
    versions = {"new": (3, 14), "broken": None, "good": (3, 11), "later": (3, 12)}
    assert find_interpreter(versions, versions.get) == "good"


def test_without_a_suitable_interpreter_one_sentence_says_which_and_what_else():
    with pytest.raises(InputError, match=r"3\.10, 3\.11, 3\.12 only.*--pw CODE@COMPUTER"):
        find_interpreter(["new", "old"], {"new": (3, 13), "old": (3, 9)}.get)


def test_candidates_are_the_running_one_and_those_on_path():
    assert interpreter_candidates({"python3.11": "/opt/python3.11"}.get) == [sys.executable, "/opt/python3.11"]


def test_probe_of_real_and_of_broken_programs(tmp_path):
    assert probe_interpreter(sys.executable) == sys.version_info[:2]
    assert probe_interpreter(str(tmp_path / "missing")) is None
    refusing = tmp_path / "python3.12"
    refusing.write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
    refusing.chmod(0o755)
    assert probe_interpreter(str(refusing)) is None


def test_shim_passes_arguments_input_and_status_and_shields_the_interpreter(tmp_path):
    folder = tmp_path / "with space"
    folder.mkdir()
    python = folder / "python"
    python.write_text('#!/bin/sh\necho "$OMP_NUM_THREADS" "$@"\ncat\nexit 3\n')
    python.chmod(0o755)
    program = tmp_path / "pw.x"
    program.write_text(shim(python, "pw.x"))
    program.chmod(0o755)
    result = subprocess.run(
        [program, "-in", "a b"],
        input="deck",
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert result.returncode == 3
    assert result.stdout == "1 -I -m qepy --pw.x -in a b\ndeck"


def test_threads_chosen_by_the_scheduler_are_kept(tmp_path):
    program = tmp_path / "pw.x"
    program.write_text(shim(Path("/bin/echo"), "pw.x").replace("-I", "$OMP_NUM_THREADS"))
    result = subprocess.run(["sh", program], capture_output=True, text=True, check=False, env={"OMP_NUM_THREADS": "4"})
    assert result.stdout.startswith("4 ")


def test_an_existing_environment_is_used_and_a_second_time_changes_nothing(tmp_path, monkeypatch):
    (tmp_path / "qe" / "bin").mkdir(parents=True)
    monkeypatch.setattr(quantum_espresso, "installed_version", lambda _: "7.2.0")
    first = ensure_quantum_espresso(tmp_path)
    assert first.changed
    assert {file.name for file in first.value.iterdir()} == {"pw.x", "ld1.x"}
    assert not ensure_quantum_espresso(tmp_path).changed


def test_a_package_index_that_fails_is_told_with_its_last_line(tmp_path, monkeypatch):
    def run(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "noise\nERROR: No matching distribution found.\n")

    monkeypatch.setattr(quantum_espresso, "installed_version", lambda _: None)
    monkeypatch.setattr(quantum_espresso, "find_interpreter", lambda _: "python")
    monkeypatch.setattr(quantum_espresso.subprocess, "run", run)
    with pytest.raises(InputError, match=r"failed: ERROR: No matching distribution found; .*--pw"):
        ensure_quantum_espresso(tmp_path)
