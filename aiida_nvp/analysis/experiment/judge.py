"""Pass, fail or not applicable, with a sentence: calculated numbers against measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aiida_nvp.analysis.experiment.composition import CATION_TOLERANCE, GlassComposition, difference
from aiida_nvp.analysis.experiment.targets import CHARGE_TRANSPORT, TOTAL, UNITS, Registry, Target, regime_of
from aiida_nvp.common.errors import InputError

Status = Literal["pass", "fail", "not applicable"]

_SURE = 2.0
"""Standard errors of a calculation within which it cannot be told from its value."""


@dataclass(frozen=True)
class Result:
    """A calculated number.

    :param quantity: a key of :data:`~aiida_nvp.analysis.experiment.targets.UNITS`, whose unit it is in.
    :param of: what it is a quantity of, in the words of the targets; of charge transport the ion that is simulated.
    :param value: the number; ``error``: its standard error, None if unknown.
    :param composition: of the simulated glass.
    :param temperature: K, None if it belongs to none.
    :raises InputError: on an unknown quantity, or a number that is not finite.
    """

    quantity: str
    of: str
    value: float
    error: float | None
    composition: GlassComposition
    temperature: float | None = None

    def __post_init__(self) -> None:
        """Refuse what no target can speak about."""
        if self.quantity not in UNITS:
            raise InputError(f"{self.quantity!r} is no quantity of a target; known are {', '.join(UNITS)}.")
        if not np.isfinite([self.value, self.error or 0.0]).all():
            raise InputError(f"the {self.quantity} of {self.of} is {self.value} with error {self.error}; not finite.")


@dataclass(frozen=True)
class Verdict:
    """What one target says about one result.

    :param target: its id; ``grade`` and ``doi`` or reference as there.
    :param gates: whether this verdict stops a model: a failure against a target that gates.
    :param sentence: for the report.
    """

    target: str
    status: Status
    grade: str
    source: str
    gates: bool
    sentence: str


def judge(result: Result, registry: Registry, tolerance: float = CATION_TOLERANCE) -> list[Verdict]:
    """Return the verdict of each target that is about the quantity.

    A total conductivity, or its activation energy, speaks about an ion only where ions carry the current; where ions
    and electrons do, it bounds the ion from above; where electrons do, it does not apply. A result whose error is too
    large to tell does not apply either. Grade C never gates.

    :param tolerance: largest difference of the share of a cation for two glasses to be one.
    """
    about = [target for target in registry.targets if _is_about(target, result)]
    return [_verdict(target, result, registry, tolerance) for target in about]


def stops(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Return the verdicts that stop a model."""
    return [verdict for verdict in verdicts if verdict.gates]


def _is_about(target: Target, result: Result) -> bool:
    whole = target.of == TOTAL and target.quantity in CHARGE_TRANSPORT
    return target.quantity == result.quantity and (target.of == result.of or whole)


def _verdict(target: Target, result: Result, registry: Registry, tolerance: float) -> Verdict:
    status, sentence = _decided(target, result, registry, tolerance)
    source = target.doi or target.reference or ""
    gates = status == "fail" and target.gates and target.grade != "C"
    return Verdict(target.id, status, target.grade, source, gates, f"{sentence} [{target.grade}, {source}]")


def _decided(target: Target, result: Result, registry: Registry, tolerance: float) -> tuple[Status, str]:
    what = f"{target.quantity.replace('_', ' ')} of {result.of}, {target.system}"
    if obstacle := _obstacle(target, result, tolerance):
        return "not applicable", f"{what}: {obstacle}"
    bound_only = False
    if target.of == TOTAL and result.of != TOTAL:
        regime, why = (target.regime, "as the source says") if target.regime else _regime(result, registry)
        if regime == "electronic":
            return "not applicable", (
                f"{what}: the measured {target.quantity.replace('_', ' ')} is not that of {result.of}, for electrons "
                f"carry the current ({why})"
            )
        if regime == "mixed":
            if target.quantity != "conductivity":
                return "not applicable", f"{what}: ions and electrons carry the current ({why}), each with its own"
            bound_only = True
    return _compared(target, result, what, bound_only)


