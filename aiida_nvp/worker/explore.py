"""Stage ``explore``: molecular dynamics of many replicas, every strided frame scored by the committee.

Input: ``frames.npz`` (start frames), ``member_*.nequip.zip`` and in ``input.json`` the keys ``parameters``
(:class:`~aiida_nvp.worker.settings.ExploreSettings`), ``members``, ``seed``, and optionally ``calibration``
(outcome of nvp.calibrate) and ``max_wallclock_s``; ``statistics.npz`` of the first member if there is one. Where a
``checkpoint.npz`` lies in the folder, the exploration that was stopped there goes on as if it had never been. Output:
``candidates.npz``, ``arrays.npz``, ``output.json``, and ``checkpoint.npz`` where replicas are left unfinished.
"""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.judge import Judge
from aiida_nvp.worker.job import FRAMES_FILE, Job, member_file
from aiida_nvp.worker.md import seconds_to_use
from aiida_nvp.worker.pool import explore
from aiida_nvp.worker.replica_store import pack_replicas, unpack_replicas
from aiida_nvp.worker.replicas import DIGITS, Plan, Replica
from aiida_nvp.worker.settings import CANDIDATES_FILE, CHECKPOINT_FILE, ExploreSettings, read_settings
from aiida_nvp.worker.statistics import read_statistics

FloatArray = NDArray[np.float64]
SECONDS_BETWEEN_REPORTS = 2.0


def run(job: Job) -> dict[str, Any]:
    """Run the stage; see the module's text for the files.

    :raises InputError: on parameters that make no sense or frames that the potential does not know.
    """
    started = time.monotonic()
    plan = _plan(job)
    replicas = _begin(job, plan)
    watch = _Watch(job, sum(not replica.finished for replica in replicas))
    packages = [job.path(member_file(index)) for index in range(int(job.inputs["members"]))]
    processes = min(plan.settings.processes, plan.settings.replicas)
    if processes == 1:
        replicas = explore(Committee.load(packages), plan, replicas, watch.count)
    else:
        replicas = _spread(packages, plan, (replicas, processes), watch)
    if not all(replica.finished for replica in replicas):
        job.write_arrays(pack_replicas(replicas), CHECKPOINT_FILE)
        job.progress(checkpoint=sum(replica.step for replica in replicas))
    _write_candidates(job, plan, replicas)
    return {"replicas": [replica.summary() for replica in replicas], "totals": _totals(plan, replicas, started)}


class _Watch:
    """Counts, reports, and knows when to stop."""

    def __init__(self, job: Job, total: int) -> None:
        self._job = job
        self._total = total
        self._limit = seconds_to_use(job.inputs)
        self._start = self._reported = time.monotonic()
        self._steps = self._finished = 0

    def count(self, steps: int, finished: int) -> bool:
        return self.report(self._steps + steps, self._finished + finished)

    def report(self, steps: int, finished: int) -> bool:
        """Take the totals so far; return whether the job should come to its end."""
        now = time.monotonic()
        self._steps, self._finished = steps, finished
        if now - self._reported > SECONDS_BETWEEN_REPORTS or finished == self._total:
            self._reported = now
            rate = round(steps / max(now - self._start, 1e-9), 1)
            self._job.progress(replicas=self._total, replicas_done=finished, steps=steps, steps_per_s=rate)
        return self._job.stop_requested or now - self._start > self._limit


class _SharedWatch:
    """The side of the watch that lives in a child process."""

    def __init__(self, totals: SynchronizedArray[int], stop: Event) -> None:
        self._totals = totals
        self._stop = stop

    def count(self, steps: int, finished: int) -> bool:
        with self._totals.get_lock():
            self._totals[0] += steps
            self._totals[1] += finished
        return bool(self._stop.is_set())


_child: dict[str, _SharedWatch] = {}


def _start_child(totals: SynchronizedArray[int], stop: Event) -> None:
    # The parent hears the scheduler's signal and tells its children through the event.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _child["watch"] = _SharedWatch(totals, stop)


def _run_child(packages: Sequence[Path], plan: Plan, replicas: Sequence[Replica]) -> list[Replica]:
    return explore(Committee.load(packages), plan, replicas, _child["watch"].count)


