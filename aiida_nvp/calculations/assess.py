"""The verdict on a campaign after a cycle, as a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.convergence.criteria import CycleEvidence, StopRules, assess_history
from aiida_nvp.data.dataset import DatasetData

ERROR_INPUT = 210

BREAKS = frozenset(StopReason) - {StopReason.COMPLETED, StopReason.WALLTIME}
"""Ends of a replica that speak against the potential; a walltime does not."""


@calcfunction
def assess(parameters: orm.Dict, dataset: DatasetData, **history: orm.Dict) -> orm.Dict | ExitCode:
    """Return verdict, its sentence, the criteria of the last cycle, the number of cycles and of labels.

    :param parameters: of :class:`~aiida_nvp.convergence.criteria.StopRules`.
    :param dataset: all labelled frames so far.
    :param history: for each cycle c ``selection_c`` (the table), ``exploration_c`` (the results) and, where frames were
        labelled, ``calibration_c``.

    Exit status 210 with a sentence for rules that cannot be met or a history with a gap.
    """
    try:
        rules = stop_rules(parameters.get_dict())
        evidence = [_evidence(history, cycle) for cycle in range(_count_cycles(history))]
        found = assess_history(evidence, len(dataset), rules)
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))
    return orm.Dict(
        {
            "verdict": found.verdict.value,
            "sentence": found.sentence,
            "criteria": [asdict(criterion) for criterion in found.criteria],
            "cycle": len(evidence) - 1,
            "labels": len(dataset),
        }
    )


def stop_rules(parameters: Mapping[str, Any]) -> StopRules:
    """Return the rules among ``parameters``.

    :raises InputError: for rules that are missing or that no campaign can meet.
    """
    names = {entry.name for entry in fields(StopRules)}
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in parameters.items() if name in names
    }
    try:
        return StopRules(**values)
    except TypeError as error:
        raise InputError("stop rules need target_force_error, max_cycles and max_labels.") from error


def _count_cycles(history: Mapping[str, orm.Dict]) -> int:
    return sum(name.startswith("selection_") for name in history)


def _evidence(history: Mapping[str, orm.Dict], cycle: int) -> CycleEvidence:
    for kind in ("selection", "exploration"):
        if f"{kind}_{cycle}" not in history:
            raise InputError(f"history: `{kind}_{cycle}` is missing; every cycle has one.")
    selection, exploration = history[f"selection_{cycle}"].get_dict(), history[f"exploration_{cycle}"].get_dict()
    calibration = history[f"calibration_{cycle}"].get_dict() if f"calibration_{cycle}" in history else {}
    fresh = selection["fresh"]
    return CycleEvidence(
        fresh_frames=fresh["frames"],
        uncertain_frames=fresh["uncertain"],
        breaks=sum(replica["stop_reason"] in BREAKS for replica in exploration["replicas"]),
        chosen=selection["chosen"],
        mean_excess=fresh["mean_excess"],
        force_error=_force_error(calibration.get("prospective") or {}),
        coverage=calibration.get("coverage") or {},
        scales=calibration.get("scales") or {},
    )


def _force_error(prospective: Mapping[str, Any]) -> float | None:
    """Return the error of the random share, which is unbiased, or of the whole batch where none of it was labelled."""
    error = (prospective.get("random") or prospective).get("force_rmse")
    return None if error is None else float(error)
