"""Commands that measure on labelled files of any origin; they need no profile."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click

from aiida_nvp.benchmark.curves import labels_ratio
from aiida_nvp.benchmark.members import train_committee
from aiida_nvp.benchmark.parts import divide
from aiida_nvp.benchmark.selection import Budget, Plan, Strategy
from aiida_nvp.benchmark.selection import run as run_selection
from aiida_nvp.benchmark.uncertainty import DIVISIONS, judge, measure
from aiida_nvp.cli.frame import Entry, LazyGroup, pairs
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import STATISTICS_FILE, PotentialDefinition, load_potential
from aiida_nvp.labelling.extxyz import read_extxyz
from aiida_nvp.labelling.extxyz_frame import read_choices
from aiida_nvp.report.benchmark_page import markdown, write_benchmark
from aiida_nvp.report.document import write_whole
from aiida_nvp.report.figures_benchmark import PLACES
from aiida_nvp.report.selection_page import METRICS, selection_markdown, write_selection
from aiida_nvp.uncertainty.last_layer import FeatureStatistics

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_HERE = "aiida_nvp.cli.benchmark"
BENCHMARK_COMMANDS = {
    "uncertainty": Entry(f"{_HERE}:uncertainty", "Train a committee, say how good its error bars are.", False),
    "selection": Entry(f"{_HERE}:selection", "Compare ways to choose what is labelled.", False),
}


@click.group("benchmark", cls=LazyGroup, table=BENCHMARK_COMMANDS)
def benchmark() -> None:
    """Measure on any labelled extended XYZ file, without a profile."""


@click.command("uncertainty")
@click.argument("file", type=_FILE)
@click.option("--potential", required=True, type=click.Path(exists=True, path_type=Path), help="potential.yaml.")
@click.option("--out", "folder", default="benchmark", show_default=True, type=click.Path(path_type=Path))
@click.option("--train", "train_where", multiple=True, metavar="CONDITION", help="Learn from these frames only.")
@click.option("--ood", "out_where", multiple=True, metavar="CONDITION", help="Frames out of distribution.")
@click.option("--train-share", default=0.5, show_default=True, type=click.FloatRange(0.05, 0.95))
@click.option("--members", type=click.IntRange(3), help="Members of the committee, else as the potential says.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of a training, else as the potential says.")
@click.option("--divisions", default=DIVISIONS, show_default=True, type=click.IntRange(1))
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--key", "keys", multiple=True, metavar="WHAT=NAME", help="Name in the file, as in energy=REF_energy.")
@click.option("--unit", "units", multiple=True, metavar="WHAT=UNIT", help="Unit in the file, as in energy=Ha.")
def uncertainty(file: Path, potential: Path, folder: Path, **options: Any) -> None:
    r"""Train a committee on a part of FILE and judge its error bars on the rest, in and out of distribution.

    \b
    A CONDITION is KEY=VALUE, KEY!=VALUE, KEY>NUMBER or KEY<NUMBER on what the file says of a frame, or on its
    `composition` (Hill order, reduced): --ood "temperature>2000" --ood composition=NaO3V.
    Frames of one `trajectory` (or replica) stay together. Repeated, the command goes on from the trainings it finds.
    """
    frames = _read(file, options["keys"], options["units"])
    definition = _definition(potential, frames, options)
    parts = divide(frames, options["seed"], options["train_where"], options["out_where"], options["train_share"])
    click.echo(f"{len(parts.train)} frames to learn from, {len(parts.held)} held out, {len(parts.out)} out of it")
    packages = train_committee(frames.subset(list(parts.train)), definition, options["seed"], folder, _Line())
    statistics = _statistics(packages[0].parent)
    measured = measure(frames, packages, statistics)
    result = judge(measured, parts, options["seed"], options["divisions"])
    about = {
        "name": file.name,
        "potential": definition.name,
        "members": definition.committee.members,
        "seed": options["seed"],
        "divisions": options["divisions"],
        "out_where": list(options["out_where"]),
    }
    write_whole(folder / "results.json", json.dumps({**about, **result}, indent=1, allow_nan=False))
    page = write_benchmark(result, about, folder / "uncertainty.html")
    click.echo(markdown(result))
    click.echo(f"{page}\n{folder / 'results.json'}")


@click.command("selection")
@click.argument("file", type=_FILE)
@click.option("--potential", required=True, type=click.Path(exists=True, path_type=Path), help="potential.yaml.")
@click.option("--out", "folder", default="benchmark-selection", show_default=True, type=click.Path(path_type=Path))
@click.option("--strategy", "strategies", multiple=True, type=click.Choice([s.value for s in Strategy]), help="All.")
@click.option("--ood", "out_where", multiple=True, metavar="CONDITION", help="Frames out of distribution.")
@click.option("--train-share", default=0.6, show_default=True, type=click.FloatRange(0.05, 0.95), help="Of the pool.")
@click.option("--start", default=16, show_default=True, type=click.IntRange(1), help="Labels to begin with.")
@click.option("--batch", default=16, show_default=True, type=click.IntRange(1), help="Labels a round.")
@click.option("--labels", default=80, show_default=True, type=click.IntRange(2), help="Most labels.")
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1), help="Repetitions.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Begin no training later than this.")
@click.option("--members", type=click.IntRange(3), help="Members of the committee, else as the potential says.")
@click.option("--epochs", type=click.IntRange(1), help="Epochs of a training, else as the potential says.")
@click.option("--seed", default=1, show_default=True, type=int)
@click.option("--key", "keys", multiple=True, metavar="WHAT=NAME", help="Name in the file, as in energy=REF_energy.")
@click.option("--unit", "units", multiple=True, metavar="WHAT=UNIT", help="Unit in the file, as in energy=Ha.")
def selection(file: Path, potential: Path, folder: Path, **options: Any) -> None:
    r"""Choose labels of FILE in several ways, train on them, and say which way needs fewer labels for one error.

    \b
    A CONDITION is KEY=VALUE, KEY!=VALUE, KEY>NUMBER or KEY<NUMBER, as for `benchmark uncertainty`.
    The command can be stopped at any time, or stop itself after --minutes: repeated, it goes on from what it finds.
    """
    frames = _read(file, options["keys"], options["units"])
    definition = _definition(potential, frames, options)
    parts = divide(frames, options["seed"], [], options["out_where"], options["train_share"])
    limit = None if options["minutes"] is None else 60 * options["minutes"]
    budget = Budget(options["start"], options["batch"], options["labels"], options["seeds"], limit)
    strategies = [Strategy(name) for name in options["strategies"]] or list(Strategy)
    if Strategy.RANDOM not in strategies:
        strategies.insert(0, Strategy.RANDOM)
    rows = run_selection(frames, parts, definition, Plan(strategies, budget, folder, options["seed"]), _Line())
    about = {
        "name": file.name,
        "potential": definition.name,
        "members": definition.committee.members,
        "seed": options["seed"],
        "seeds": len({row["seed"] for row in rows}),
        "out_where": list(options["out_where"]),
        "frames": {"pool": len(parts.train), "in": len(parts.held), "out": len(parts.out)},
        "ratios": {
            f"{METRICS[metric]}, {PLACES[place]}": labels_ratio(rows, place, metric, options["seed"])
            for place in (("in", "out") if len(parts.out) else ("in",))
            for metric in METRICS
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    results = write_whole(folder / "results.json", json.dumps({**about, "rows": rows}, indent=1, allow_nan=False))
    page = write_selection(rows, about, folder / "selection.html")
    click.echo(f"{selection_markdown(about['ratios'])}\n{page}\n{results}")


class _Line:
    """Says what changed, once."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, sentence: str) -> None:
        if sentence != self._last:
            self._last = sentence
            click.echo(sentence)


def _read(file: Path, keys: tuple[str, ...], units: tuple[str, ...]) -> FrameSet:
    settings = read_choices({"keys": pairs("--key", keys), "units": pairs("--unit", units)})
    read = read_extxyz(file, settings)
    for remark in read.remarks:
        click.echo(remark)
    # A file that does not say what its labels are made with is one level: its own.
    level = read.level_of_theory or hashlib.sha256(file.read_bytes()).hexdigest()
    return read.frame_set(level)


def _definition(path: Path, frames: FrameSet, options: dict[str, Any]) -> PotentialDefinition:
    definition = load_potential(path)
    values = definition.plain()
    if set(frames.species()) - set(definition.species):
        values["species"] = frames.species()
        click.echo(f"species of the file: {', '.join(frames.species())}")
    if options["members"]:
        values["committee"]["members"] = options["members"]
    if options["epochs"]:
        values["training"]["epochs"] = options["epochs"]
    return PotentialDefinition.model_validate(values)


def _statistics(folder: Path) -> FeatureStatistics:
    path = folder / STATISTICS_FILE
    if not path.exists():
        raise InputError(f"{folder} holds a training of another version, without {STATISTICS_FILE}; delete it first.")
    return FeatureStatistics.load(path)
