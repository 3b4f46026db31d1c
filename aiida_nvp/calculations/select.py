"""The batch of frames that deserve a label, as a node, with the reason for each candidate beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import SelectionReason, Stream
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.selection.batch import BatchSettings, Decision, Known, Pool, choose
from aiida_nvp.selection.filters import too_close
from aiida_nvp.uncertainty.error_model import ErrorModel
from aiida_nvp.uncertainty.residuals import AtomScores
from aiida_nvp.uncertainty.score import frame_scores

ERROR_INPUT = 210

FloatArray = NDArray[np.float64]

_CALIBRATED = ("lower", "upper")


@dataclass(frozen=True)
class _Judged:
    """Candidates with their scores and the window they are held against."""

    frames: FrameSet
    ids: list[str]
    scores: FloatArray
    settings: BatchSettings

    def origin(self, index: int) -> Mapping[str, Any]:
        origin: Mapping[str, Any] = self.frames.info[index].get("origin", {})
        return origin


@calcfunction
def select(
    candidates: DatasetData,
    predictions: orm.ArrayData,
    known: DatasetData,
    parameters: orm.Dict,
    seed: orm.Int,
    **evidence: orm.Dict | orm.ArrayData,
) -> dict[str, Any] | ExitCode:
    """Return ``chosen`` (DatasetData, in the order of rank) and ``table`` (Dict: a row for each candidate).

    :param predictions: ``forces_std`` (N,), ``forces_mean`` (N, 3), ``features`` (F, d) and, where it is known,
        the feature ``distance`` (N,) of the candidates.
    :param parameters: of :class:`~aiida_nvp.selection.batch.BatchSettings`, and ``min_distance_scale``.
    :param evidence: what there is of ``calibration`` (Dict with ``scales`` and ``thresholds``; without it the raw
        spread meets the thresholds of ``parameters``) and ``review`` (ArrayData of predictions on ``known`` by the same
        committee; with ``features`` (K, d) in it, the batch keeps its distance from what is known).

    Exit status 210 with a sentence for parameters or arrays that cannot be used.
    """
    try:
        calibration, review = _optional(evidence)
        judged = _judge(candidates.frames, predictions, parameters.get_dict(), calibration)
        pool = _pool(judged, predictions, float(parameters.get_dict().get("min_distance_scale", 0.6)))
        decisions = choose(pool, _known(known, review), judged.settings, seed.value)
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))
    order = sorted((d.rank, index) for index, d in enumerate(decisions) if d.rank is not None)
    chosen = judged.frames.subset([index for _, index in order])
    info = []
    for entry, (_, index) in zip(chosen.info, order, strict=True):
        verdict = {"score": float(judged.scores[index]), "reason": decisions[index].reason.value}
        info.append({**entry, "origin": {**entry.get("origin", {}), **verdict}})
    sources = candidates.sources
    return {
        "chosen": DatasetData(replace(chosen, info=tuple(info)), [sources[index] for _, index in order]),
        "table": orm.Dict(_table(judged, pool, decisions)),
    }


def _optional(evidence: Mapping[str, orm.Dict | orm.ArrayData]) -> tuple[orm.Dict | None, orm.ArrayData | None]:
    calibration, review = evidence.get("calibration"), evidence.get("review")
    if (
        set(evidence) - {"calibration", "review"}
        or isinstance(calibration, orm.ArrayData)
        or isinstance(review, orm.Dict)
    ):
        raise InputError("selection: beside the fixed inputs there are `calibration` (Dict) and `review` (ArrayData).")
    return calibration, review


def batch_settings(parameters: Mapping[str, Any], thresholds: Mapping[str, float]) -> BatchSettings:
    """Return the settings among ``parameters``; a calibrated threshold goes before a raw one.

    :raises InputError: for a setting that is missing or out of range.
    """
    values = {name: parameters[name] for name in BatchSettings.__dataclass_fields__ if name in parameters}
    values |= {name: thresholds[name] for name in _CALIBRATED if name in thresholds}
    missing = [name for name in ("budget", *_CALIBRATED) if name not in values]
    if missing:
        raise InputError(f"selection: `{missing[0]}` is missing from the parameters.")
    return BatchSettings(**values)


def _judge(
    frames: FrameSet, predictions: orm.ArrayData, parameters: Mapping[str, Any], calibration: orm.Dict | None
) -> _Judged:
    found = calibration.get_dict() if calibration is not None else {}
    settings = batch_settings(parameters, found.get("thresholds", {}))
    sigma = np.asarray(predictions.get_array("forces_std"), dtype=float)
    if sigma.shape != frames.numbers.shape:
        raise InputError(f"selection: forces_std has shape {sigma.shape} for {len(frames.numbers)} atoms.")
    force = np.linalg.norm(np.asarray(predictions.get_array("forces_mean"), dtype=float), axis=1)
    # Explorations of before the feature distance was kept lack it.
    known = "distance" in predictions.get_arraynames()
    distance = np.asarray(predictions.get_array("distance"), dtype=float) if known else None
    expected = ErrorModel.of(found).expected(AtomScores(frames.numbers, sigma, force, distance))
    return _Judged(frames, frames.ids(), frame_scores(frames, expected).score, settings)


def _pool(judged: _Judged, predictions: orm.ArrayData, min_distance_scale: float) -> Pool:
    count = len(judged.ids)
    origins = [judged.origin(index) for index in range(count)]
    return Pool(
        ids=judged.ids,
        scores=judged.scores,
        too_close=too_close(judged.frames, min_distance_scale),
        streams=[Stream(origin.get("stream", Stream.STRIDE)) for origin in origins],
        replicas=[int(origin.get("replica", index)) for index, origin in enumerate(origins)],
        features=np.asarray(predictions.get_array("features"), dtype=float).reshape(count, -1 if count else 0),
    )


def _known(known: DatasetData, review: orm.ArrayData | None) -> Known:
    frames = known.frames
    features = None
    if review is not None and "features" in review.get_arraynames():
        features = np.asarray(review.get_array("features"), dtype=float)
        if len(features) != len(frames):
            raise InputError(f"selection: the review has features of {len(features)} frames, {len(frames)} are known.")
    return Known(frozenset(frames.ids()), features)


def _table(judged: _Judged, pool: Pool, decisions: list[Decision]) -> dict[str, Any]:
    rows = []
    for index, decision in enumerate(decisions):
        origin = judged.origin(index)
        rows.append(
            {
                "frame": judged.ids[index],
                "decision": "accepted" if decision.accepted else "rejected",
                "reason": decision.reason.value,
                "rank": decision.rank,
                "score": _number(judged.scores[index]),
                "stream": pool.streams[index].value,
                **{key: origin.get(key) for key in ("replica", "step", "time_ps", "temperature")},
            }
        )
    counts = Counter(decision.reason for decision in decisions)
    return {
        "rows": rows,
        "counts": {reason.value: counts[reason] for reason in SelectionReason},
        "chosen": sum(decision.accepted for decision in decisions),
        "thresholds": {"lower": judged.settings.lower, "upper": judged.settings.upper},
        "fresh": _fresh(judged, pool),
    }


def _fresh(judged: _Judged, pool: Pool) -> dict[str, Any]:
    """Return what the unbiased frames say of the potential as it is: how many are uncertain and by how much."""
    stride = np.array([stream == Stream.STRIDE for stream in pool.streams], dtype=bool)
    scores = judged.scores[stride]
    finite = scores[np.isfinite(scores)]
    excess = np.clip(finite - judged.settings.lower, 0.0, judged.settings.upper)
    return {
        "frames": len(scores),
        "uncertain": int((~(scores <= judged.settings.lower)).sum()),
        "mean_excess": float(excess.mean()) if len(excess) else None,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
