"""The verdict on a campaign after a cycle, as a node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.convergence.criteria import assess_history
from aiida_nvp.convergence.evidence import CycleEvidence, Sample, StopRules, Used
from aiida_nvp.data.dataset import DatasetData

ERROR_INPUT = 210

BREAKS = frozenset(StopReason) - {StopReason.COMPLETED, StopReason.WALLTIME}
"""Ends of a replica that speak against the potential; a walltime does not."""


@calcfunction
def assess(parameters: orm.Dict, dataset: DatasetData, **history: orm.Dict) -> orm.Dict | ExitCode:
    """Return verdict, its sentence, the criteria of the last cycle, budgets, forecast, numbers of cycles and labels.

    :param parameters: of :class:`~aiida_nvp.convergence.evidence.StopRules`; ``observables`` among them means that
        these have to be settled too.
    :param dataset: all labelled frames so far.
    :param history: for each cycle c ``selection_c`` (the table), ``exploration_c`` (the results) and, where frames were
        labelled, ``calibration_c``; where they are known ``observables_c`` and ``cost_c``.

    Exit status 210 with a sentence for rules that cannot be met or a history with a gap.
    """
    try:
        rules = stop_rules(parameters.get_dict())
        cycles = count_cycles(history)
        evidence = [_evidence(history, cycle) for cycle in range(cycles)]
        spent = _record(history, "cost", cycles - 1).get("total_core_hours")
        found = assess_history(evidence, Used(cycles, len(dataset), spent), rules)
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))
    return orm.Dict(
        {
            "verdict": found.verdict.value,
            "sentence": found.sentence,
            "criteria": [asdict(criterion) for criterion in found.criteria],
            "budgets": [asdict(budget) for budget in found.budgets],
            "forecast": asdict(found.forecast),
            "cycle": cycles - 1,
            "labels": len(dataset),
            "core_hours": spent,
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
    values["watch"] = bool(parameters.get("observables"))
    try:
        return StopRules(**values)
    except TypeError as error:
        raise InputError("stop rules need target_force_error, max_cycles and max_labels.") from error


def count_cycles(history: Iterable[str]) -> int:
    """Return how many complete cycles a history holds."""
    return sum(name.startswith("selection_") for name in history)


def _evidence(history: Mapping[str, orm.Dict], cycle: int) -> CycleEvidence:
    for kind in ("selection", "exploration"):
        if f"{kind}_{cycle}" not in history:
            raise InputError(f"history: `{kind}_{cycle}` is missing; every cycle has one.")
    selection, exploration = history[f"selection_{cycle}"].get_dict(), history[f"exploration_{cycle}"].get_dict()
    calibration, cost = (_record(history, kind, cycle) for kind in ("calibration", "cost"))
    samples = _record(history, "observables", cycle).get("samples")
    fresh = selection["fresh"]
    held = (calibration.get("quality") or {}).get("parts") or {}
    return CycleEvidence(
        fresh_frames=fresh["frames"],
        uncertain_frames=fresh["uncertain"],
        breaks=sum(replica["stop_reason"] in BREAKS for replica in exploration["replicas"]),
        chosen=selection["chosen"],
        labelled=int(calibration.get("n_frames", 0)),
        mean_excess=fresh["mean_excess"],
        information=selection.get("information_gain"),
        force_error=_force_error(calibration.get("prospective") or {}),
        coverage=calibration.get("coverage") or {},
        atoms={name: int(part["n_atoms"]) for name, part in held.items()},
        scales=calibration.get("scales") or {},
        samples=None if samples is None else [Sample(row["stratum"], row["values"]) for row in samples],
        core_hours=cost.get("core_hours"),
    )


def _record(history: Mapping[str, orm.Dict], kind: str, cycle: int) -> dict[str, Any]:
    """Return a record that not every cycle has."""
    found: dict[str, Any] = history[f"{kind}_{cycle}"].get_dict() if f"{kind}_{cycle}" in history else {}
    return found


def _force_error(prospective: Mapping[str, Any]) -> float | None:
    """Return the error of the random share, which is unbiased, or of the whole batch where none of it was labelled."""
    error = (prospective.get("random") or prospective).get("force_rmse")
    return None if error is None else float(error)
