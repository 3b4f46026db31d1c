"""How good the error bars of a committee are, measured on frames that it has not seen.

Five measures stand side by side: the committee's spread, the last layer's sigma of energy and of force, the feature
distance, and the size of the predicted force, which costs nothing and is the one to beat. Each is scored raw (does it
rank the errors) and after the same calibration (are its intervals true, how wide are they); the combined model takes
spread, force and distance together. Calibrating and testing structures are divided at random many times, because one
division of a few dozen structures says little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.benchmark.parts import Parts
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.conformal import LEVELS, calibrate_residuals, coverage
from aiida_nvp.uncertainty.last_layer import FeatureStatistics
from aiida_nvp.uncertainty.quality import calibrated_quality, ranking_quality, reliability_curves
from aiida_nvp.uncertainty.residuals import FloatArray, Residuals, errors_by_species, force_errors
from aiida_nvp.uncertainty.spread import vector_std

DIVISIONS = 50
"""Random divisions of the held-out structures into calibration and test."""
COMBINED = "combined"
_SCALED: tuple[str, ...] = ()
_MEASURES: Mapping[str, tuple[str, ...]] = {
    "committee": _SCALED,
    "last layer, energy": _SCALED,
    "last layer, force": _SCALED,
    "feature distance": _SCALED,
    "force size": _SCALED,
    COMBINED: ("sigma", "force", "distance"),
}
"""Each with the slopes that its calibration fits; without any it is scaled, species by species."""


@dataclass(frozen=True)
class Measured:
    """Everything about the frames of a file: N atoms, one value an atom and measure.

    :param residuals: of all atoms, ``frame`` counted as in the file.
    :param scores: measure to (N,) values, larger means worse.
    """

    residuals: Residuals
    scores: Mapping[str, FloatArray]

    def of(self, frames: NDArray[np.int64], measure: str) -> Residuals:
        """Return the atoms of some frames with the values of a measure in the place of the spread."""
        mask = np.isin(self.residuals.frame, frames)
        sigma = self.scores["committee" if measure == COMBINED else measure]
        return replace(self.residuals, sigma=sigma).where(mask)


def measure(frames: FrameSet, packages: Sequence[Path], statistics: FeatureStatistics) -> Measured:
    """Ask the committee about all frames.

    :raises InputError: if frames are unlabelled or of species that the committee does not know.
    """
    committee = Committee.load(packages)
    prediction = committee.predict(frames)
    labelled = frames.forces if frames.forces is not None else np.full((len(frames.numbers), 3), np.nan)
    features = prediction.features if prediction.features is not None else np.empty((len(frames.numbers), 0))
    mean = prediction.forces.mean(axis=0)
    spread = vector_std(prediction.forces)
    distance = statistics.distance(frames.numbers, features)
    frame = np.repeat(np.arange(len(frames)), np.diff(frames.offsets))
    residuals = Residuals(frames.numbers, frame, spread, mean, labelled, distance)
    scores = {
        "committee": spread,
        "last layer, energy": statistics.sigma(features),
        "last layer, force": statistics.force_sigma(committee.jacobian(frames)),
        "feature distance": np.nan_to_num(distance, nan=1.0),
        "force size": np.linalg.norm(mean, axis=1) + 1e-3,
    }
    return Measured(residuals, scores)


def judge(measured: Measured, parts: Parts, seed: int, divisions: int = DIVISIONS) -> dict[str, Any]:
    """Return errors, rankings and calibrated quality in and out of distribution; JSON values.

    :param divisions: how often the held-out structures are divided anew.
    """
    places = {"in": parts.held, **({"out": parts.out} if len(parts.out) else {})}
    result: dict[str, Any] = {
        "frames": {"train": len(parts.train), **{name: len(frames) for name, frames in places.items()}},
        "errors": {},
        "ranking": {},
        "calibrated": {},
    }
    for place, frames in places.items():
        residuals = measured.of(frames, "committee")
        result["errors"][place] = {**force_errors(residuals), "by_species": errors_by_species(residuals)}
        result["ranking"][place] = {name: _ranking(measured, frames, name) for name in measured.scores}
        result["calibrated"][place] = {
            name: _calibrated(measured, parts, place, name, (seed, divisions)) for name in _MEASURES
        }
    return result


def _ranking(measured: Measured, frames: NDArray[np.int64], name: str) -> dict[str, Any]:
    residuals = measured.of(frames, name)
    return {
        "all": ranking_quality(residuals.sigma, residuals).plain(),
        **{
            symbol: ranking_quality(residuals.sigma[mask], residuals.where(mask)).plain()
            for symbol, mask in residuals.symbols()
        },
    }


def _calibrated(measured: Measured, parts: Parts, place: str, name: str, drawn: tuple[int, int]) -> dict[str, Any]:
    seed, divisions = drawn
    generator = np.random.default_rng([seed, 1])
    rows: list[dict[str, Any]] = []
    species: list[dict[str, dict[str, float]]] = []
    expected, error = [], []
    for _ in range(divisions):
        calibrates, tests = parts.halves(generator)
        calibration = calibrate_residuals(measured.of(calibrates, name), terms=_MEASURES[name])
        fresh = measured.of(tests if place == "in" else parts.out, name)
        rows.append(calibrated_quality(fresh, calibration).plain())
        species.append({str(level): coverage(fresh, calibration, level) for level in LEVELS})
        expected.append(calibration.model.expected(fresh.scores))
        error.append(fresh.error)
    numbers = ("spearman", "auroc", "nll", "ence", "miscalibration_area", "sharpness", "rms_z")
    return {
        "n_frames": rows[-1]["n_frames"],
        **{key: _mean([row[key] for row in rows]) for key in numbers},
        "coverage": {level: _mean([row["coverage"][level] for row in rows]) for level in rows[0]["coverage"]},
        "width": {level: _mean([row["width"][level] for row in rows]) for level in rows[0]["width"]},
        "coverage_by_species": {
            level: {symbol: _mean([found[level].get(symbol) for found in species]) for symbol in species[0][level]}
            for level in species[0]
        },
        "curves": reliability_curves(np.concatenate(expected), np.concatenate(error)),
    }


def _mean(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [value for value in values if value is not None and np.isfinite(value)]
    if not known:
        return {"mean": None, "std": None}
    return {"mean": float(np.mean(known)), "std": float(np.std(known))}
