"""The daemon worker killed in the middle of a batch: nothing is computed twice and the batch finishes."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

PROGRAMS = Path(sysconfig.get_path("scripts"))
FRAMES = 6

SUBMIT = """
import numpy as np
from aiida import load_profile, orm
from aiida.engine import submit
from aiida.plugins import WorkflowFactory
from aiida_pseudo.data.pseudo.upf import UpfData
from ase import Atoms
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData

load_profile()
plugins = {{"transport_type": "core.local", "scheduler_type": "core.direct"}}
computer = orm.Computer("here", "localhost", workdir={work!r}, **plugins)
computer.store().configure(safe_interval=0.0)
computer.set_minimum_job_poll_interval(0.0)
code = orm.InstalledCode(label="slow", computer=computer, filepath_executable={script!r})
cells = [Atoms({symbols!r}, [[0, 0, 0], [1.9 + 0.02 * n, 0, 0]], cell=[5.0] * 3, pbc=True) for n in range({count})]
settings = {{"cutoff_wfc_ry": 25, "cutoff_rho_ry": 100}}
inputs = {{"labeller": {labeller!r}, "code": code, "settings": settings, "in_flight": 2}}
if {upf!r}:
    code.default_calc_job_plugin = "quantumespresso.pw"
    inputs["pseudos"] = {{"P": UpfData({upf!r}).store()}}
code.store()
print(submit(WorkflowFactory("nvp.label"), frames=DatasetData(FrameSet.from_atoms(cells)), **inputs).pk)
"""

STATE = """
import json, sys
from aiida import load_profile, orm
load_profile()
node = orm.load_node(int(sys.argv[1]))
jobs = [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]
ended = [job for job in jobs if job.is_terminated]
print(json.dumps({
    "under_way": sum(not job.is_terminated and job.get_job_id() is not None for job in jobs),
    "done": node.is_terminated, "status": node.exit_status, "jobs": len(jobs), "ended": len(ended),
    "labels": len(node.outputs.dataset) if "dataset" in node.outputs else 0,
}))
"""


@pytest.fixture
def program(tmp_path):
    """Run a program in an AiiDA folder of its own; its daemon is stopped at the end."""
    environment = {**os.environ, "AIIDA_PATH": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    environment["PATH"] = f"{PROGRAMS}{os.pathsep}{environment['PATH']}"

    def _run(*command):
        result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    yield _run
    subprocess.run([PROGRAMS / "verdi", "daemon", "stop"], env=environment, capture_output=True, check=False)


def daemon_workers(home):
    """PIDs of the daemon workers of the one profile in this folder, from the circus that watches over them."""
    import psutil

    (pid_file,) = (home / ".aiida" / "daemon").glob("circus-*.pid")
    below = psutil.Process(int(pid_file.read_text())).children(recursive=True)
    workers = []
    for process in below:
        # One of them may end between being listed and being asked.
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE and "worker" in process.cmdline():
                workers.append(process.pid)
    return workers


@pytest.fixture(params=["rehearsal", pytest.param("quantumespresso", marks=pytest.mark.engine)])
def batch(request, tmp_path):
    """What to label with, slowed down; every start of the program leaves a line in ``starts``."""
    script, starts = tmp_path / "program", tmp_path / "starts"
    given = {"labeller": request.param, "script": str(script), "upf": "", "symbols": "O2"}
    engine = PROGRAMS / "nvp-worker"
    if request.param == "quantumespresso":
        engine = request.getfixturevalue("quantum_espresso") / "pw.x"
        given |= {"upf": str(request.getfixturevalue("upf_files")["P"]), "symbols": "P2"}
    script.write_text(f'#!/bin/sh\necho start >> {starts}\nsleep 10\nexec {engine} "$@"\n')
    script.chmod(0o755)
    return given, starts


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_daemon_worker_loses_and_repeats_no_label(program, batch, tmp_path):
    given, starts = batch
    verdi = str(PROGRAMS / "verdi")
    program(verdi, "presto", "--profile-name", "test")
    # The usual two seconds are not enough where other programs keep the cores busy.
    program(verdi, "config", "set", "daemon.timeout", "60")
    program(verdi, "daemon", "start", "1")
    source = SUBMIT.format(work=str(tmp_path / "work"), count=FRAMES, **given)
    pk = program(sys.executable, "-c", source).split()[-1]

    def state():
        return json.loads(program(sys.executable, "-c", STATE, pk).splitlines()[-1])

    def in_the_middle():
        # Both places of the window taken by jobs that the scheduler has: a worker that dies between handing a job over
        # and writing down its number makes AiiDA hand it over again, which no plugin can mend.
        now = state()
        return now["ended"] >= 1 and now["under_way"] == 2

    wait_for(in_the_middle)
    killed = daemon_workers(tmp_path)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    assert not state()["done"]
    wait_for(lambda: state()["done"])

    end = state()
    assert (end["status"], end["labels"]) == (0, FRAMES)
    assert end["jobs"] == FRAMES
    assert len(starts.read_text().splitlines()) == FRAMES
    assert not set(killed) & set(daemon_workers(tmp_path))


def wait_for(condition, limit_s=240):
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "not reached in time"
        time.sleep(1)
