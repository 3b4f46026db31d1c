"""Errors of one potential with intervals, from the evaluations of labelled frames that the graph holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from aiida.orm import ArrayData, ProcessNode
from numpy.typing import NDArray

from aiida_nvp.analysis.channels.estimate import Interval, bootstrap
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.trajectory_key import trajectory_keys
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import creator, inputs, output
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.potential import PARTS, evaluations

NEW = "new"
"""Frames that were not in the data set of the training at all."""
_CODES = ("train", "validation", "out_of_bag", "test")
_FEWEST = 3
_SEED = 0
_DRAWS = 500


@dataclass(frozen=True)
class MeasuredError:
    """Errors on one part of the frames, with 95 % intervals from drawing trajectories anew.

    :param trajectories: number of independent samples behind the intervals.
    :param force_rmse: of a force component, eV/angstrom; ``energy_rmse``: eV per atom.
    """

    part: str
    frames: int
    trajectories: int
    force_rmse: Interval
    energy_rmse: Interval


def measured_errors(node: PotentialData) -> list[MeasuredError]:
    """Return the errors of the newest evaluation of labelled frames, the most honest part first.

    None are returned for a potential of which nobody knows what it learned from. A part with fewer than three
    trajectories has no interval worth the name and is left out.
    """
    parts = _parts_of(node)
    for evaluation in reversed(evaluations(node) if parts else []):
        dataset = inputs(evaluation, DatasetData).get("frames")
        predictions = output(evaluation, "predictions", ArrayData)
        if dataset is not None and predictions is not None and dataset.base.attributes.get("labelled"):
            return _by_part(dataset.frames, _of_member(node, evaluation, predictions), parts)
    return []


def _of_member(
    node: PotentialData, evaluation: ProcessNode, predictions: ArrayData
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    committee = {
        int(label.rsplit("_", 1)[-1]): each.uuid
        for label, each in inputs(evaluation, PotentialData).items()
        if label.startswith("committee__")
    }
    # Members stand in the arrays in the order of their numbers, which need not be without gaps.
    index = [committee[number] for number in sorted(committee)].index(node.uuid)
    return predictions.get_array("forces")[index], predictions.get_array("energy")[index]


def _parts_of(node: PotentialData) -> dict[str, str]:
    training = creator(node)
    if training is None:
        return {}
    dataset = inputs(training, DatasetData).get("frames")
    metrics = output(training, "metrics", ArrayData)
    if dataset is None or metrics is None or "split" not in metrics.get_arraynames():
        return {}
    codes = metrics.get_array("split")
    return {identity: _CODES[int(code)] for identity, code in zip(dataset.frames.ids(), codes, strict=True)}


def _by_part(
    frames: FrameSet, predicted: tuple[NDArray[np.float64], NDArray[np.float64]], parts: dict[str, str]
) -> list[MeasuredError]:
    if frames.forces is None or frames.energy is None:
        return []
    forces, energy = predicted
    sizes = np.diff(frames.offsets)
    squares = np.add.reduceat(np.square(forces - frames.forces).sum(axis=1), frames.offsets[:-1])
    energies = np.square((energy - frames.energy) / sizes)
    keys = trajectory_keys(frames)
    mine = np.array([parts.get(identity, NEW) for identity in frames.ids()])
    found = []
    for part in (NEW, *PARTS):
        rows = np.flatnonzero((mine == part) & np.isfinite(squares))
        groups = _groups([keys[row] for row in rows])
        if len(groups) < _FEWEST:
            continue
        force = _interval(
            [squares[rows[group]].sum() for group in groups], [3 * sizes[rows[group]].sum() for group in groups]
        )
        error = _interval([energies[rows[group]].sum() for group in groups], [float(len(group)) for group in groups])
        found.append(MeasuredError(part, len(rows), len(groups), force, error))
    return found


def _groups(keys: Sequence[str]) -> list[NDArray[np.int64]]:
    _, inverse = np.unique(np.array(keys, dtype=object).astype(str), return_inverse=True)
    return [np.flatnonzero(inverse == index) for index in range(int(inverse.max()) + 1)] if len(keys) else []


def _interval(squares: Sequence[float], counts: Sequence[float]) -> Interval:
    top, bottom = np.array(squares), np.array(counts)
    return bootstrap(lambda drawn: float(np.sqrt(top[drawn].sum() / bottom[drawn].sum())), len(top), _SEED, _DRAWS)
