"""What it takes to stop: each criterion says in one sentence what it found and what it wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import Verdict

_EVERYTHING = "all"


@dataclass(frozen=True)
class StopRules:
    """Limits and budgets.

    :param target_force_error: eV/angstrom, root mean square per component.
    :param max_cycles: cycles to run at most. ``max_labels``: labelled frames in the data set, seeds included.
    :param uncertain_share: share of fresh unbiased frames that may lie above the lower threshold.
    :param settled_change: largest relative change of the prospective error between two cycles.
    :param coverage: bounds of the share of atoms that the 90 % interval of the previous calibration covers.
    :param scale_change: bounds of the ratio of two successive calibration scales.
    :param gain_share: what is left of the first cycle's mean excess uncertainty.
    :param in_a_row: cycles that have to pass one after the other.
    :param counts_from: cycles before this one do not count among them: a campaign that was extended has to pass again.
    """

    target_force_error: float
    max_cycles: int
    max_labels: int
    uncertain_share: float = 0.02
    settled_change: float = 0.05
    coverage: tuple[float, float] = (0.85, 0.95)
    scale_change: tuple[float, float] = (0.8, 1.25)
    gain_share: float = 0.1
    in_a_row: int = 2
    counts_from: int = 0

    def __post_init__(self) -> None:
        """Refuse rules that no campaign can meet.

        :raises InputError: with the offending value.
        """
        if not self.target_force_error > 0:
            raise InputError(f"the target force error is {self.target_force_error:g}; it has to be positive.")
        for name in ("max_cycles", "max_labels", "in_a_row"):
            if getattr(self, name) < 1:
                raise InputError(f"stop rules: `{name}` is {getattr(self, name)}; at least 1 is needed.")


@dataclass(frozen=True)
class CycleEvidence:
    """What one cycle found.

    :param fresh_frames: frames of the stride stream; ``uncertain_frames``: those above the lower threshold.
    :param breaks: replicas that ended before their schedule did, for a physical reason.
    :param chosen: frames that were sent to the labeller.
    :param mean_excess: mean of the score above the lower threshold over the fresh frames, eV/angstrom.
    :param force_error: prospective error in eV/angstrom, of the random share where it was labelled; None where no
        frame was labelled.
    :param coverage: share of atoms inside the interval of the calibration before, by species.
    :param scales: calibration scale by species.
    """

    fresh_frames: int
    uncertain_frames: int
    breaks: int
    chosen: int
    mean_excess: float | None = None
    force_error: float | None = None
    coverage: Mapping[str, float] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Criterion:
    """One answer: ``value`` against ``limit`` and the sentence for the report; None where there is no evidence."""

    name: str
    passed: bool
    value: float | None
    limit: float
    sentence: str


@dataclass(frozen=True)
class Assessment:
    """The verdict after the last cycle, the criteria behind it and a sentence that sums up."""

    verdict: Verdict
    criteria: tuple[Criterion, ...]
    sentence: str


def assess_history(history: Sequence[CycleEvidence], labels: int, rules: StopRules) -> Assessment:
    """Weigh the cycles so far; ``labels`` is the number of labelled frames.

    Converged means that every criterion passed in the last ``rules.in_a_row`` cycles. Without that the campaign ends
    when no candidate is left or a budget is used, all of them normal ends.

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
    verdict, sentence = _verdict(history, streak, labels, rules)
    return Assessment(verdict, rounds[-1], sentence)


def cycle_criteria(history: Sequence[CycleEvidence], rules: StopRules) -> tuple[Criterion, ...]:
    """Return all criteria for the last cycle of ``history``."""
    now, before = history[-1], history[-2] if len(history) > 1 else None
    return (
        uncertain_share(now, rules),
        breaks(now),
        force_error(now, rules),
        force_error_settled(now, before, rules),
        coverage(now, rules),
        scales_settled(now, before, rules),
        gain(now, history[0], rules),
    )


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


def coverage(now: CycleEvidence, rules: StopRules) -> Criterion:
    """Ask whether the intervals of the calibration before held what they promised, for every species."""
    low, high = rules.coverage
    shares = {species: share for species, share in now.coverage.items() if species != _EVERYTHING}
    if not shares:
        return Criterion("coverage", False, None, low, "no earlier calibration was tested on new labels yet")
    worst = max(shares, key=lambda species: max(low - shares[species], shares[species] - high))
    value = shares[worst]
    limit = low if value < (low + high) / 2 else high
    sentence = f"intervals cover {value:.0%} of the errors of {worst}, the worst species; {low:.0%}-{high:.0%} is sound"
    return Criterion("coverage", low <= value <= high, value, limit, sentence)


def scales_settled(now: CycleEvidence, before: CycleEvidence | None, rules: StopRules) -> Criterion:
    """Ask whether the calibrated uncertainty is still the error it stands for: no scale of a species moved."""
    low, high = rules.scale_change
    old = before.scales if before is not None else {}
    ratios = {species: now.scales[species] / old[species] for species in now.scales if old.get(species, 0.0) > 0}
    if not ratios:
        return Criterion("calibration settled", False, None, high, "two calibrations are needed to compare scales")
    worst = max(ratios, key=lambda species: max(low - ratios[species], ratios[species] - high))
    value = ratios[worst]
    limit = low if value < 1 else high
    sentence = f"the scale of {worst} changed by a factor of {value:.2f}; {low:g} to {high:g} counts as settled"
    return Criterion("calibration settled", low <= value <= high, value, limit, sentence)


def gain(now: CycleEvidence, first: CycleEvidence, rules: StopRules) -> Criterion:
    """Ask whether little is left to learn: the mean excess of uncertainty is small beside the first cycle's."""
    name, limit = "gain", rules.gain_share
    if now.mean_excess is None or first.mean_excess is None:
        return Criterion(name, False, None, limit, "no fresh frame with a finite score, so the gain left is unknown")
    left = now.mean_excess / first.mean_excess if first.mean_excess > 0 else 0.0
    sentence = f"{left:.1%} of the first cycle's excess uncertainty is left; up to {limit:.1%} counts as learned"
    return Criterion(name, left <= limit, left, limit, sentence)


def _verdict(history: Sequence[CycleEvidence], streak: int, labels: int, rules: StopRules) -> tuple[Verdict, str]:
    if streak >= rules.in_a_row:
        return Verdict.CONVERGED, f"all criteria held in {streak} cycles in a row."
    if history[-1].chosen == 0:
        return Verdict.NO_CANDIDATES, "no candidate deserved a label in the last cycle."
    if labels >= rules.max_labels:
        return Verdict.LABELS_USED, f"{labels} labels are made; the budget is {rules.max_labels}."
    if len(history) >= rules.max_cycles:
        return Verdict.CYCLES_USED, f"{len(history)} cycles are done; the budget is {rules.max_cycles}."
    return Verdict.CONTINUE, f"criteria held in {streak} of the last {rules.in_a_row} cycles; budgets are left."
