"""The part of stage ``train`` that needs torch and nequip: run their programs in this process and judge the result."""

from __future__ import annotations

import contextlib
import math
import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from hydra.utils import instantiate
from nequip.data import AtomicDataDict
from nequip.model.saved_models import ModelTypeNamesFromPackage, load_saved_model
from nequip.scripts import package as nequip_package
from nequip.scripts import train as nequip_train
from numpy.typing import NDArray
from omegaconf import OmegaConf
from torch.nn import Module
from torch.utils.data import DataLoader

from aiida_nvp.common.errors import WorkerError
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.uncertainty.committee import READOUT, pair_reach
from aiida_nvp.worker.job import Job
from aiida_nvp.worker.nequip_config import (
    BEST_CHECKPOINT,
    PACKAGE_FILE,
    dataset_config,
    nequip_config,
)
from aiida_nvp.worker.training_watch import SESSION, Outcome, Session

if TYPE_CHECKING:
    from aiida_nvp.worker.train import Task

ERROR_PARENT = "ERROR_PARENT_PACKAGE"
ERROR_DIVERGED = "ERROR_TRAINING_DIVERGED"
ERROR_STOPPED = "ERROR_TRAINING_STOPPED"

_CONFIG_NAME = "train"
_DIVERGED_RATIO = 100.0
"""A validation error this many times the force RMS of the labels is no longer a bad fit but an explosion."""
_WALLTIME_SHARE = 0.9
_BATCH = 32
_HYDRA = ("hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=disabled")


def check_parent(path: Path, definition: PotentialDefinition) -> tuple[str, ...]:
    """Check that a package is whole, knows the species of the definition and looks equally far; return its species.

    It may know more of them, in any order: a training keeps the types of its parent.

    :raises WorkerError: ``ERROR_PARENT_PACKAGE``.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        types = [] if damaged else ModelTypeNamesFromPackage(str(path))
    except (zipfile.BadZipFile, OSError, RuntimeError, KeyError, ValueError, AssertionError) as error:
        raise WorkerError(ERROR_PARENT, f"the parent package cannot be read ({error}).") from error
    if damaged:
        raise WorkerError(ERROR_PARENT, f"the parent package is damaged at {damaged}.")
    unknown = [symbol for symbol in definition.species if symbol not in types]
    if unknown:
        raise WorkerError(
            ERROR_PARENT,
            f"the parent knows {', '.join(types)} but not {', '.join(unknown)}, which `{definition.name}` names; "
            "a training cannot add species to its parent.",
        )
    model = load_saved_model(path)
    if not any(name.rsplit(".", 1)[-1] == READOUT for name, _ in model.named_modules()):
        raise WorkerError(
            ERROR_PARENT, f"the parent is no Allegro model (it has no `{READOUT}`); only such are trained."
        )
    cutoff = float(model.metadata["r_max"])
    if not math.isclose(cutoff, definition.cutoff, abs_tol=1e-6):
        raise WorkerError(
            ERROR_PARENT,
            f"the parent has a cutoff of {cutoff:g} angstrom but `{definition.name}` names {definition.cutoff:g}; "
            "a warm start keeps the cutoff.",
        )
    if not _same_reach(definition.model_copy(update={"species": tuple(types)}), pair_reach(model)):
        raise WorkerError(
            ERROR_PARENT,
            f"the parent has other cutoffs of pairs than `{definition.name}` names in pair_cutoffs; a warm start keeps "
            "them.",
        )
    return tuple(types)


def _same_reach(definition: PotentialDefinition, reach: NDArray[np.float64] | None) -> bool:
    """Return whether a model, by the cutoffs (T, T) of its pairs, looks as far as the definition says."""
    wanted = definition.edge_cutoffs()
    if reach is None or wanted is None:
        return reach is None and wanted is None
    names = definition.species
    return bool(np.allclose(reach, [[wanted[one][other] for other in names] for one in names], atol=1e-6))


def train(job: Job, task: Task) -> Session:
    """Run ``nequip-train`` in the job folder; the best weights are in ``best.ckpt`` afterwards.

    :raises WorkerError: ``ERROR_TRAINING_DIVERGED``, or ``ERROR_TRAINING_STOPPED`` with ``last.ckpt`` kept.
    """
    limit = task.max_wallclock_s
    session = Session(
        job=job,
        force_limit=_DIVERGED_RATIO * max(1.0, task.force_rms),
        deadline_s=None if limit is None else _WALLTIME_SHARE * limit,
        keep_last=task.definition.training.keep == "last",
        patience=task.definition.training.patience,
    )
    text = yaml.safe_dump(nequip_config(task.definition, task.plan), sort_keys=False)
    job.path(f"{_CONFIG_NAME}.yaml").write_text(text, encoding="utf-8")
    # nequip registers this resolver at every start and would refuse the second training of one process.
    OmegaConf.clear_resolver("training_data_stats")
    token = SESSION.set(session)
    try:
        with _inside(job.folder), _arguments("-cp", str(job.folder), "-cn", _CONFIG_NAME, *_HYDRA):
            nequip_train.main()
    finally:
        SESSION.reset(token)
    if session.outcome is Outcome.DIVERGED:
        raise WorkerError(
            ERROR_DIVERGED,
            f"the validation force error of epoch {session.epochs} is not a number or above "
            f"{session.force_limit:.0f} eV/angstrom.",
        )
    if session.outcome is Outcome.STOPPED:
        raise WorkerError(
            ERROR_STOPPED,
            f"stopped after epoch {session.epochs}, on request or near the walltime.",
        )
    return session


def package(folder: Path) -> None:
    """Make ``potential.nequip.zip`` from the best checkpoint."""
    with _inside(folder):
        nequip_package.main(["build", BEST_CHECKPOINT, PACKAGE_FILE])


def errors(folder: Path, definition: PotentialDefinition, parts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return the errors of the packaged model by part of the frames.

    Forces are compared component by component (eV/angstrom), energies per atom (eV).

    :param parts: file names of frame sets in the job folder; the keys of the result are these without their ending.
    """
    with _inside(folder):
        model = load_saved_model(Path(PACKAGE_FILE))
        return {name.removesuffix(".npz"): _errors_on(model, name, definition) for name in parts}


def _errors_on(model: Module, name: str, definition: PotentialDefinition) -> dict[str, float]:
    dataset = instantiate(dataset_config(name, definition))
    forces, energies = [], []
    for batch in DataLoader(dataset, batch_size=_BATCH, collate_fn=AtomicDataDict.batched_from_list):
        predicted = model(dict(batch))
        forces.append((predicted["forces"] - batch["forces"]).detach().numpy().ravel())
        difference = (predicted["total_energy"] - batch["total_energy"]).detach().numpy().ravel()
        energies.append(difference / batch["num_atoms"].numpy().ravel())
    force = np.concatenate(forces)
    return {
        "force_rmse": _rms(force),
        "force_mae": float(np.mean(np.abs(force))),
        "energy_rmse_per_atom": _rms(np.concatenate(energies)),
    }


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    # Packages remember their parent by path: relative, so that the folder may move.
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _arguments(*values: str) -> Iterator[None]:
    # Hydra reads the command line of the process, whoever calls it.
    before = sys.argv
    sys.argv = ["nequip-train", *values]
    try:
        yield
    finally:
        sys.argv = before
