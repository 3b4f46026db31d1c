"""What AiiDA costs a label: ratios measured side by side in one run.

    python benchmarks/labelling.py --frames 200           # rehearsal labels: AiiDA against a bare loop
    python benchmarks/labelling.py --campaign PK          # pw.x labels of a finished campaign: engine against program
    python benchmarks/labelling.py --profile --frames 24  # where the processor time of the engine goes

The first needs a profile whose daemon runs (`aiida-nvp setup`). The bare loop runs the same worker program on the same
input files, as many at a time as this machine has cores.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
from aiida import orm
from aiida.engine import ProcessBuilder, run_get_node, submit
from aiida.engine.daemon.client import get_daemon_client
from aiida.plugins import WorkflowFactory

from aiida_nvp.calculations.generate import generate
from aiida_nvp.data.links import jobs_below
from aiida_nvp.provision.profile import load
from aiida_nvp.report.cost import cost_by_stage
from aiida_nvp.workflows.engines import chosen_engines

MEGABYTE = 1e6
CELL = {"name": "NaVP", "oxides": {"Na2O": 2, "V2O5": 1, "P2O5": 1}, "atoms": 20}
POLL_S = 1.0
MOST_PARTS = 12


def main() -> None:
    """Run the part that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1, help="another seed makes frames that no profile has seen")
    parser.add_argument("--campaign", type=int, help="pk of a finished campaign on pw.x")
    parser.add_argument("--profile", action="store_true", help="run the labels in this process and profile it")
    arguments = parser.parse_args()
    load()
    if arguments.profile:
        profile_engine(arguments.frames, arguments.in_flight, arguments.seed)
    elif arguments.campaign is not None:
        compare_with_program(arguments.campaign)
    else:
        compare_with_loop(arguments.frames, arguments.in_flight, arguments.seed)


def compare_with_program(pk: int) -> None:
    """Print how long label jobs existed beyond the time that pw.x ran, as a ratio to that time."""
    cost = next(entry for entry in cost_by_stage(orm.load_node(pk)) if entry.name == "Labels")
    print(f"{cost.timed} jobs of pw.x: {cost.run_s:.0f} s inside, {cost.engine_s:.0f} s around it")
    print(f"a job: {cost.run_s / cost.timed:.2f} s inside, {cost.engine_s / cost.timed:.2f} s around it")
    print(f"ratio around / inside: {cost.engine_s / cost.run_s:.2f} (jobs that share cores stretch both)")


def compare_with_loop(count: int, in_flight: int, seed: int) -> None:
    """Label ``count`` frames through the daemon, then run the same programs in a bare loop, and print the ratios."""
    builder = batch(count, in_flight, seed)
    started = time.monotonic()
    node = submit(builder)
    peak = max(watch(node))
    through_aiida = time.monotonic() - started
    assert node.is_finished_ok, node.exit_message
    assert not node.outputs.triage["saved"]["frames"], "labels of this seed are in the profile; give another --seed"
    cores = os.cpu_count() or 1
    bare = bare_loop(jobs_below(node), cores)
    print(f"{count} rehearsal labels, {in_flight} in flight, {cores} cores")
    print(f"through AiiDA: {through_aiida:.1f} s, {through_aiida / count:.2f} s a label")
    print(f"bare loop, {cores} at a time: {bare:.1f} s, {bare / count:.2f} s a label")
    print(f"ratio: {through_aiida / bare:.2f}; beyond the bare loop: {(through_aiida - bare) / count:.2f} s a label")
    print(f"largest resident memory of a daemon worker: {peak / MEGABYTE:.0f} MB")


def batch(count: int, in_flight: int, seed: int) -> ProcessBuilder:
    """Return the inputs of a batch of rehearsal labels."""
    engines = chosen_engines()
    assert engines is not None, "no engines in this profile; run `aiida-nvp setup`"
    frames = generate(orm.Dict({"cells": [{**CELL, "copies": count}]}), orm.Int(seed))
    builder = WorkflowFactory("nvp.label").get_builder()
    builder.frames, builder.code = frames, orm.load_code(engines.worker)
    builder.labeller, builder.settings, builder.in_flight = orm.Str("rehearsal"), orm.Dict({}), orm.Int(in_flight)
    return builder


def profile_engine(count: int, in_flight: int, seed: int) -> None:
    """Run a batch in this process and print what its processor time is spent on; the programs are not in it."""
    profile = cProfile.Profile(time.process_time)
    _, node = profile.runcall(run_get_node, batch(count, in_flight, seed))
    assert node.is_finished_ok, node.exit_message
    own: dict[str, float] = {}
    for (path, _, _), (_, _, seconds, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        own[part_of(path)] = own.get(part_of(path), 0.0) + seconds
    total = sum(own.values())
    print(f"{count} labels: {total:.1f} s of processor time in the engine, {total / count:.2f} s a label")
    for name, seconds in sorted(own.items(), key=lambda entry: -entry[1])[:MOST_PARTS]:
        print(f"  {name:24s} {seconds:6.1f} s  {seconds / total:5.1%}")


def part_of(path: str) -> str:
    """Return the package of a source file, with one level more for those of the engine."""
    if path == "~" or path.startswith("<"):
        return "built-in functions"
    parts = Path(path).parts
    if "site-packages" in parts:
        inside = parts[parts.index("site-packages") + 1 :]
        return ".".join(inside[:2]).removesuffix(".py") if inside[0] == "aiida" else inside[0].removesuffix(".py")
    return "aiida_nvp" if "aiida_nvp" in parts else "standard library"


def watch(node: orm.ProcessNode) -> Iterator[float]:
    """Yield the memory of the largest daemon worker in bytes until the process has ended."""
    pids = [int(info["pid"]) for info in get_daemon_client().get_worker_info()["info"].values()]
    while not node.is_terminated:
        yield max(psutil.Process(pid).memory_info().rss for pid in pids)
        time.sleep(POLL_S)


def bare_loop(jobs: list[orm.CalcJobNode], cores: int) -> float:
    """Run the worker program on the input file of each job and return the seconds that took."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = []
        for job in jobs:
            path = Path(folder) / str(job.pk) / "input.json"
            path.parent.mkdir()
            path.write_text(job.base.repository.get_object_content("input.json"))
            inputs.append(path)
        program = str(jobs[0].inputs.code.filepath_executable)
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}

        def run(path: Path) -> None:
            command = [program, "rehearse", path.name]
            subprocess.run(command, cwd=path.parent, env=environment, check=True, capture_output=True)

        started = time.monotonic()
        with ThreadPoolExecutor(cores) as pool:
            list(pool.map(run, inputs))
        return time.monotonic() - started


if __name__ == "__main__":
    main()
