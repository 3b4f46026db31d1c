"""The whole loop where labels are free: ours, a random choice and the usual recipe, each from the same start.

    python benchmarks/closed_loop.py OUT [--recipe ours random mean ...] [--seeds 5] [--cycles 4] [--minutes 60]

Labels come from the rehearsal potential, an analytic stand-in, so the figures say how a loop spends labels and nothing
about a material. Trainings, explorations and predictions are those of a campaign, through its worker. After each round
the committee is tested on frames of the labeller's own dynamics, in distribution (up to 1500 K) and out of it (2500 K);
at the end its dynamics are run without any guard at 2000 K, and at 1000 K against the labeller's g(r). What is finished
is kept in OUT, and a repetition of the command goes on from there.

Recipes: ``ours``; ``random``, any physical frame; ``mean``, frames whose mean deviation lies between two thresholds,
the surplus shuffled; ``uncalibrated`` and ``without random share`` are ours less one part.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.rdf import RadialDistribution
from aiida_nvp.benchmark.curves import labels_ratio
from aiida_nvp.benchmark.members import train_committee
from aiida_nvp.benchmark.rehearsal import SMALL_CELLS, Walk, label, walk
from aiida_nvp.benchmark.selection import curve_errors
from aiida_nvp.calculations.candidates import Candidates, as_pool
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet, concatenate
from aiida_nvp.common.potential import STATISTICS_FILE, PotentialDefinition, load_potential
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.common.vocabulary import SelectionReason
from aiida_nvp.selection.batch import Known, choose
from aiida_nvp.selection.filters import PhysicalLimits, faults
from aiida_nvp.selection.settings import batch_settings
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.prospective import Predictions, calibration_report
from aiida_nvp.uncertainty.thresholds import Tolerance
from aiida_nvp.worker.job import ARRAYS_FILE, ERROR_FILE, FRAMES_FILE, INPUT_FILE, OUTPUT_FILE, member_file
from aiida_nvp.worker.main import run_stage
from aiida_nvp.worker.settings import CANDIDATES_FILE

RECIPES = ("ours", "random", "mean", "uncalibrated", "without random share")
COPIES, RELAX_STEPS = 3, 60
INSIDE, OUTSIDE = (600, 1000, 1500), (2500,)
SETTLING, STRIDE = 150, 50
RUN = Walk(SETTLING, STRIDE, frames=3)
TARGET = 0.6
"""eV/angstrom, the force error that is asked for; raw thresholds before the first calibration."""
LOWER, UPPER, BREAK = 0.15, 8.0, 6.0
SCHEDULES = [
    [{"steps": 250, "temperature_from": 300, "temperature_to": 1000}],
    [{"steps": 250, "temperature_from": 600, "temperature_to": 1500}],
    [{"steps": 250, "temperature_from": 1000, "temperature_to": 2000}],
]
SURVIVAL_STEPS, SURVIVAL_KELVIN, RDF_STEPS, RDF_KELVIN = 1500, 2000, 600, 1000
GUARDLESS = 1e6
CLOSEST, SPIKE = 0.55, 2.0
Chooser = Callable[["Met"], list[tuple[int, str]]]


@dataclass(frozen=True)
class Task:
    """One recipe from one start."""

    recipe: str
    seed: int
    batch: int
    cycles: int
    definition: PotentialDefinition
    folder: Path


@dataclass(frozen=True)
class Met:
    """What an exploration met, and what is known."""

    frames: FrameSet
    arrays: Mapping[str, NDArray[Any]]
    known: FrameSet
    review: NDArray[np.float64]
    calibration: Mapping[str, Any]
    count: int
    seed: int


def main() -> None:
    """Run what is missing and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--potential", type=Path, default=Path("potentials/nvp-tiny/potential.yaml"))
    parser.add_argument("--recipe", nargs="+", choices=RECIPES, default=["ours", "random", "mean"])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cycles", type=int, default=4)
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no cycle later than this")
    arguments = parser.parse_args()
    definition = load_potential(arguments.potential)
    training = definition.training.model_copy(update={"epochs": arguments.epochs})
    definition = definition.model_copy(update={"training": training})
    end = time.monotonic() + 60 * arguments.minutes
    tasks = [
        Task(recipe, seed, arguments.batch, arguments.cycles, definition, arguments.out / f"{recipe} {seed}")
        for seed in range(1, arguments.seeds + 1)
        for recipe in arguments.recipe
    ]
    for task in tasks:
        if not run(task, end):
            print("the time is used up; repeat the command to go on")
            break
    tell([row for task in tasks for row in finished(task)])


