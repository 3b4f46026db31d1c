"""The page in sentences and key numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aiida_nvp.common.vocabulary import LabelAudit, LabellerName, LabelStatus
from aiida_nvp.common.vocabulary import Verdict as VerdictWord
from aiida_nvp.labelling.triage import count_checks
from aiida_nvp.report.model import Campaign, Cycle, Values
from aiida_nvp.report.style import conventions

PASS, ATTENTION, PLAIN = "pass", "attention", "plain"

VERDICTS = {
    VerdictWord.CONTINUE: "The evidence asks for more cycles.",
    VerdictWord.CONVERGED: "Converged: every stop criterion is met.",
    VerdictWord.NO_CANDIDATES: "Nothing left to label: no explored frame fell between the thresholds.",
    VerdictWord.CYCLES_USED: "The planned number of cycles is used up. A normal finish, not a proof of convergence.",
    VerdictWord.LABELS_USED: "The label budget is used up. A normal finish, not a proof of convergence.",
    VerdictWord.CORE_HOURS_USED: "The core hours are used up. A normal finish, not a proof of convergence.",
}


@dataclass(frozen=True)
class KeyNumber:
    """One tile at the top of the page; ``status`` is ``pass``, ``attention`` or ``plain``."""

    name: str
    value: str
    note: str
    status: str = PLAIN


def key_numbers(campaign: Campaign) -> tuple[KeyNumber, ...]:
    """Return the numbers a reader looks for first, as far as the campaign has them."""
    made = (_labels(campaign), _force_error(campaign), *_production(campaign))
    return tuple(number for number in made if number is not None)


def verdict_sentence(campaign: Campaign) -> str:
    """Return the verdict of the last cycle in words."""
    last = next((cycle.verdict for cycle in reversed(campaign.cycles) if cycle.verdict), None)
    if last is None:
        return "No cycle has been assessed so far."
    known = {word.value: sentence for word, sentence in VERDICTS.items()}
    return known.get(last.verdict, last.sentence or last.verdict)


def warm_checks(campaign: Campaign) -> list[tuple[str, Values]]:
    """Return what each round from scratch says of warm starts, with the name of the round."""
    rounds = [(f"Cycle {cycle.index}", cycle.warm_check) for cycle in campaign.cycles]
    return [(name, check) for name, check in [*rounds, ("Release", campaign.final_warm_check)] if check]


def state_sentence(campaign: Campaign) -> str | None:
    """Return what to know of a campaign that is not whole; None for one that finished well."""
    process = campaign.process
    done = sum(cycle.verdict is not None for cycle in campaign.cycles)
    so_far = f"{done} cycle{'' if done == 1 else 's'} complete, {_count_labels(campaign)} labels."
    if process.ok:
        return None
    if not process.ended:
        return f"This campaign is still running; the page shows what exists so far: {so_far}"
    if process.state == "finished":
        said = (process.exit_message or "").rstrip(".")
        return (
            f"This campaign stopped with exit code {process.exit_status}: {said}. What was finished is kept: {so_far}"
        )
    return f"This campaign was {process.state} before its end. What was finished is kept: {so_far}"


def is_rehearsal(campaign: Campaign) -> bool:
    """Return whether the labels are the stand-in's."""
    return campaign.labeller == LabellerName.REHEARSAL


def failed_rows(campaign: Campaign) -> list[dict[str, Any]]:
    """Return the triage rows of frames that did not converge at once, were flagged, or lost some of their steps."""
    return [
        {"batch": name, **row}
        for name, batch in campaign.all_batches
        for row in batch.triage
        if row.get("status") != LabelStatus.CONVERGED or row.get("left_out") or row.get("flags") or _unchecked(row)
    ]


def _unchecked(row: Values) -> bool:
    """Return whether a frame was to be made again from other starts and none of them gave a label."""
    return "branch" in row and "kept" not in row["branch"]


def branch_sentence(campaign: Campaign) -> str:
    """Return what the labels that were made again from another start say, or an empty string if none was."""
    checks = count_checks([row for _, batch in campaign.all_batches for row in batch.triage])
    if not checks["frames"] + checks["unchecked"]:
        return ""
    failed = f"; of {checks['unchecked']:.0f} more no other start gave a label" if checks["unchecked"] else ""
    spread = f"{1000 * checks['energy_spread']:.1f} meV/atom and {checks['force_spread']:.2f} eV/Å"
    return (
        f"Branch check, labels made again from another start of the spins: {checks['frames']:.0f} frames compared, "
        f"{checks['ambiguous']:.0f} ambiguous and not trained on; starts end at most {spread} apart{failed}."
    )


def level_of_theory(campaign: Campaign) -> Values:
    """Return how the labels were computed."""
    return next((batch.level_of_theory for _, batch in campaign.batches if batch.level_of_theory), {})


def limits_sentence(campaign: Campaign) -> str | None:
    """Return what the labels are not, as cells and level of theory have it; None for a rehearsal or before labels."""
    source = campaign.dataset or (campaign.seed_labels.dataset if campaign.seed_labels else None)
    if source is None or is_rehearsal(campaign):
        return None
    sizes = np.diff(source.frames.offsets)
    low, high = int(sizes.min()), int(sizes.max())
    size = f"{low} atoms" if low == high else f"{low} to {high} atoms"
    where = _sampling(level_of_theory(campaign).get("kpoints"))
    return (
        f"converged physics: cells of {size}{where} give consistent labels; "
        "whether energies are converged with cell size, k-points and cutoff is not shown here;"
    )


