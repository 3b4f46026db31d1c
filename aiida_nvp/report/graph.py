"""Reads a campaign, whole or in part, from the provenance graph. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida.orm import ArrayData, Dict, ProcessNode
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import calls, inputs, output, outputs, process_ref, ref
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.model import (
    Analysis,
    Campaign,
    Cycle,
    DatasetView,
    Exploration,
    LabelBatch,
    Prediction,
    Production,
    Selection,
    TrainRecord,
    Values,
    Verdict,
)
from aiida_nvp.workflows.continuation import MAKES_DATASET, loop_chain, loop_steps

Children = Mapping[str, ProcessNode]


def collect(node: ProcessNode) -> Campaign:
    """Read a campaign or a bare active-learning loop, finished, running or failed.

    :raises InputError: if the process is neither.
    """
    top = calls(node)
    loop = loop_steps(top.get("active_learning", node))
    if not _is_campaign(node, top):
        raise InputError(
            f"{node.process_label}<{node.pk}> is no campaign: a report is made of a CampaignWorkChain or an "
            "ActiveLearningWorkChain."
        )
    cycles = _cycles(loop)
    seed = _labels(loop.get("seed_label"))
    described = _values(inputs(node, Dict).get("campaign"))
    return Campaign(
        process=process_ref(node),
        title=str(described.get("title") or node.label or f"Campaign {node.pk}"),
        description=node.description or "",
        settings=described,
        seeds=_view(output(top.get("generate"), "result", DatasetData)),
        seed_labels=seed,
        shifts=_values(output(loop.get("energy_shifts"), "result", Dict)),
        cycles=cycles,
        final_trains=_trains(loop, "final_train_"),
        final_warm_check=_values(output(loop.get("final_warm_check"), "result", Dict)),
        final_review=_prediction(loop.get("final_review")),
        dataset=_view(final_dataset(node)),
        production=_production(top.get("produce")),
        analysis=_analysis(top.get("analyse")),
        processes=tuple((label, process_ref(child)) for label, child in {**top, **loop}.items()),
    )


def final_dataset(node: ProcessNode) -> DatasetData | None:
    """Return the last labelled data set under a campaign or loop, or None before there is one."""
    loops = reversed(loop_chain(calls(node).get("active_learning", node)))
    return next((found for found in map(_dataset_of, loops) if found is not None), None)


def _dataset_of(loop: ProcessNode) -> DatasetData | None:
    """Return the last data set that one loop made itself, or handed over."""
    steps = calls(loop)
    cycles = reversed(range(_number_of_cycles(steps)))
    merges = [f"cycle_{index}_{step}" for index in cycles for step in MAKES_DATASET]
    made = [output(steps.get(label), "result", DatasetData) for label in (*merges, "seed_merge")]
    found = (outputs(loop, DatasetData).get("dataset"), *made, output(steps.get("seed_label"), "dataset", DatasetData))
    return next((dataset for dataset in found if dataset is not None), None)


def _is_campaign(node: ProcessNode, top: Children) -> bool:
    named = str(node.process_label or "") in ("CampaignWorkChain", "ActiveLearningWorkChain")
    return named or "active_learning" in top or "seed_label" in top


def _number_of_cycles(loop: Children) -> int:
    numbers = [int(label.split("_")[1]) for label in loop if label.startswith("cycle_")]
    return max(numbers, default=-1) + 1


def _cycles(loop: Children) -> tuple[Cycle, ...]:
    return tuple(_cycle(loop, index) for index in range(_number_of_cycles(loop)))


def _cycle(loop: Children, index: int) -> Cycle:
    name = f"cycle_{index}_"
    return Cycle(
        index=index,
        trains=_trains(loop, f"{name}train_"),
        exploration=_exploration(loop.get(f"{name}explore")),
        review=_prediction(loop.get(f"{name}review")),
        selection=_selection(loop.get(f"{name}select")),
        prediction=_prediction(loop.get(f"{name}predict")),
        labels=_labels(loop.get(f"{name}label")),
        calibration=_calibration(loop, name),
        recheck=_labels(loop.get(f"{name}recheck")),
        dataset=_view(_cycle_dataset(loop, name)),
        verdict=_verdict(loop.get(f"{name}assess")),
        warm_check=_values(output(loop.get(f"{name}warm_check"), "result", Dict)),
    )


def _cycle_dataset(loop: Children, name: str) -> DatasetData | None:
    made = (output(loop.get(f"{name}{step}"), "result", DatasetData) for step in MAKES_DATASET)
    return next((dataset for dataset in made if dataset is not None), None)


def _trains(loop: Children, prefix: str) -> tuple[TrainRecord, ...]:
    members = sorted(
        (int(label.removeprefix(prefix)), node) for label, node in loop.items() if label.startswith(prefix)
    )
    return tuple(_train(member, node) for member, node in members)


def _train(member: int, node: ProcessNode) -> TrainRecord:
    potential = output(node, "potential", PotentialData)
    versions = potential.base.attributes.get("versions", {}) if potential is not None else {}
    return TrainRecord(
        member=member,
        process=process_ref(node),
        potential=ref(potential) if potential is not None else None,
        versions=dict(versions),
        results=_values(output(node, "results", Dict)),
        metrics=_arrays(output(node, "metrics", ArrayData)),
    )


def _exploration(node: ProcessNode | None) -> Exploration | None:
    if node is None:
        return None
    candidates = output(node, "candidates", DatasetData)
    infos = candidates.frames.info if candidates is not None else ()
    scores = [float(info.get("origin", {}).get("score", np.nan)) for info in infos]
    return Exploration(process_ref(node), _values(output(node, "results", Dict)), np.array(scores, dtype=float))


def _selection(node: ProcessNode | None) -> Selection | None:
    if node is None:
        return None
    table = _values(output(node, "table", Dict))
    return Selection(
        process=process_ref(node),
        rows=tuple(table.get("rows", ())),
        counts={reason: count for reason, count in table.get("counts", {}).items() if count},
        thresholds=table.get("thresholds", {}),
        chosen=_view(output(node, "chosen", DatasetData)),
    )


def _calibration(loop: Mapping[str, ProcessNode], name: str) -> Values:
    """Return the calibration of a cycle, after the second look at suspect labels if there was one."""
    again = _values(output(loop.get(f"{name}calibrate_again"), "result", Dict))
    return again or _values(output(loop.get(f"{name}calibrate"), "result", Dict))


def _prediction(node: ProcessNode | None) -> Prediction | None:
    predictions = output(node, "predictions", ArrayData)
    if node is None or predictions is None or "forces" not in predictions.get_arraynames():
        return None
    dataset = _view(next(iter(inputs(node, DatasetData).values()), None))
    if dataset is None:
        return None
    return Prediction(process_ref(node), dataset, np.asarray(predictions.get_array("forces"), dtype=float))


def _labels(node: ProcessNode | None) -> LabelBatch | None:
    if node is None:
        return None
    triage = _values(output(node, "triage", Dict))
    return LabelBatch(
        process=process_ref(node),
        dataset=_view(output(node, "dataset", DatasetData)),
        triage=tuple(triage.get("frames", ())),
        counts=triage.get("counts", {}),
        level_of_theory=triage.get("level_of_theory", {}),
        labeller=triage.get("labeller"),
    )


def _verdict(node: ProcessNode | None) -> Verdict | None:
    found = output(node, "result", Dict)
    if node is None or found is None:
        return None
    values = _values(found)
    return Verdict(
        process=process_ref(node),
        verdict=str(values.get("verdict", "")),
        sentence=str(values.get("sentence", "")),
        criteria=tuple(values.get("criteria", ())),
        budgets=tuple(values.get("budgets", ())),
        forecast=str(values.get("forecast", {}).get("sentence", "")),
    )


def _production(node: ProcessNode | None) -> Production | None:
    if node is None:
        return None
    start = next(iter(inputs(node, DatasetData).values()), None)
    formula = next(iter(start.base.attributes.get("compositions")), None) if start is not None else None
    return Production(
        process=process_ref(node),
        results=_values(output(node, "results", Dict)),
        thermo=_arrays(output(node, "thermo", ArrayData)),
        formula=formula,
        atoms=start.base.attributes.get("n_atoms") if start is not None else None,
    )


def _analysis(node: ProcessNode | None) -> Analysis | None:
    if node is None:
        return None
    return Analysis(
        process_ref(node), _values(output(node, "results", Dict)), _arrays(output(node, "arrays", ArrayData))
    )


def _view(node: DatasetData | None) -> DatasetView | None:
    if node is None:
        return None
    frames = node.frames
    return DatasetView(ref(node), frames, tuple(frames.ids()), node.base.attributes.get("compositions"))


def _values(node: Dict | None) -> Values:
    values: dict[str, Any] = node.get_dict() if node is not None else {}
    return values


def _arrays(node: ArrayData | None) -> dict[str, NDArray[Any]]:
    return {name: node.get_array(name) for name in node.get_arraynames()} if node is not None else {}
