"""The record of one calibration: predictions of the chosen frames set against their labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.ranks import spearman
from aiida_nvp.common.vocabulary import SelectionReason
from aiida_nvp.uncertainty.conformal import LEVEL, Calibration, calibrate_residuals, coverage
from aiida_nvp.uncertainty.error_model import species_scales
from aiida_nvp.uncertainty.quality import calibrated_quality, ranking_quality, reliability_curves
from aiida_nvp.uncertainty.residuals import (
    FloatArray,
    Residuals,
    errors_by_species,
    errors_by_temperature,
    force_errors,
    temperature_bands,
)
from aiida_nvp.uncertainty.spread import vector_std
from aiida_nvp.uncertainty.suspects import FreshLabels, audit_labels
from aiida_nvp.uncertainty.thresholds import Tolerance, derive_thresholds

FEWEST_RANDOM_FRAMES = 8
"""Chosen frames are worse than the average, so the random share alone calibrates fairly, once it is this large."""


@dataclass(frozen=True)
class Predictions:
    """What M members said about F frames before these were labelled.

    :param frames: the frames, with their origins; ``forces``: (M, N, 3) eV/angstrom; ``energy``: (M, F) eV.
    :param distance: (N,) of the atoms' features from the training set; ``last_layer``: (N,) sigma of the first member's
        last layer; None where the committee came without statistics.
    :raises InputError: if the arrays do not belong to the frames.
    """

    frames: FrameSet
    forces: FloatArray
    energy: FloatArray
    distance: FloatArray | None = None
    last_layer: FloatArray | None = None

    def __post_init__(self) -> None:
        """Check the shapes."""
        members = len(self.forces)
        if self.forces.shape != (members, len(self.frames.numbers), 3):
            raise InputError(f"predicted forces {self.forces.shape} are not those of {len(self.frames.numbers)} atoms.")
        if self.energy.shape != (members, len(self.frames)):
            raise InputError(f"predicted energies {self.energy.shape} are not those of {len(self.frames)} frames.")
        for name in ("distance", "last_layer"):
            values = getattr(self, name)
            if values is not None and values.shape != self.frames.numbers.shape:
                raise InputError(f"`{name}` {values.shape} is not that of {len(self.frames.numbers)} atoms.")


def calibration_report(
    made: Predictions, labels: FrameSet, tolerance: Tolerance, previous: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all that one round of fresh labels says about the committee; JSON values.

    Frames without a label (failed) or without a finite prediction are counted and left out.

    :param previous: the record of the round before, or nothing; the predictions were scored with it.
    :raises InputError: if no frame has both a label and a finite prediction.
    """
    rows, partners = _align(made, labels)
    residuals = _residuals(made, labels, rows, partners)
    origins = [made.frames.info[row].get("origin", {}) for row in rows]
    random = np.array([origin.get("reason") == SelectionReason.RANDOM for origin in origins], dtype=bool)
    temperature = np.array([float(origin.get("temperature", np.nan)) for origin in origins])
    fair = int(random.sum()) >= FEWEST_RANDOM_FRAMES
    basis = residuals.where(random[residuals.frame]) if fair else residuals
    calibration = calibrate_residuals(basis)
    stated = derive_thresholds(basis, calibration.model, tolerance)
    before = Calibration.of(previous) if previous else None
    sizes = np.diff(made.frames.offsets)[rows]
    predicted, labelled = made.energy[:, rows] / sizes, _energies(labels)[partners] / sizes
    energy = predicted.mean(axis=0) - labelled
    ids = made.frames.ids()
    fresh = FreshLabels(tuple(ids[row] for row in rows), residuals, predicted, labelled)
    return {
        "error_model": calibration.model.plain(),
        "levels": {level: dict(factors) for level, factors in calibration.quantiles.items()},
        "scales": species_scales(basis),
        "quantiles": dict(calibration.quantiles[str(LEVEL)]),
        "calibrated_on": "random share" if fair else "all chosen frames",
        "coverage": coverage(residuals, before) if before else None,
        "quality": _quality(residuals, before, temperature),
        "prospective": {
            **force_errors(residuals),
            "by_species": errors_by_species(residuals),
            "by_temperature": errors_by_temperature(residuals, temperature),
            "random": force_errors(residuals.where(random[residuals.frame])) if random.any() else None,
            "driver_force_rmse": _driver_rmse(made, labels, rows, partners),
            # Without the common shift: how well energies are ordered, not where their zero lies.
            "energy_spread_per_atom": float(np.std(energy)),
            "energy_rmse_per_atom": float(np.sqrt(np.mean(np.square(energy)))),
        },
        "spearman": {
            "sigma": spearman(calibration.model.expected(residuals.scores), residuals.error),
            "force": spearman(residuals.scores.force, residuals.error),
        },
        "audit": audit_labels(fresh, previous, tolerance.force_error),
        "thresholds": stated["thresholds"],
        "risk": stated["risk"],
        "threshold_sentence": stated["sentence"],
        "target_force_error": tolerance.force_error,
        "n_frames": len(rows),
        "n_atoms": len(residuals.numbers),
        "n_unlabelled": len(made.frames) - len(rows),
    }


def _quality(residuals: Residuals, before: Calibration | None, temperature: FloatArray) -> dict[str, Any]:
    """Return how each measure ranks the fresh errors, and how the calibration that they were met with held.

    A calibration is never judged by the labels that it was made from; before the first one only ranks are known.
    """
    scores = residuals.scores
    rankings = {"committee": scores.sigma, "force size": scores.force}
    if scores.distance is not None and np.isfinite(scores.distance).any():
        rankings["feature distance"] = np.nan_to_num(scores.distance, nan=0.0, posinf=np.finfo(float).max)
    if residuals.last_layer is not None:
        rankings["last layer"] = np.nan_to_num(residuals.last_layer, posinf=np.finfo(float).max)
    found: dict[str, Any] = {
        "rankings": {name: ranking_quality(values, residuals).plain() for name, values in rankings.items()}
    }
    if before is not None:
        parts = [*residuals.symbols(), *temperature_bands(residuals, temperature)]
        found["calibrated"] = calibrated_quality(residuals, before).plain()
        found["curves"] = reliability_curves(before.model.expected(scores), residuals.error)
        found["parts"] = {
            name: calibrated_quality(residuals.where(mask), before).plain() for name, mask in parts if mask.any()
        }
    return found


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
        distance=None if made.distance is None else made.distance[atoms],
        last_layer=None if made.last_layer is None else made.last_layer[atoms],
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