def run(task: Task, end: float) -> bool:
    """Run the cycles of a task that are missing; return whether there was time for all."""
    task.folder.mkdir(parents=True, exist_ok=True)
    starts = cells(derive_seed(task.seed, "starts"))
    tests = {
        "in": melts(cells(derive_seed(task.seed, "test")), INSIDE, task.seed),
        "out": melts(cells(derive_seed(task.seed, "test")), OUTSIDE, task.seed),
    }
    known, calibration = label(starts, [{"origin": {"kind": "start", "start": i}} for i in range(len(starts))]), {}
    rows = finished(task)
    for cycle in range(task.cycles + 1):
        place = task.folder / f"cycle_{cycle}"
        if cycle < len(rows):
            if (place / "next.npz").exists():
                known = FrameSet.load(place / "next.npz")
                calibration = json.loads((place / "calibration.json").read_text(encoding="utf-8"))
            continue
        if time.monotonic() > end:
            return False
        begun = time.monotonic()
        row, committee = tested(task, cycle, known, tests)
        if cycle < task.cycles:
            known, calibration, met = another(task, cycle, (known, calibration), (committee, starts))
            row |= met
        else:
            row |= dynamics(task, committee, cells(derive_seed(task.seed, "test")))
        row["wall_s"] = round(time.monotonic() - begun, 1)
        (place / "row.json").write_text(json.dumps(row), encoding="utf-8")
        told = ", ".join(f"{where} {error['force_rmse']:.3f}" for where, error in row["errors"].items())
        print(f"{task.recipe} {task.seed}: {row['labels']} labels, {told} eV/angstrom, {row['wall_s']} s", flush=True)
    return True


def finished(task: Task) -> list[dict[str, Any]]:
    """Return the rows of the cycles that are done."""
    paths = [task.folder / f"cycle_{cycle}" / "row.json" for cycle in range(task.cycles + 1)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.exists()]


def cells(seed: int) -> list[Atoms]:
    """Return packed cells, relaxed a little with the labeller."""
    return [
        cell.relaxed(derive_seed(seed, name, copy), RELAX_STEPS)
        for name, cell in SMALL_CELLS.items()
        for copy in range(COPIES)
    ]


def melts(starts: Sequence[Atoms], kelvins: Sequence[float], seed: int) -> FrameSet:
    """Return labelled frames that no recipe can choose."""
    frames: list[Atoms] = []
    for index, atoms in enumerate(starts):
        for kelvin in kelvins:
            frames += walk(atoms, kelvin, RUN, derive_seed(seed, "melt", index, int(kelvin)))
    return label(frames)


def tested(
    task: Task, cycle: int, known: FrameSet, tests: Mapping[str, FrameSet]
) -> tuple[dict[str, Any], Sequence[Path]]:
    """Train from scratch on what is known; return the errors on the tests and the packages."""
    folder = task.folder / f"cycle_{cycle}" / "train"
    packages = train_committee(known, task.definition, derive_seed(task.seed, cycle), folder, lambda _sentence: None)
    errors = {
        place: curve_errors(frames, stage("evaluate", folder.parent / place, packages, frames)["forces"])
        for place, frames in tests.items()
    }
    return {"strategy": task.recipe, "seed": task.seed, "labels": len(known), "errors": errors}, packages