def _sampling(kpoints: object) -> str:
    if kpoints is None:
        return ""
    mesh = list(kpoints) if isinstance(kpoints, list | tuple) else None
    if kpoints == "gamma" or mesh == [1, 1, 1]:
        return " sampled at the Gamma point only"
    if mesh is not None:
        return f" sampled on a {' x '.join(map(str, mesh))} mesh of k-points"
    return f" sampled on meshes of k-points that follow from {kpoints}"


def calibrated_cycles(campaign: Campaign) -> list[Cycle]:
    """Return the cycles that have a calibration."""
    return [cycle for cycle in campaign.cycles if cycle.calibration]


def last_calibration(campaign: Campaign) -> Values:
    """Return the calibration in force at the end; empty before the first."""
    found = calibrated_cycles(campaign)
    return found[-1].calibration if found else {}


def audit_sentence(cycle: Cycle) -> str | None:
    """Return how many labels of a cycle are suspect, fill a gap, or are what was expected; None without an audit."""
    if not cycle.audit:
        return None
    counts = Counter(str(row["class"]) for row in cycle.audit)
    parts = [f"{kind.value}: {counts[kind]}" for kind in (LabelAudit.SUSPECT, LabelAudit.MISSING, LabelAudit.EXPLAINED)]
    return f"Of {len(cycle.audit)} labels that can be set against a prediction: {', '.join(parts)}."


def suspect_rows(cycle: Cycle) -> list[Values]:
    """Return the audit rows of the labels that are suspect."""
    return [row for row in cycle.audit if row["class"] == LabelAudit.SUSPECT]


def compositions(campaign: Campaign) -> dict[str, int]:
    """Return the number of labelled frames by formula; of the unlabelled cells before there are labels."""
    source = campaign.dataset or campaign.seeds
    return dict(source.compositions) if source is not None else {}


def within(value: float, limits: Mapping[str, Any]) -> str:
    """Return ``pass`` or ``attention``."""
    inside = limits.get("low", float("-inf")) <= value <= limits.get("high", float("inf"))
    return PASS if inside else ATTENTION


def _count_labels(campaign: Campaign) -> int:
    return len(campaign.dataset.frames) if campaign.dataset is not None else 0


def _labels(campaign: Campaign) -> KeyNumber | None:
    if campaign.dataset is None:
        return None
    rejected = sum(int(batch.counts.get(LabelStatus.REJECTED, 0)) for _, batch in campaign.batches)
    seeds = campaign.seed_labels.dataset if campaign.seed_labels else None
    first = f"{len(seeds.frames)} of them seeds; " if seeds is not None else ""
    failed = "no structure failed" if not rejected else f"{rejected} structure{'s' if rejected > 1 else ''} failed"
    ambiguous = sum(int(batch.counts.get(LabelStatus.AMBIGUOUS, 0)) for _, batch in campaign.all_batches)
    doubt = f", {ambiguous} ambiguous" if ambiguous else ""
    return KeyNumber("Labels", str(_count_labels(campaign)), first + failed + doubt)


def _force_error(campaign: Campaign) -> KeyNumber | None:
    measured = calibrated_cycles(campaign)
    if not measured:
        return None
    first, last, which = _tested(measured)
    fell = len(measured) == 1 or last["force_rmse"] < first["force_rmse"]
    inside = within(last["ratio"], conventions()["expected"]["force_error_ratio"])
    value = f"{last['force_rmse']:.2f} eV/Å"
    if len(measured) > 1:
        value = f"{first['force_rmse']:.2f} → {value}"
    note = f"on {which}, before their labels; {last['ratio']:.0%} of the force RMS of {last['force_rms']:.2f} eV/Å"
    return KeyNumber("Force error, first → last cycle", value, note, inside if fell else ATTENTION)


def _tested(measured: Sequence[Cycle]) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """Return first and last errors on frames drawn at random; on all chosen ones where a cycle drew none at random."""
    first, last = (cycle.calibration["prospective"] for cycle in (measured[0], measured[-1]))
    if first["random"] and last["random"]:
        return first["random"], last["random"], "new frames drawn at random"
    return first, last, "new frames"


def _production(campaign: Campaign) -> list[KeyNumber]:
    expected = conventions()["expected"]
    found: list[KeyNumber] = []
    shortest = campaign.production.results.get("shortest_distance") if campaign.production else None
    if shortest is not None:
        limits = expected["shortest_distance"]
        found.append(
            KeyNumber("Shortest distance, production", f"{shortest:.2f} Å", limits["why"], within(shortest, limits))
        )
    stages = campaign.analysis.results.get("stages", ()) if campaign.analysis else ()
    for pair, limits in expected["coordination"].items():
        means = [stage["coordination"][pair]["mean"] for stage in stages if pair in stage.get("coordination", {})]
        means = [mean for mean in means if mean is not None]
        if means:
            value = f"{means[0]:.2f}" if len(means) == 1 else " / ".join(f"{mean:.2f}" for mean in means)
            worst = max((within(mean, limits) for mean in means), key=lambda status: status == ATTENTION)
            found.append(KeyNumber(f"{pair} coordination", value, limits["why"], worst))
    return found
