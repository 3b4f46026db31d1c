"""What the criteria look at, and what they are held against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiida_nvp.common.errors import InputError

Value = float | Sequence[float]


@dataclass(frozen=True)
class StopRules:
    """Limits and budgets.

    :param target_force_error: eV/angstrom, root mean square per component.
    :param max_cycles: cycles to run at most. ``max_labels``: labelled frames in the data set, seeds included.
    :param max_core_hours: of the loop; no such budget when None.
    :param species: species whose calibration is judged on its own; of the others the worst is.
    :param uncertain_share: share of fresh unbiased frames that may lie above the lower threshold.
    :param settled_change: largest relative change of the prospective error between two cycles.
    :param coverage: bounds of the share of atoms that the 90 % interval of the previous calibration covers.
    :param scale_change: bounds of the ratio of two successive calibration scales.
    :param gain_share: what is left of the first cycle's gain of information, or of its mean excess uncertainty.
    :param watch: whether observables have to be settled too.
    :param risk: probability that settled observables look unsettled by chance, all of them together.
    :param tolerance: relative change of an observable that does not matter however small its noise.
    :param in_a_row: cycles that have to pass one after the other.
    :param counts_from: cycles before this one do not count among them: a campaign that was extended has to pass again.
    """

    target_force_error: float
    max_cycles: int
    max_labels: int
    max_core_hours: float | None = None
    species: tuple[str, ...] = ()
    uncertain_share: float = 0.02
    settled_change: float = 0.05
    coverage: tuple[float, float] = (0.85, 0.95)
    scale_change: tuple[float, float] = (0.8, 1.25)
    gain_share: float = 0.1
    watch: bool = False
    risk: float = 0.05
    tolerance: float = 0.02
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
        if self.max_core_hours is not None and not self.max_core_hours > 0:
            raise InputError(f"stop rules: `max_core_hours` is {self.max_core_hours:g}; it has to be positive.")
        if not 0 < self.risk < 1:
            raise InputError(f"stop rules: `risk` is {self.risk:g}; it lies between 0 and 1.")


@dataclass(frozen=True)
class Sample:
    """Observables of one replica.

    :param stratum: replicas of one stratum differ by chance alone: one composition under one schedule.
    :param values: number or curve by name of the observable.
    """

    stratum: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class CycleEvidence:
    """What one cycle found.

    :param fresh_frames: frames of the stride stream; ``uncertain_frames``: those above the lower threshold.
    :param breaks: replicas that ended before their schedule did, for a physical reason.
    :param chosen: frames that were sent to the labeller; ``labelled``: those of them that came back.
    :param mean_excess: mean of the score above the lower threshold over the fresh frames, eV/angstrom.
    :param information: what the best batch would add to the last layer, in nats; None where no model gives it.
    :param force_error: prospective error in eV/angstrom, of the random share where it was labelled; None where no
        frame was labelled.
    :param coverage: share of atoms inside the interval of the calibration before, by species.
    :param atoms: atoms behind each coverage.
    :param scales: calibration scale by species.
    :param samples: observables of the replicas that ran to their end; None where nobody measured them.
    :param core_hours: cost of the cycle, where it is known.
    """

    fresh_frames: int
    uncertain_frames: int
    breaks: int
    chosen: int
    labelled: int = 0
    mean_excess: float | None = None
    information: float | None = None
    force_error: float | None = None
    coverage: Mapping[str, float] = field(default_factory=dict)
    atoms: Mapping[str, int] = field(default_factory=dict)
    scales: Mapping[str, float] = field(default_factory=dict)
    samples: Sequence[Sample] | None = None
    core_hours: float | None = None


@dataclass(frozen=True)
class Used:
    """What the campaign has used of its budgets, seeds included.

    :param core_hours: None where it is not known.
    """

    cycles: int
    labels: int
    core_hours: float | None = None


@dataclass(frozen=True)
class Criterion:
    """One answer: ``value`` against ``limit`` and the sentence for the report; None where there is no evidence."""

    name: str
    passed: bool
    value: float | None
    limit: float
    sentence: str
