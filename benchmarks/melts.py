"""A data set to measure error bars on: frames drawn at random from melts, labelled by real pw.x.

    python benchmarks/melts.py LOOP [--seed 1] [--out melts.extxyz]

LOOP is the pk of a finished active-learning loop (`aiida-nvp list`). Its last committee runs short melts of the loop's
kind of cells at four temperatures, none of which stops for uncertainty; frames are drawn from them at random, without
looking at any score, and labelled exactly as the loop labelled its own. What is written are the loop's labels
(`split=campaign`) and these (`split=random`), each frame with its temperature, composition name and the UUID of its
pw.x calculation.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.engine import submit
from aiida.plugins import CalculationFactory, WorkflowFactory

from aiida_nvp.calculations.generate import generate
from aiida_nvp.calculations.select import select
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.extxyz import write_extxyz
from aiida_nvp.provision.profile import load

CELLS = [
    {"name": "NaVPO5", "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1}, "reduced": {"V": 1.0}, "atoms": 8,
     "density_g_cm3": 3.15, "copies": 5},
    {"name": "NaVO3", "oxides": {"Na2O": 1, "V2O5": 1}, "atoms": 10, "density_g_cm3": 3.0, "copies": 3},
    {"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10, "density_g_cm3": 2.8, "copies": 3},
    {"name": "Na3PO4", "oxides": {"Na2O": 3, "P2O5": 1}, "atoms": 8, "density_g_cm3": 2.8, "copies": 3},
]  # fmt: skip
TEMPERATURES = (600, 1000, 1500, 2500)
STEPS, STRIDE, PER_REPLICA = 240, 60, 3
POLL_S = 5.0


def main() -> None:
    """Explore, draw, label, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loop", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("melts.extxyz"))
    arguments = parser.parse_args()
    load()
    loop = orm.load_node(arguments.loop)
    candidates = explore(loop, arguments.seed)
    chosen = draw(loop, *candidates, arguments.seed)
    print(f"{len(chosen)} frames drawn at random", flush=True)
    labels = label(loop, chosen)
    print(f"label<{labels.pk}>: {labels.outputs.triage['counts']}")
    write(arguments.out, campaign=loop.outputs.dataset, random=labels.outputs.dataset)


def explore(loop: orm.WorkChainNode, seed: int) -> tuple[DatasetData, orm.ArrayData]:
    """Run melts from fresh cells, each cell at each temperature."""
    starts = generate(orm.Dict({"cells": CELLS}), orm.Int(1000 + seed))
    holds = [[{"steps": STEPS, "temperature_from": t, "temperature_to": t}] for t in TEMPERATURES]
    builder = CalculationFactory("nvp.explore").get_builder()
    builder.frames = starts
    builder.committee = dict(loop.outputs.committee)
    builder.parameters = orm.Dict(
        {"schedules": holds, "replicas": len(starts) * len(holds), "stride": STRIDE, "break_threshold": 1e6,
         "min_distance_scale": 0.55, "processes": 1}
    )  # fmt: skip
    builder.seed = orm.Int(seed)
    builder.code = loop.inputs.worker
    node = finished(submit(builder))
    print(f"explore<{node.pk}>: {node.outputs.results['totals']['stop_reasons']}", flush=True)
    return node.outputs.candidates, node.outputs.predictions


def draw(loop: orm.WorkChainNode, candidates: DatasetData, predictions: orm.ArrayData, seed: int) -> DatasetData:
    """Draw frames at random; no score is looked at."""
    budget = PER_REPLICA * len(TEMPERATURES) * sum(cell["copies"] for cell in CELLS)
    parameters = {"budget": budget, "lower": 0.0, "upper": 1e6, "random_share": 1.0, "min_distance_scale": 0.55}
    drawn = select(candidates, predictions, loop.outputs.dataset, orm.Dict(parameters), orm.Int(seed))
    return drawn["chosen"]


def label(loop: orm.WorkChainNode, frames: DatasetData) -> orm.WorkChainNode:
    """Label the frames as the loop labelled its own."""
    builder = WorkflowFactory("nvp.label").get_builder()
    given: dict[str, Any] = dict(loop.inputs.label)
    for name, value in given.items():
        if name not in {"metadata", "frames"}:
            builder[name] = value
    builder.frames = frames
    return finished(submit(builder))


def write(path: Path, **sets: DatasetData) -> None:
    """Write all frames into one file, each with the name of its set as ``split``."""
    texts = []
    for name, dataset in sets.items():
        frames = dataset.frames
        named = replace(frames, info=tuple({**info, "split": name} for info in frames.info))
        texts.append(write_extxyz(named, dataset.sources))
    path.write_text("".join(texts), encoding="utf-8")
    print(f"{sum(len(dataset) for dataset in sets.values())} frames in {path}")


def finished(node: orm.ProcessNode) -> orm.ProcessNode:
    """Wait for a process; end with its sentence if it failed."""
    while not node.is_terminated:
        time.sleep(POLL_S)
    if not node.is_finished_ok:
        raise SystemExit(f"{node.process_label}<{node.pk}>: {node.exit_message}")
    return node


if __name__ == "__main__":
    main()