def stage(
    name: str, folder: Path, packages: Sequence[Path], frames: FrameSet, **inputs: Any
) -> Mapping[str, NDArray[Any]]:
    """Run one stage of the worker in a folder and return its arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    frames.save(folder / FRAMES_FILE)
    links = {member_file(index): package for index, package in enumerate(packages)}
    for link, target in (links | {STATISTICS_FILE: packages[0].parent / STATISTICS_FILE}).items():
        (folder / link).unlink(missing_ok=True)
        (folder / link).symlink_to(target.resolve())
    (folder / INPUT_FILE).write_text(json.dumps({"members": len(packages), **inputs}), encoding="utf-8")
    if run_stage(name, folder / INPUT_FILE):
        raise InputError(f"{folder}: {json.loads((folder / ERROR_FILE).read_text(encoding='utf-8'))['message']}")
    with np.load(folder / ARRAYS_FILE) as stored:
        return dict(stored)


def another(
    task: Task, cycle: int, have: tuple[FrameSet, Mapping[str, Any]], use: tuple[Sequence[Path], Sequence[Atoms]]
) -> tuple[FrameSet, dict[str, Any], dict[str, Any]]:
    """Explore, choose, predict, label; return what is known now, the new calibration and numbers on the cycle."""
    (known, calibration), (packages, starts) = have, use
    place, seed = task.folder / f"cycle_{cycle}", derive_seed(task.seed, task.recipe, cycle)
    guarded = task.recipe not in ("random", "mean")
    parameters = {
        "schedules": SCHEDULES,
        "replicas": len(starts),
        "break_threshold": BREAK if guarded else GUARDLESS,
        "min_distance_scale": CLOSEST,
    }
    inputs: dict[str, Any] = {"parameters": parameters, "seed": derive_seed(seed, "explore")}
    if calibration and guarded:
        inputs["calibration"] = calibration
    arrays = stage("explore", place / "explore", packages, FrameSet.from_atoms(starts), **inputs)
    frames = FrameSet.load(place / "explore" / CANDIDATES_FILE)
    review = stage("evaluate", place / "review", packages, known)["features"]
    met = Met(frames, arrays, known, review, calibration if guarded else {}, task.batch, derive_seed(seed, "choose"))
    chosen = CHOOSERS[task.recipe](met)
    picked = frames.subset([index for index, _ in chosen])
    info = [
        {**entry, "origin": {**entry["origin"], "cycle": cycle, "reason": reason}}
        for entry, (_, reason) in zip(picked.info, chosen, strict=True)
    ]
    labelled = label(list(picked), info)
    report: dict[str, Any] = {}
    if guarded and task.recipe != "uncalibrated" and len(labelled):
        said = stage("evaluate", place / "predict", packages, labelled.without_labels())
        made = Predictions(labelled, said["forces"], said["energy"], said.get("distance"), said.get("last_layer"))
        report = calibration_report(made, labelled, Tolerance(TARGET), calibration)
    after = concatenate([known, labelled]) if len(labelled) else known
    after.save(place / "next.npz")
    (place / "calibration.json").write_text(json.dumps(report), encoding="utf-8")
    ends = json.loads((place / "explore" / OUTPUT_FILE).read_text(encoding="utf-8"))["totals"]["stop_reasons"]
    return after, report, {"candidates": len(frames), "failed": len(chosen) - len(labelled), "ends": ends}


def _recipe(met: Met, **changes: Any) -> list[tuple[int, str]]:
    """Choose as a campaign does."""
    raw = {"budget": met.count, "lower": LOWER, "upper": UPPER, "min_distance_scale": CLOSEST, "min_apart_ps": 0.05}
    settings = batch_settings({**raw, **changes}, met.calibration.get("thresholds", {}))
    found = Candidates(
        met.frames,
        [None] * len(met.frames),
        met.arrays["forces_std"],
        np.linalg.norm(met.arrays["forces_mean"], axis=1),
        met.arrays["distance"],
        met.arrays["features"],
        met.arrays.get("information"),
    )
    pool = as_pool(found, settings, ErrorModel.of(met.calibration))
    decisions = choose(pool, Known(frozenset(met.known.ids()), met.review), settings, met.seed)
    return [(index, decision.reason.value) for index, decision in enumerate(decisions) if decision.accepted]


def _random(met: Met) -> list[tuple[int, str]]:
    """Choose any physical frames."""
    drawn = np.random.default_rng(met.seed).permutation(_physical(met))[: met.count]
    return [(int(index), SelectionReason.RANDOM.value) for index in drawn]


def _mean(met: Met) -> list[tuple[int, str]]:
    """Choose by the mean deviation over a frame between two thresholds, and shuffle what is too much."""
    sigma, offsets = met.arrays["forces_std"], met.frames.offsets
    mean = np.add.reduceat(sigma, offsets[:-1]) / np.diff(offsets)
    window = [index for index in _physical(met) if LOWER < mean[index] < UPPER]
    drawn = np.random.default_rng(met.seed).permutation(window)[: met.count]
    return [(int(index), SelectionReason.UNCERTAIN.value) for index in drawn]


def _physical(met: Met) -> list[int]:
    origins = [info["origin"] for info in met.frames.info]
    found = faults(met.frames, origins, PhysicalLimits(CLOSEST, {}, None, SPIKE))
    return [index for index, fault in enumerate(found) if fault is None]


CHOOSERS: Mapping[str, Chooser] = {
    "ours": _recipe,
    "uncalibrated": _recipe,
    "without random share": partial(_recipe, random_share=0.0),
    "random": _random,
    "mean": _mean,
}


def dynamics(task: Task, packages: Sequence[Path], starts: Sequence[Atoms]) -> dict[str, Any]:
    """Return how long unguarded runs last at high temperature, and how far g(r) is from the labeller's."""
    guardless = {"break_threshold": GUARDLESS, "replicas": len(starts), "min_distance_scale": 0.5, "stride": STRIDE}
    place = task.folder / f"cycle_{task.cycles}"
    hold = [[{"steps": SURVIVAL_STEPS, "temperature_from": SURVIVAL_KELVIN, "temperature_to": SURVIVAL_KELVIN}]]
    frames = FrameSet.from_atoms(starts)
    stage("explore", place / "hot", packages, frames, parameters={**guardless, "schedules": hold}, seed=task.seed)
    ends = json.loads((place / "hot" / OUTPUT_FILE).read_text(encoding="utf-8"))["replicas"]
    hold = [[{"steps": RDF_STEPS, "temperature_from": RDF_KELVIN, "temperature_to": RDF_KELVIN}]]
    stage("explore", place / "warm", packages, frames, parameters={**guardless, "schedules": hold}, seed=task.seed)
    found = FrameSet.load(place / "warm" / CANDIDATES_FILE)
    first = {index: [] for index in range(len(starts))}
    for index, info in enumerate(found.info):
        if info["origin"]["step"] > SETTLING:
            first[info["origin"]["start"]].append(found.atoms(index))
    errors = [
        float(
            np.mean(
                np.abs(
                    total_rdf(mine)
                    - total_rdf(list(walk(atoms, RDF_KELVIN, RUN, derive_seed(task.seed, "rdf", index))))
                )
            )
        )
        for index, (atoms, mine) in enumerate(zip(starts, first.values(), strict=True))
        if mine
    ]
    return {
        "survived": sum(replica["stop_reason"] == "completed" for replica in ends),
        "replicas": len(ends),
        "mean_steps": float(np.mean([replica["steps"] for replica in ends])),
        "rdf_error": float(np.mean(errors)) if errors else None,
    }


