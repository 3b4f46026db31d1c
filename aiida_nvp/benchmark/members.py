"""A committee trained by the worker programs in plain folders, side by side on the cores there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aiida_nvp.common.energy_shifts import fit_energy_shifts
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.worker.job import ERROR_FILE, FRAMES_FILE, INPUT_FILE, OUTPUT_FILE, PROGRESS_FILE
from aiida_nvp.worker.nequip_config import PACKAGE_FILE

Tell = Callable[[str], None]
POLL_S = 2.0


def train_committee(
    frames: FrameSet, definition: PotentialDefinition, seed: int, folder: Path, tell: Tell
) -> list[Path]:
    """Train all members and return their packages; what an interrupted run has finished is used again.

    :param folder: one subfolder a member is made in it.
    :param tell: is given a sentence on the progress now and then.
    :raises InputError: with the sentence of a training that failed.
    """
    shifts = fit_energy_shifts(frames, definition.species)
    jobs = []
    for member in range(definition.committee.members):
        job = folder / f"member_{member}"
        job.mkdir(parents=True, exist_ok=True)
        content = {
            "definition": definition.plain(),
            "shifts": shifts,
            "seed": derive_seed(seed, "train", member),
            "frames": frames.content_hash,
        }
        if not _done(job, content):
            frames.save(job / FRAMES_FILE)
            (job / OUTPUT_FILE).unlink(missing_ok=True)
            (job / INPUT_FILE).write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")
        jobs.append(job)
    _run([job for job in jobs if not (job / OUTPUT_FILE).exists()], tell)
    return [job / PACKAGE_FILE for job in jobs]


def _done(job: Path, content: dict[str, object]) -> bool:
    if not ((job / OUTPUT_FILE).exists() and (job / PACKAGE_FILE).exists()):
        return False
    return bool(json.loads((job / INPUT_FILE).read_text(encoding="utf-8")) == content)


def _run(waiting: list[Path], tell: Tell) -> None:
    cores = max(1, len(os.sched_getaffinity(0)))
    running: dict[Path, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < cores:
                job = waiting.pop(0)
                running[job] = _start(job)
            time.sleep(POLL_S)
            for job in [job for job, process in running.items() if process.poll() is not None]:
                if running.pop(job).returncode != 0:
                    raise InputError(f"{job.name}: {_sentence(job)}")
            tell(", ".join(f"{job.name} {_epoch(job)}" for job in running) or "trained")
    finally:
        for process in running.values():
            process.terminate()


def _start(job: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "aiida_nvp.worker.main", "train", str(job / INPUT_FILE)]
    with (job / "worker.out").open("wb") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )


def _sentence(job: Path) -> str:
    path = job / ERROR_FILE
    if not path.exists():
        return f"the training was killed; its last words are in {job / 'worker.out'}."
    return str(json.loads(path.read_text(encoding="utf-8"))["message"])


def _epoch(job: Path) -> str:
    path = job / PROGRESS_FILE
    lines: Sequence[str] = path.read_text(encoding="utf-8").splitlines() if path.exists() else ()
    epochs = [entry for entry in map(json.loads, lines) if "epoch" in entry]
    return f"epoch {epochs[-1]['epoch']}/{epochs[-1]['epochs']}" if epochs else "starts"
