"""The record of one calibration: predictions of the chosen frames set against their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import SelectionReason
from aiida_nvp.uncertainty.calibration import (
    Residuals,
    calibrated,
    coverage,
    errors_by_species,
    errors_by_temperature,
    force_errors,
    quantiles,
    spearman,
    species_scales,
    thresholds,
)
from aiida_nvp.uncertainty.spread import vector_std
from aiida_nvp.uncertainty.suspects import FreshLabels, audit_labels

FloatArray = NDArray[np.float64]

FEWEST_RANDOM_FRAMES = 8
"""Chosen frames are worse than the average, so the random share alone calibrates fairly, once it is this large."""


@dataclass(frozen=True)
class Predictions:
    """What M members said about F frames before these were labelled.

    :param frames: the frames, with their origins; ``forces``: (M, N, 3) eV/angstrom; ``energy``: (M, F) eV.
    :raises InputError: if the arrays do not belong to the frames.
    """

    frames: FrameSet
    forces: FloatArray
    energy: FloatArray

    def __post_init__(self) -> None:
        """Check the shapes."""
        members = len(self.forces)
        if self.forces.shape != (members, len(self.frames.numbers), 3):
            raise InputError(f"predicted forces {self.forces.shape} are not those of {len(self.frames.numbers)} atoms.")
        if self.energy.shape != (members, len(self.frames)):
            raise InputError(f"predicted energies {self.energy.shape} are not those of {len(self.frames)} frames.")


def calibration_report(
    made: Predictions, labels: FrameSet, target_force_error: float, previous: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all that one round of fresh labels says about the committee; JSON values.

    Frames without a label (failed) or without a finite prediction are counted and left out.

    :param previous: the report of the round before, or nothing; only its scales and quantiles are used.
    :raises InputError: if no frame has both a label and a finite prediction.
    """
    bounds = thresholds(target_force_error)
    rows, partners = _align(made, labels)
    residuals = _residuals(made, labels, rows, partners)
    random = _random_share(made.frames, rows)
    fair = len(np.flatnonzero(random)) >= FEWEST_RANDOM_FRAMES
    basis = residuals.where(random[residuals.frame]) if fair else residuals
    scales = species_scales(basis)
    sizes = np.diff(made.frames.offsets)[rows]
    predicted, labelled = made.energy[:, rows] / sizes, _energies(labels)[partners] / sizes
    energy = predicted.mean(axis=0) - labelled
    ids = made.frames.ids()
    fresh = FreshLabels(tuple(ids[row] for row in rows), residuals, predicted, labelled)
    covered = coverage(residuals, previous["scales"], previous["quantiles"]) if previous else None
    return {
        "scales": scales,
        "quantiles": quantiles(basis, scales),
        "calibrated_on": "random share" if fair else "all chosen frames",
        "coverage": covered,
        "prospective": {
            **_errors(made.frames, residuals, rows),
            "driver_force_rmse": _driver_rmse(made, labels, rows, partners),
            # Without the common shift: how well energies are ordered, not where their zero lies.
            "energy_spread_per_atom": float(np.std(energy)),
            "energy_rmse_per_atom": float(np.sqrt(np.mean(np.square(energy)))),
        },
        "spearman": {
            "sigma": spearman(calibrated(residuals.numbers, residuals.sigma, scales), residuals.error),
            "force": spearman(np.linalg.norm(residuals.predicted, axis=1), residuals.error),
        },
        "audit": audit_labels(fresh, previous, target_force_error),
        "thresholds": bounds,
        "target_force_error": target_force_error,
        "n_frames": len(rows),
        "n_atoms": len(residuals.numbers),
        "n_unlabelled": len(made.frames) - len(rows),
    }


def _errors(frames: FrameSet, residuals: Residuals, rows: list[int]) -> dict[str, Any]:
    origins = [frames.info[row].get("origin", {}) for row in rows]
    temperature = np.array([float(origin.get("temperature", np.nan)) for origin in origins])
    random = _random_share(frames, rows)[residuals.frame]
    return {
        **force_errors(residuals),
        "by_species": errors_by_species(residuals),
        "by_temperature": errors_by_temperature(residuals, temperature),
        "random": force_errors(residuals.where(random)) if random.any() else None,
    }


def _random_share(frames: FrameSet, rows: list[int]) -> NDArray[np.bool_]:
    origins = [frames.info[row].get("origin", {}) for row in rows]
    return np.array([origin.get("reason") == SelectionReason.RANDOM for origin in origins], dtype=bool)


def _align(made: Predictions, labels: FrameSet) -> tuple[list[int], list[int]]:
    partner = {identity: index for index, identity in enumerate(labels.ids())}
    finite = np.asarray(np.isfinite(made.energy).all(axis=0))
    rows = [row for row, key in enumerate(made.frames.ids()) if key in partner and finite[row]]
    known = made.frames.ids()
    return rows, [partner[known[row]] for row in rows]


def _residuals(made: Predictions, labels: FrameSet, rows: list[int], partners: list[int]) -> Residuals:
    chosen, atoms = made.frames.subset(rows), _atoms(made.frames, rows)
    forces = made.forces[:, atoms]
    return Residuals(
        numbers=chosen.numbers,
        frame=np.repeat(np.arange(len(rows)), np.diff(chosen.offsets)),
        sigma=vector_std(forces),
        predicted=forces.mean(axis=0),
        labelled=_forces(labels)[_atoms(labels, partners)],
    )


def _driver_rmse(made: Predictions, labels: FrameSet, rows: list[int], partners: list[int]) -> float:
    error = made.forces[0][_atoms(made.frames, rows)] - _forces(labels)[_atoms(labels, partners)]
    return float(np.sqrt(np.mean(np.square(error))))


def _atoms(frames: FrameSet, rows: list[int]) -> NDArray[np.int64]:
    ranges = [np.arange(frames.offsets[row], frames.offsets[row + 1]) for row in rows]
    return np.concatenate([np.empty(0, dtype=np.int64), *ranges])


def _forces(labels: FrameSet) -> FloatArray:
    if labels.forces is None:
        raise InputError("calibration: the labels carry no forces.")
    return labels.forces


def _energies(labels: FrameSet) -> FloatArray:
    if labels.energy is None:
        raise InputError("calibration: the labels carry no energies.")
    return labels.energy