def _regime(result: Result, registry: Registry) -> tuple[str, str]:
    return regime_of(result.composition, registry.regimes)


def _obstacle(target: Target, result: Result, tolerance: float) -> str | None:
    """Return why a target is about another glass or temperature, None if it is not."""
    if target.composition is not None:
        apart = difference(result.composition, target.composition, tolerance)
        if apart is not None:
            return f"another glass, {apart}"
    return _outside_of_family(target, result.composition.cations) or _other_temperature(target, result.temperature)


def _outside_of_family(target: Target, cations: dict[str, float]) -> str | None:
    if target.family is not None:
        missing = set(target.family.cations) - cations.keys()
        more = cations.keys() - set(target.family.cations)
        if missing or (more and not target.family.others):
            return f"a glass of {', '.join(sorted(cations))} is none of the family"
    if target.line is not None:
        share = cations.get(target.line.cation, 0.0)
        if cations.keys() != {target.line.cation, target.line.other}:
            return f"measured on glasses of {target.line.cation} and {target.line.other} only"
        if not target.line.lowest <= share <= target.line.highest:
            return f"measured for shares of {target.line.lowest:g} to {target.line.highest:g}, not {share:.3g}"
    return None


def _other_temperature(target: Target, ours: float | None) -> str | None:
    if target.temperature is None:
        return None
    if ours is None:
        return f"measured at {target.temperature:g} K, and the calculation states no temperature"
    if abs(ours - target.temperature) > target.temperature_tolerance:
        return f"measured at {target.temperature:g} K, calculated at {ours:g} K"
    return None


def _compared(target: Target, result: Result, what: str, bound_only: bool) -> tuple[Status, str]:
    low, high, shown = _limits(target, result)
    if bound_only:
        low, shown = -np.inf, f"at most {shown} of ions and electrons together"
    error = _SURE * (result.error or 0.0)
    ours = f"calculated {_text(result.value, result.error, target.unit)}, measured {shown}"
    outside = max(low - result.value, result.value - high)
    if outside <= 0:
        # Well inside is inside whatever the error; near a limit the error has to be small against the tolerance.
        width = 0.5 * (high - low)
        if error <= max(-outside, width if np.isfinite(width) else 0.0):
            return "pass", f"{what}: {ours}"
        return "not applicable", f"{what}: {ours}; the error of the calculation is too large to tell"
    if outside > error:
        return "fail", f"{what}: {ours}, allowed {_range(low, high, target.unit)}"
    return "not applicable", f"{what}: {ours}; outside of {_range(low, high, target.unit)} by less than the error"


def _limits(target: Target, result: Result) -> tuple[float, float, str]:
    """Return what passes, and the measured number in words."""
    if target.line is not None:
        share = result.composition.cations[target.line.cation]
        middle = target.line.intercept + target.line.slope * share
    else:
        middle = target.value if target.value is not None else np.nan
    one = target.value is not None or target.line is not None
    low = middle if one else (-np.inf if target.minimum is None else target.minimum)
    high = middle if one else (np.inf if target.maximum is None else target.maximum)
    shown = _text(middle, target.uncertainty, target.unit) if one else _range(low, high, target.unit)
    if target.factor is not None:
        return low / target.factor, high * target.factor, f"{shown} within a factor of {target.factor:g}"
    if target.tolerance_percent is not None:
        share = target.tolerance_percent / 100
        return low - share * abs(low), high + share * abs(high), f"{shown} +- {target.tolerance_percent:g} %"
    width = target.tolerance or 0.0
    return low - width, high + width, f"{shown} +- {width:g}" if width else shown


def _range(low: float, high: float, unit: str) -> str:
    unit = "" if unit == "1" else f" {unit}"
    if not np.isfinite(low):
        return f"at most {high:.4g}{unit}"
    if not np.isfinite(high):
        return f"at least {low:.4g}{unit}"
    return f"{low:.4g} to {high:.4g}{unit}"


def _text(value: float, error: float | None, unit: str) -> str:
    return f"{value:.4g}{'' if error is None else f' ({error:.2g})'}{'' if unit == '1' else f' {unit}'}"