def _spread(packages: Sequence[Path], plan: Plan, work: tuple[Sequence[Replica], int], watch: _Watch) -> list[Replica]:
    replicas, processes = work
    # Threads of torch do not survive a fork, so the children start afresh.
    context = multiprocessing.get_context("spawn")
    totals, stop = context.Array("q", 2), context.Event()
    with ProcessPoolExecutor(processes, context, _start_child, (totals, stop)) as pool:
        shares = [replicas[first::processes] for first in range(processes)]
        futures: set[Future[list[Replica]]] = {pool.submit(_run_child, packages, plan, share) for share in shares}
        pending = futures
        while pending:
            pending = wait(pending, timeout=0.5).not_done
            if watch.report(totals[0], totals[1]):
                stop.set()
        done = [replica for future in futures for replica in future.result()]
    return sorted(done, key=lambda replica: replica.index)


def _plan(job: Job) -> Plan:
    settings = read_settings(ExploreSettings, job.inputs["parameters"])
    starts = FrameSet.load(job.path(FRAMES_FILE)).without_labels()
    if not len(starts):
        raise InputError("explore: there is no start frame.")
    calibration = job.inputs.get("calibration") or {}
    threshold = calibration.get("thresholds", {}).get("break", settings.break_threshold)
    judge = Judge(read_statistics(job), ErrorModel.of(calibration))
    return Plan(settings, starts, int(job.inputs["seed"]), judge, float(threshold), bool(calibration))


def _begin(job: Job, plan: Plan) -> list[Replica]:
    """Return new replicas, or those of an exploration that was stopped."""
    path = job.path(CHECKPOINT_FILE)
    if path.exists():
        return unpack_replicas(path, plan)
    return [plan.new_replica(index) for index in range(plan.settings.replicas)]


def _atoms(plan: Plan, replicas: Sequence[Replica]) -> list[Atoms]:
    return [
        Atoms(start.numbers, candidate.positions, cell=candidate.cell, pbc=start.pbc)
        for replica in replicas
        for start in (plan.starts.atoms(replica.start),)
        for candidate in replica.candidates
    ]


def _write_candidates(job: Job, plan: Plan, replicas: Sequence[Replica]) -> None:
    found = [candidate for replica in replicas for candidate in replica.candidates]
    rows = [candidate.information for candidate in found]
    info = [{"origin": candidate.origin} for candidate in found]
    FrameSet.from_atoms(_atoms(plan, replicas), info).save(job.path(CANDIDATES_FILE))
    job.write_arrays(
        {
            "features": np.array([candidate.features for candidate in found], dtype=float).reshape(
                len(found), -1 if found else 0
            ),
            "forces_mean": np.concatenate([np.empty((0, 3)), *(candidate.forces_mean for candidate in found)]),
            "forces_std": np.concatenate([np.empty(0), *(candidate.sigma for candidate in found)]),
            "distance": np.concatenate([np.empty(0), *(candidate.distance for candidate in found)]),
            **({"information": np.stack(rows)} if rows and rows[0].size else {}),
        }
    )


def _totals(plan: Plan, replicas: Sequence[Replica], started: float) -> dict[str, Any]:
    wall = time.monotonic() - started
    sizes = np.diff(plan.starts.offsets)
    atom_steps = sum(replica.step * int(sizes[replica.start]) for replica in replicas)
    steps = sum(replica.step for replica in replicas)
    drifts = [drift for replica in replicas if (drift := replica.drift.summary()) is not None]
    return {
        "replicas": len(replicas),
        "steps": steps,
        "simulated_ps": round(sum(replica.course.time_ps(replica.step) for replica in replicas), DIGITS),
        "candidates": sum(len(replica.candidates) for replica in replicas),
        "stop_reasons": dict(Counter(replica.stop_reason.value for replica in replicas)),
        "unfinished": sum(not replica.finished for replica in replicas),
        "halvings": sum(len(replica.halvings) for replica in replicas),
        "largest_drift_mev_ps": max(drifts, key=abs, default=None),
        "calibrated": plan.calibrated,
        "early_looks": sum(replica.early_looks for replica in replicas),
        "break_threshold": plan.break_threshold,
        "wall_s": round(wall, 2),
        "microseconds_per_atom_step": round(1e6 * wall / max(atom_steps, 1), 2),
    }
