"""The candidates of one selection, gathered from the nodes that hold them and what the committee says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet, concatenate
from aiida_nvp.common.trajectory_key import trajectory_key
from aiida_nvp.common.vocabulary import Stream
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.selection.batch import Pool
from aiida_nvp.selection.filters import PhysicalLimits, faults
from aiida_nvp.selection.kinds import kinds
from aiida_nvp.selection.settings import BatchSettings
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.residuals import AtomScores
from aiida_nvp.uncertainty.score import frame_scores
from aiida_nvp.uncertainty.spread import vector_std

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """F frames with N atoms and what the committee says of them.

    :param sources: of each frame, see :class:`~aiida_nvp.data.dataset.DatasetData`.
    :param sigma: (N,) spread of the members' forces and ``force``: (N,) size of their mean, eV/angstrom.
    :param distance: (N,) of the features from the training set, or None.
    :param features: (F, d); ``information``: (F, R, d), or None where the committee came without statistics.
    """

    frames: FrameSet
    sources: list[Any]
    sigma: FloatArray
    force: FloatArray
    distance: FloatArray | None
    features: FloatArray
    information: NDArray[np.float32] | None

    def __post_init__(self) -> None:
        """Refuse arrays of other frames."""
        count, atoms = len(self.frames), self.frames.numbers.shape
        for name, found in (("forces_std", self.sigma), ("forces_mean", self.force), ("distance", self.distance)):
            if found is not None and found.shape != atoms:
                raise InputError(f"selection: {name} is of {len(found)} atoms, the candidates have {atoms[0]}.")
        for name in ("features", "information"):
            found = getattr(self, name)
            if found is not None and len(found) != count:
                raise InputError(f"selection: {name} is of {len(found)} frames, there are {count} candidates.")

    @property
    def origins(self) -> list[Mapping[str, Any]]:
        """What is stored with each frame."""
        return [info.get("origin", {}) for info in self.frames.info]


def gather(candidates: DatasetData, predictions: orm.ArrayData, evidence: Mapping[str, Any]) -> Candidates:
    """Return the fresh candidates and, after them, those that an earlier selection had no place for.

    :param evidence: ``left_over`` and ``rescored`` of :func:`aiida_nvp.calculations.select.select`, or neither.
    :raises InputError: for arrays that are missing or of other frames.
    """
    fresh = _fresh_candidates(candidates, predictions)
    if "left_over" not in evidence:
        return fresh
    old = _rescored(evidence["left_over"], evidence["rescored"])
    if not len(fresh.frames):
        return old
    both = (fresh.information, old.information)
    alike = both[0] is not None and both[1] is not None and both[0].shape[1:] == both[1].shape[1:]
    return Candidates(
        frames=concatenate([fresh.frames, old.frames]),
        sources=[*fresh.sources, *old.sources],
        sigma=np.concatenate([fresh.sigma, old.sigma]),
        force=np.concatenate([fresh.force, old.force]),
        distance=_joined(fresh.distance, old.distance),
        features=np.concatenate([fresh.features, old.features]),
        information=_joined(*both) if alike else None,
    )


def as_pool(found: Candidates, settings: BatchSettings, model: ErrorModel) -> Pool:
    """Return the candidates as a selection weighs them, their errors expected by a model."""
    frames, origins = found.frames, found.origins
    expected = model.expected(AtomScores(frames.numbers, found.sigma, found.force, found.distance))
    limits = PhysicalLimits(
        settings.min_distance_scale, settings.min_distances, settings.density_g_cm3, settings.temperature_spike
    )
    ids = frames.ids()
    return Pool(
        ids=ids,
        scores=frame_scores(frames, expected).score,
        faults=faults(frames, origins, limits),
        streams=[Stream(origin.get("stream", Stream.STRIDE)) for origin in origins],
        trajectories=[trajectory_key(info, identity) for info, identity in zip(frames.info, ids, strict=True)],
        times=np.array([time_ps(origin) for origin in origins], dtype=float),
        kinds=kinds(frames, origins, expected, settings.temperature_band, settings.coordination),
        features=found.features,
        atoms=np.diff(frames.offsets),
        information=found.information,
    )


def time_ps(origin: Mapping[str, Any]) -> float:
    """Return when in its trajectory a frame was met, ps; NaN where that is unknown."""
    return float(origin.get("time_ps", np.nan))


def _fresh_candidates(candidates: DatasetData, predictions: orm.ArrayData) -> Candidates:
    count = len(candidates)
    force = _needed(predictions, "forces_mean")
    return Candidates(
        frames=candidates.frames,
        sources=candidates.sources,
        sigma=_needed(predictions, "forces_std"),
        force=np.linalg.norm(force, axis=1),
        # Explorations of before these were kept lack them.
        distance=array(predictions, "distance"),
        features=_needed(predictions, "features").reshape(count, -1 if count else 0),
        information=array(predictions, "information"),
    )


def _rescored(frames: DatasetData, predictions: orm.ArrayData) -> Candidates:
    forces = _needed(predictions, "forces")
    features = array(predictions, "features")
    return Candidates(
        frames=frames.frames,
        sources=frames.sources,
        sigma=vector_std(forces),
        force=np.linalg.norm(forces.mean(axis=0), axis=1),
        distance=array(predictions, "distance"),
        features=np.zeros((len(frames), 0)) if features is None else features,
        information=array(predictions, "information"),
    )


def array(predictions: orm.ArrayData, name: str) -> NDArray[Any] | None:
    """Return an array of a node, or None where it has none of this name."""
    return np.asarray(predictions.get_array(name)) if name in predictions.get_arraynames() else None


def _joined(first: NDArray[Any] | None, second: NDArray[Any] | None) -> NDArray[Any] | None:
    return None if first is None or second is None else np.concatenate([first, second])


def _needed(predictions: orm.ArrayData, name: str) -> FloatArray:
    found = array(predictions, name)
    if found is None:
        raise InputError(f"selection: the predictions hold no `{name}`.")
    return np.asarray(found, dtype=float)
