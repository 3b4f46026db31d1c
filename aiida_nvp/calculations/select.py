"""The batch of frames that deserve a label, as a node, with the reason for each candidate beside it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_nvp.calculations.candidates import Candidates, array, as_pool, gather, time_ps
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory_key import trajectory_key
from aiida_nvp.common.vocabulary import SelectionReason, Stream
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.selection.batch import Decision, Known, Pool, choose, uses_information, worth_keeping
from aiida_nvp.selection.design import LogDet
from aiida_nvp.selection.settings import BatchSettings, Method, batch_settings
from aiida_nvp.uncertainty.error_model import ErrorModel

ERROR_INPUT = 210

Evidence = orm.Dict | orm.ArrayData | DatasetData

_EVIDENCE: Mapping[str, type[orm.Data]] = {
    "calibration": orm.Dict,
    "review": orm.ArrayData,
    "left_over": DatasetData,
    "rescored": orm.ArrayData,
}


@calcfunction
def select(
    candidates: DatasetData,
    predictions: orm.ArrayData,
    known: DatasetData,
    parameters: orm.Dict,
    seed: orm.Int,
    **evidence: Evidence,
) -> dict[str, Any] | ExitCode:
    """Return ``chosen`` (DatasetData, in the order of rank), ``table`` (Dict: a row for each candidate), ``left_over``.

    The last is a DatasetData of the frames that are worth a label and got none; absent where there are none.

    :param predictions: ``forces_std`` (N,), ``forces_mean`` (N, 3), ``features`` (F, d) and, where they are known,
        ``distance`` (N,) and ``information`` (F, R, d) of the candidates.
    :param parameters: of :class:`~aiida_nvp.selection.settings.BatchSettings`.
    :param evidence: what there is of ``calibration`` (Dict with ``scales`` and ``thresholds``; without it the raw
        spread meets the thresholds of ``parameters``), ``review`` (ArrayData of predictions on ``known`` by the same
        committee; with ``features`` (K, d) in it, the batch keeps its distance from what is known), ``left_over``
        (DatasetData of the selection before) and ``rescored`` (ArrayData of predictions on them by this committee).

    Exit status 210 with a sentence for parameters or arrays that cannot be used.
    """
    try:
        _refuse(evidence)
        found = evidence["calibration"].get_dict() if "calibration" in evidence else {}
        settings = batch_settings(parameters.get_dict(), found.get("thresholds", {}))
        everything = gather(candidates, predictions, evidence)
        pool = as_pool(everything, settings, ErrorModel.of(found))
        decisions = choose(pool, _known(known, evidence), settings, seed.value)
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))
    order = [index for _, index in sorted((d.rank, i) for i, d in enumerate(decisions) if d.rank is not None)]
    verdicts = [{"score": float(pool.scores[i]), "reason": decisions[i].reason.value} for i in order]
    outputs = {
        "chosen": _subset(everything, order, verdicts),
        "table": orm.Dict(_table(everything, pool, decisions, settings)),
    }
    left = worth_keeping(pool, decisions, settings.left_over)
    if left:
        outputs["left_over"] = _subset(everything, left, [{"stream": Stream.LEFT_OVER.value}] * len(left))
    return outputs


def _refuse(evidence: Mapping[str, Evidence]) -> None:
    for name, node in evidence.items():
        if name not in _EVIDENCE or not isinstance(node, _EVIDENCE[name]):
            wanted = ", ".join(f"`{key}` ({kind.__name__})" for key, kind in _EVIDENCE.items())
            raise InputError(f"selection: `{name}` ({type(node).__name__}) has no place; known are {wanted}.")
    if ("left_over" in evidence) != ("rescored" in evidence):
        raise InputError("selection: `left_over` and `rescored` come together.")


def _subset(found: Candidates, indices: Sequence[int], verdicts: Sequence[Mapping[str, Any]]) -> DatasetData:
    frames = found.frames.subset(indices)
    info = [
        {**entry, "origin": {**entry.get("origin", {}), **verdict}}
        for entry, verdict in zip(frames.info, verdicts, strict=True)
    ]
    return DatasetData(replace(frames, info=tuple(info)), [found.sources[index] for index in indices])


def _known(known: DatasetData, evidence: Mapping[str, Evidence]) -> Known:
    frames = known.frames
    review = evidence.get("review")
    features = array(review, "features") if isinstance(review, orm.ArrayData) else None
    if features is not None and len(features) != len(frames):
        raise InputError(f"selection: the review has features of {len(features)} frames, {len(frames)} are known.")
    ids = frames.ids()
    trajectories: dict[str, list[float]] = defaultdict(list)
    for info, identity in zip(frames.info, ids, strict=True):
        trajectories[trajectory_key(info, identity)].append(time_ps(info.get("origin", {})))
    return Known(frozenset(ids), features, trajectories)


def _table(found: Candidates, pool: Pool, decisions: Sequence[Decision], settings: BatchSettings) -> dict[str, Any]:
    place = {int(index): number for number, index in enumerate(np.argsort(-pool.scores, kind="stable"), start=1)}
    rows = [
        {
            "frame": pool.ids[index],
            "decision": "accepted" if decision.accepted else "rejected",
            "reason": decision.reason.value,
            "detail": decision.detail,
            "rank": decision.rank,
            "gain": decision.gain,
            "score": _number(pool.scores[index]),
            "place": place[index],
            "stream": pool.streams[index].value,
            "kinds": dict(pool.kinds[index]),
            **{key: origin.get(key) for key in ("replica", "step", "time_ps", "temperature")},
        }
        for index, (decision, origin) in enumerate(zip(decisions, found.origins, strict=True))
    ]
    counts = Counter(decision.reason for decision in decisions)
    informed = uses_information(pool, settings)
    return {
        "rows": rows,
        "counts": {reason.value: counts[reason] for reason in SelectionReason},
        "chosen": sum(decision.accepted for decision in decisions),
        "method": (Method.LOG_DET if informed else Method.FARTHEST_POINT).value,
        "information_gain": _information_gain(pool, decisions),
        "thresholds": {"lower": settings.lower, "upper": settings.upper},
        "fresh": _fresh(pool, settings),
    }


def _information_gain(pool: Pool, decisions: Sequence[Decision]) -> float | None:
    """Return what the batch as a whole teaches the last layer, in nats, whatever drew it."""
    if pool.information is None or not pool.information.size:
        return None
    chosen = [index for index, decision in enumerate(decisions) if decision.accepted]
    design = LogDet(pool.information[chosen])
    for place in range(len(chosen)):
        design.take(place)
    return design.total


def _fresh(pool: Pool, settings: BatchSettings) -> dict[str, Any]:
    """Return what the unbiased frames say of the potential as it is: how many are uncertain and by how much."""
    stride = np.array([stream == Stream.STRIDE for stream in pool.streams], dtype=bool)
    scores = pool.scores[stride]
    finite = scores[np.isfinite(scores)]
    excess = np.clip(finite - settings.lower, 0.0, settings.upper)
    return {
        "frames": len(scores),
        "uncertain": int((~(scores <= settings.lower)).sum()),
        "mean_excess": float(excess.mean()) if len(excess) else None,
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
