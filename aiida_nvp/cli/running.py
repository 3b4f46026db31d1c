"""Runs a process in the calling one, with its progress on the terminal."""

from __future__ import annotations

import subprocess
import sys

import click
from aiida.engine import ProcessBuilder
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager


def run_watched(builder: ProcessBuilder, what: str) -> int:
    """Run the process to its end and return its pk; a second program prints the progress meanwhile.

    :param what: what the process is called on the terminal.
    """
    runner = get_manager().get_runner()
    process = instantiate_process(runner, builder)
    click.echo(f"{what} {process.pid} runs in this process; `aiida-nvp status {process.pid}` asks from elsewhere.")
    profile = get_manager().get_profile()
    chosen = ["-p", profile.name] if profile is not None else []
    command = [sys.executable, "-m", "aiida_nvp.cli", *chosen, "status", str(process.pid), "--watch"]
    with subprocess.Popen(command) as watcher:
        runner.run(process)
        watcher.wait()
    return int(process.pid)
