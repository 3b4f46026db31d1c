"""Stage ``train``: one committee member from labelled frames, packaged in the same process.

Files in: ``frames.npz`` (labelled), ``parent.nequip.zip`` for a warm start, ``last.ckpt`` (and ``best.ckpt``) for a
restart. Files out: ``potential.nequip.zip``, ``statistics.npz`` (what its features were on the frames it learned from),
``arrays.npz`` (one array a column of the metrics; ``split``: 0 train, 1 validation,
2 out of bag, 3 test for each frame), ``output.json``.
"""

from __future__ import annotations

import csv
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from aiida_nvp import __version__
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import STATISTICS_FILE, PotentialDefinition
from aiida_nvp.common.trajectory_key import trajectory_keys
from aiida_nvp.worker.dataset_split import Split, frozen_test, split_frames
from aiida_nvp.worker.job import FRAMES_FILE, Job
from aiida_nvp.worker.nequip_config import (
    LAST_CHECKPOINT,
    METRICS_FILE,
    OUT_OF_BAG_FILE,
    PACKAGE_FILE,
    PARENT_FILE,
    TEST_FILE,
    TRAIN_FILE,
    VALIDATION_FILE,
    TrainingPlan,
)

_PACKAGES = ("torch", "nequip", "nequip-allegro", "e3nn", "lightning")
_COLUMNS = (("train_loss_epoch/", "train_loss_"), ("val0_epoch/", "validation_"))


@dataclass(frozen=True)
class Task:
    """What one job was asked to do, checked."""

    definition: PotentialDefinition
    plan: TrainingPlan
    frames: FrameSet
    split: Split
    max_wallclock_s: float | None

    @property
    def force_rms(self) -> float:
        """Root mean square of a force component over all frames, eV/angstrom."""
        return float(np.sqrt(np.mean(np.square(_forces(self.frames)))))


def run(job: Job) -> dict[str, Any]:
    """Train, package, and measure the errors of the packaged model.

    :raises InputError: if frames, definition, shifts and parent do not fit together.
    :raises WorkerError: ``ERROR_PARENT_PACKAGE``, ``ERROR_TRAINING_DIVERGED`` or ``ERROR_TRAINING_STOPPED``.
    """
    task = read_task(job)
    parts = {
        TRAIN_FILE: task.split.train,
        VALIDATION_FILE: task.split.validation,
        OUT_OF_BAG_FILE: task.split.out_of_bag,
        TEST_FILE: task.split.test,
    }
    for name, indices in parts.items():
        task.frames.subset(indices).save(job.path(name))
    # Imports of torch and nequip cost seconds: they wait until the input has proved good.
    session = importlib.import_module("aiida_nvp.worker.training_run")
    if task.plan.warm_start:
        task = _with_parent(job.path(PARENT_FILE), task, session.check_parent)
    start = time.monotonic()
    outcome = session.train(job, task)
    trained = time.monotonic()
    session.package(job.folder)
    errors = session.errors(job.folder, task.definition, [name for name, indices in parts.items() if indices])
    statistics = importlib.import_module("aiida_nvp.worker.statistics")
    found = statistics.fit_statistics(job.path(PACKAGE_FILE), task.frames, task.split.train)
    found.save(job.path(STATISTICS_FILE))
    done = time.monotonic()
    job.write_arrays({**read_metrics(job.path(METRICS_FILE)), "split": task.split.codes()})
    return {
        "epochs": outcome.epochs,
        "best_epoch": outcome.best_epoch,
        "stopped_early": outcome.stopped_early,
        "n_train": len(task.split.train),
        "n_validation": len(task.split.validation),
        "n_out_of_bag": len(task.split.out_of_bag),
        "n_test": len(task.split.test),
        "accelerator": outcome.accelerator,
        "warm_start": task.plan.warm_start,
        "refitted_shifts": dict(task.plan.parent_shifts),
        "errors": errors,
        "force_rms": task.force_rms,
        "types": list(task.definition.species),
        "cutoff": task.definition.cutoff,
        "seed": task.plan.seed,
        "wall_s": {"train": round(trained - start, 2), "package": round(done - trained, 2)},
        "versions": {"aiida-nvp": __version__, **{name: version(name) for name in _PACKAGES}},
    }