def total_rdf(frames: Sequence[Atoms]) -> NDArray[np.float64]:
    """Return g(r) of all atoms, weighted by pairs, in bins of 0.1 angstrom."""
    distribution = RadialDistribution(frames[0].numbers, 0.1)
    for atoms in frames:
        distribution.add(Frame(atoms.numbers, atoms.positions, atoms.cell.array))
    partials = distribution.result().partials
    return np.mean([part.g for part in partials.values()], axis=0)


def tell(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print how many times as many labels a random choice needs, and how the dynamics went."""
    print("labels of the rehearsal potential, a stand-in; how many times as many of them a random choice needs:")
    for place in ("in", "out"):
        for metric in ("force_rmse", "worst"):
            for recipe, found in labels_ratio(rows, place, metric, 1).items():
                interval = found["interval"]
                between = "" if interval is None else f", 95 % {interval[0]:.2f} to {interval[1]:.2f}"
                print(f"{place:>3} {metric:>10} {recipe:>20}: {found['ratio']:.2f}{between} ({found['seeds']} seeds)")
    for row in rows:
        if "survived" in row:
            print(
                f"{row['strategy']} {row['seed']}: {row['labels']} labels, {row['survived']} of {row['replicas']} runs "
                f"lasted, {row['mean_steps']:.0f} steps in the mean, g(r) off by {row['rdf_error']:.3f}"
            )


if __name__ == "__main__":
    main()
