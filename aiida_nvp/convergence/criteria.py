"""What it takes to stop: each criterion says in one sentence what it found and what it wanted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import Verdict
from aiida_nvp.convergence.evidence import Criterion, CycleEvidence, StopRules, Used
from aiida_nvp.convergence.forecast import Forecast, forecast
from aiida_nvp.convergence.shift import observables_settled

_EVERYTHING = "all"


@dataclass(frozen=True)
class Budget:
    """How much of a budget is used."""

    name: str
    used: float
    limit: float


@dataclass(frozen=True)
class Assessment:
    """The verdict after the last cycle, the criteria behind it, what is left, and a sentence that sums up.

    :param forecast: what one more cycle would bring and cost.
    """

    verdict: Verdict
    criteria: tuple[Criterion, ...]
    budgets: tuple[Budget, ...]
    forecast: Forecast
    sentence: str


_USED = {
    "cycles": Verdict.CYCLES_USED,
    "labels": Verdict.LABELS_USED,
    "core hours": Verdict.CORE_HOURS_USED,
}


def assess_history(history: Sequence[CycleEvidence], used: Used, rules: StopRules) -> Assessment:
    """Weigh the cycles so far.

    Converged means that every criterion passed in the last ``rules.in_a_row`` cycles. Without that the campaign ends
    when no candidate is left or a budget is used, all of them normal ends.

    :param used: of the budgets.
    :raises InputError: if there is no cycle.
    """
    if not history:
        raise InputError("there is no cycle to assess.")
    rounds = [cycle_criteria(history[: last + 1], rules) for last in range(len(history))]
    streak = 0
    for criteria in reversed(rounds[rules.counts_from :]):
        if not all(criterion.passed for criterion in criteria):
            break
        streak += 1
    verdict, sentence = _verdict(history, streak, used, rules)
    return Assessment(verdict, rounds[-1], budgets(used, rules), forecast(history, used.labels), sentence)


def cycle_criteria(history: Sequence[CycleEvidence], rules: StopRules) -> tuple[Criterion, ...]:
    """Return all criteria for the last cycle of ``history``."""
    now, before = history[-1], history[-2] if len(history) > 1 else None
    watched = observables_settled(before.samples if before else None, now.samples, rules) if rules.watch else ()
    return (
        uncertain_share(now, rules),
        breaks(now),
        force_error(now, rules),
        force_error_settled(now, before, rules),
        *coverage(now, rules),
        *scales_settled(now, before, rules),
        *watched,
        gain(now, history[0], rules),
    )


def budgets(used: Used, rules: StopRules) -> tuple[Budget, ...]:
    """Return how much of each budget is used."""
    found = [Budget("labels", float(used.labels), float(rules.max_labels))]
    found.append(Budget("cycles", float(used.cycles), float(rules.max_cycles)))
    if rules.max_core_hours is not None and used.core_hours is not None:
        found.append(Budget("core hours", used.core_hours, rules.max_core_hours))
    return tuple(found)


def uncertain_share(now: CycleEvidence, rules: StopRules) -> Criterion:
    """Ask whether few fresh unbiased frames lie above the lower threshold."""
    name, limit = "uncertain share", rules.uncertain_share
    if not now.fresh_frames:
        return Criterion(name, False, None, limit, "no fresh frame was met, so nothing is known of their uncertainty")
    share = now.uncertain_frames / now.fresh_frames
    passed = share <= limit
    sentence = f"{share:.1%} of {now.fresh_frames} fresh frames are uncertain; up to {limit:.1%} may be"
    return Criterion(name, passed, share, limit, sentence)


def breaks(now: CycleEvidence) -> Criterion:
    """Ask whether no replica broke."""
    return Criterion("breaks", now.breaks == 0, float(now.breaks), 0.0, f"{now.breaks} replicas broke; none should")


def force_error(now: CycleEvidence, rules: StopRules) -> Criterion:
    """Ask whether the error on frames predicted before they were labelled is at the target."""
    name, limit = "force error", rules.target_force_error
    if now.force_error is None:
        return Criterion(name, False, None, limit, "no new label to test the prediction of forces with")
    sentence = f"the prospective force error is {now.force_error:.3f} eV/angstrom; the target is {limit:.3f}"
    return Criterion(name, now.force_error <= limit, now.force_error, limit, sentence)


def force_error_settled(now: CycleEvidence, before: CycleEvidence | None, rules: StopRules) -> Criterion:
    """Ask whether the error no longer changes from cycle to cycle."""
    name, limit = "force error settled", rules.settled_change
    if now.force_error is None or before is None or not before.force_error:
        return Criterion(name, False, None, limit, "two cycles with labels are needed to see whether the error settled")
    change = abs(now.force_error - before.force_error) / before.force_error
    sentence = f"the prospective force error changed by {change:.1%}; up to {limit:.1%} counts as settled"
    return Criterion(name, change <= limit, change, limit, sentence)


def coverage(now: CycleEvidence, rules: StopRules) -> tuple[Criterion, ...]:
    """Ask whether the intervals of the calibration before held what they promised.

    Each species that is named is asked on its own, of the others the worst. A share of n atoms is known to within its
    standard error, by which the bounds are wider.
    """
    shares = {species: share for species, share in now.coverage.items() if species != _EVERYTHING}
    low, high = rules.coverage
    bounds = {species: _widened(low, high, now.atoms.get(species)) for species in shares}
    distance = {s: max(bounds[s][0] - share, share - bounds[s][1]) for s, share in shares.items()}

    def ask(name: str, species: str | None) -> Criterion:
        if species is None:
            return Criterion(name, False, None, low, "no earlier calibration was tested on new labels of it yet")
        value, (lower, upper) = shares[species], bounds[species]
        limit = lower if value < (lower + upper) / 2 else upper
        sentence = f"90 % intervals cover {value:.0%} of the errors of {species}; {lower:.0%} to {upper:.0%} is sound"
        return Criterion(name, lower <= value <= upper, value, limit, sentence)

    return _by_species("coverage", ask, distance, rules)


def scales_settled(now: CycleEvidence, before: CycleEvidence | None, rules: StopRules) -> tuple[Criterion, ...]:
    """Ask whether the calibrated uncertainty is still the error it stands for: no scale of a species moved."""
    low, high = rules.scale_change
    old = before.scales if before is not None else {}
    ratios = {species: now.scales[species] / old[species] for species in now.scales if old.get(species, 0.0) > 0}
    distance = {species: max(low - ratio, ratio - high) for species, ratio in ratios.items()}

    def ask(name: str, species: str | None) -> Criterion:
        if species is None:
            return Criterion(name, False, None, high, "two calibrations are needed to compare scales")
        value = ratios[species]
        limit = low if value < 1 else high
        sentence = f"the scale of {species} changed by a factor of {value:.2f}; {low:g} to {high:g} counts as settled"
        return Criterion(name, low <= value <= high, value, limit, sentence)

    return _by_species("calibration settled", ask, distance, rules)


def _by_species(
    name: str, ask: Callable[[str, str | None], Criterion], distance: Mapping[str, float], rules: StopRules
) -> tuple[Criterion, ...]:
    """Ask of each named species, and of the worst of the others if there are any."""
    named = [ask(f"{name} of {species}", species if species in distance else None) for species in rules.species]
    others = [species for species in distance if species not in rules.species]
    if not others and named:
        return tuple(named)
    worst = max(others, key=lambda species: distance[species]) if others else None
    return (*named, ask(name, worst))


def _widened(low: float, high: float, atoms: int | None) -> tuple[float, float]:
    if not atoms:
        return low, high
    lower, upper = (math.sqrt(share * (1 - share) / atoms) for share in (low, high))
    return low - lower, min(high + upper, 1.0)


def gain(now: CycleEvidence, first: CycleEvidence, rules: StopRules) -> Criterion:
    """Ask whether little is left to learn, beside the first cycle.

    What the best batch would tell the last layer is asked where the selection knows it, else how far the fresh frames
    lie above the lower threshold.
    """
    name, limit = "gain", rules.gain_share
    what, mine, other = "information gain of the best batch", now.information, first.information
    if mine is None or other is None:
        what, mine, other = "excess uncertainty of fresh frames", now.mean_excess, first.mean_excess
    if mine is None or other is None:
        return Criterion(name, False, None, limit, "no fresh frame with a finite score, so the gain left is unknown")
    left = mine / other if other > 0 else 0.0
    sentence = f"{left:.1%} of the first cycle's {what} is left; up to {limit:.1%} counts as learned"
    return Criterion(name, left <= limit, left, limit, sentence)


def _verdict(history: Sequence[CycleEvidence], streak: int, used: Used, rules: StopRules) -> tuple[Verdict, str]:
    if streak >= rules.in_a_row:
        return Verdict.CONVERGED, f"all criteria held in {streak} cycles in a row."
    if history[-1].chosen == 0:
        return Verdict.NO_CANDIDATES, "no candidate deserved a label in the last cycle."
    for budget in budgets(used, rules):
        if budget.used >= budget.limit:
            return _USED[budget.name], f"{budget.used:.4g} {budget.name} are used; the budget is {budget.limit:.4g}."
    return Verdict.CONTINUE, f"criteria held in {streak} of the last {rules.in_a_row} cycles; budgets are left."