def read_task(job: Job) -> Task:
    """Read ``input.json`` and ``frames.npz`` and check that they fit together.

    :raises InputError: with the first thing that does not fit.
    """
    inputs = job.inputs
    try:
        definition = PotentialDefinition.model_validate(inputs["definition"])
    except ValidationError as error:
        raise InputError(f"the potential definition is not valid: {error.errors()[0]['msg']}.") from error
    frames = FrameSet.load(job.path(FRAMES_FILE))
    _check_frames(frames, definition)
    plan = TrainingPlan(
        seed=int(inputs["seed"]),
        shifts=inputs.get("shifts", {}),
        warm_start=job.path(PARENT_FILE).exists(),
        refit=bool(inputs.get("refit_shifts", False)),
        resume=job.path(LAST_CHECKPOINT).exists(),
        rate_factor=float(inputs.get("rate_factor", 1.0)),
    )
    split = split_frames(
        frames.ids(),
        plan.seed,
        definition.committee.bag_fraction,
        definition.training.validation_fraction,
        frozen_test(trajectory_keys(frames), definition.committee.test_fraction),
    )
    return Task(definition, plan, frames, split, inputs.get("max_wallclock_s"))


def _with_parent(path: Path, task: Task, check: Callable[[Path, PotentialDefinition], tuple[str, ...]]) -> Task:
    """Return the task with the types of the parent, which a training cannot change, and its shifts where it has to."""
    definition = task.definition.model_copy(update={"species": check(path, task.definition)})
    plan = task.plan
    if plan.refit:
        fine_tune = importlib.import_module("aiida_nvp.worker.fine_tune")
        plan = replace(plan, parent_shifts=fine_tune.refitted_shifts(path, task.frames, task.split.train))
    return replace(task, definition=definition, plan=plan)


def read_metrics(path: Path) -> dict[str, NDArray[np.float64]]:
    """Return the columns of Lightning's ``metrics.csv``, one value an epoch, NaN where a value was not logged.

    Training and validation write separate rows of one epoch; they are merged here.
    """
    merged: dict[int, dict[str, float]] = {}
    with path.open(encoding="utf-8", newline="") as handle:
        for row in csv.DictReader(handle):
            values = {_column(key): float(value) for key, value in row.items() if key and value and _column(key)}
            merged.setdefault(int(row["epoch"]), {}).update(values)
    names = sorted({name for values in merged.values() for name in values})
    epochs = sorted(merged)
    columns = {name: np.array([merged[epoch].get(name, np.nan) for epoch in epochs]) for name in names}
    return {"epoch": np.array(epochs, dtype=float) + 1, **columns}


def _column(key: str) -> str:
    return next((name + key.removeprefix(prefix) for prefix, name in _COLUMNS if key.startswith(prefix)), "")


def _forces(frames: FrameSet) -> NDArray[np.float64]:
    if frames.forces is None:
        raise InputError("the frames carry no labels; training needs energies and forces.")
    return frames.forces


def _check_frames(frames: FrameSet, definition: PotentialDefinition) -> None:
    if len(frames) == 0:
        raise InputError("the data set is empty; training needs labelled frames.")
    _forces(frames)
    unknown = [symbol for symbol in frames.species() if symbol not in definition.species]
    if unknown:
        raise InputError(
            f"the data set holds {', '.join(unknown)}, which potential `{definition.name}` does not know "
            f"(its species: {', '.join(definition.species)})."
        )
    if definition.training.stress_weight > 0 and (frames.stress is None or not np.isfinite(frames.stress).all()):
        raise InputError(
            "stress_weight is above zero but not every frame has a stress label; set it to 0 or label all."
        )
