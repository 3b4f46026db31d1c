"""Measured numbers to judge a model by, as data: value, tolerance, grade, source, and the glass that they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_nvp.analysis.experiment.composition import GlassComposition
from aiida_nvp.analysis.experiment.measured import Curve
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.validation import validated

UNITS: Final[dict[str, str]] = {
    "oxidation_share": "1",
    "coordination": "1",
    "bond_length": "angstrom",
    "bond_angle": "degree",
    "qn_share": "1",
    "density": "g/cm3",
    "number_density": "1/angstrom3",
    "glass_transition": "K",
    "conductivity": "S/cm",
    "diffusivity": "cm2/s",
    "activation_energy": "eV",
    "capacity": "mAh/g",
}
"""The one unit of each quantity."""

TOTAL: Final = "total"
"""Of a conductivity or its activation energy: ions and electrons together, as impedance measures them."""

CHARGE_TRANSPORT: Final = frozenset({"conductivity", "activation_energy"})

_TEMPERATURE_TOLERANCE = 10.0

Positive = Annotated[float, Field(gt=0)]
Regime = Literal["ionic", "mixed", "electronic"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Line(_Frozen):
    """A value that is linear in the share of one cation among all: ``intercept + slope * share``.

    :param cation, other: the two cations of the glasses that it was measured on.
    :param lowest, highest: share of ``cation`` between which it was measured.
    """

    cation: str
    other: str
    intercept: float
    slope: float
    lowest: float
    highest: float


class Family(_Frozen):
    """Glasses of some cations.

    :param cations: that each of them holds.
    :param others: whether they may hold more.
    """

    cations: tuple[str, ...]
    others: bool = False


class Target(_Frozen):
    """A measured number.

    :param id: unique name.
    :param quantity: a key of :data:`UNITS`; ``of``: what it is a quantity of, for example ``V-O``, ``V4+``, ``P Q2``,
        ``Na``, or ``total`` for charge transport.
    :param value: with ``minimum`` and ``maximum`` left out. One of them alone is a bound, both are a band.
    :param line: instead of a value, for a family of glasses.
    :param uncertainty: as the source states it; None where it states none.
    :param tolerance: largest deviation that passes, in the unit of the quantity; ``tolerance_percent`` of the value, or
        a ``factor`` up and down, in their place. For bounds it widens them.
    :param grade: A for a number that a source states, B for one derived from it, C for general knowledge.
    :param gates: whether a failure stops a model. Never true of grade C.
    :param system: the glass in words; ``composition``: by oxides; ``family``: where it is that of many.
    :param temperature: K, where the number belongs to one; ``temperature_tolerance`` in K.
    :param regime: what carries the current, where the source tells.
    :param doi, reference: one of them is needed.
    :param note: what a reader has to know.
    """

    id: str
    quantity: str
    of: str
    value: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    line: Line | None = None
    uncertainty: Positive | None = None
    tolerance: Annotated[float, Field(ge=0)] | None = None
    tolerance_percent: Positive | None = None
    factor: Annotated[float, Field(gt=1)] | None = None
    unit: str
    grade: Literal["A", "B", "C"]
    gates: bool = False
    system: str
    composition: GlassComposition | None = None
    family: Family | None = None
    temperature: Positive | None = None
    temperature_tolerance: Positive = _TEMPERATURE_TOLERANCE
    regime: Regime | None = None
    doi: str | None = None
    reference: str | None = None
    note: str = ""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        bounds = self.minimum is not None or self.maximum is not None
        if [self.value is not None, bounds, self.line is not None].count(True) != 1:
            raise ValueError("give one of `value`, bounds by `minimum` and `maximum`, or a `line`")
        if UNITS.get(self.quantity) != self.unit:
            known = UNITS.get(self.quantity)
            raise ValueError(f"`quantity` is one of {', '.join(UNITS)}" if known is None else f"its unit is {known}")
        if [limit is not None for limit in (self.tolerance, self.tolerance_percent, self.factor)].count(True) != 1:
            raise ValueError("give one of `tolerance`, `tolerance_percent` and `factor`")
        if self.grade == "C" and self.gates:
            raise ValueError("general knowledge (grade C) never gates")
        if [where is not None for where in (self.composition, self.line, self.family)].count(True) != 1:
            raise ValueError("a target belongs to a `composition`, a `line` or a `family` of glasses")
        if not (self.doi or self.reference):
            raise ValueError("a `doi` or a `reference` is needed")
        return self


class RegimeRule(_Frozen):
    """What carries the current, by the share of the mobile ion among it and the electron-hopping element.

    :param mobile, redox: the two elements.
    :param electronic_below, ionic_above: share mobile / (mobile + redox); mixed in between.
    :param uncertainty: of the two limits: within it the regime counts as mixed.
    """

    mobile: str
    redox: str
    electronic_below: float
    ionic_above: float
    uncertainty: float
    doi: str | None = None
    reference: str | None = None


class Registry(_Frozen):
    """Targets, and the rules for glasses whose source does not tell what carries the current."""

    targets: tuple[Target, ...]
    regimes: tuple[RegimeRule, ...] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [target.id for target in self.targets]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"target {twice[0]} is there twice")
        return self


def known_targets() -> Registry:
    """Return the targets and rules that come with the package."""
    text = files("aiida_nvp.analysis.experiment").joinpath("targets.yaml").read_text(encoding="utf-8")
    return _registry("targets.yaml", text)


def read_targets(path: str | Path) -> Registry:
    """Read targets of one's own, a YAML file of the same layout as that of the package.

    :raises InputError: if the file is missing, no YAML, or a target does not make sense; the message names it.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file.name} is not a readable file of targets: {error}.") from error
    return _registry(file.name, text)


def targets_of(curve: Curve, name: str, tolerance_percent: float) -> tuple[Target, ...]:
    """Return one target a point of a measured conductivity, density or Q^n distribution.

    :param name: of the measurement, the beginning of the ids.
    :param tolerance_percent: largest deviation that passes; three standard errors of the point where that is more.
    :raises InputError: for a curve that is no list of numbers, such as S(Q).
    """
    about = curve.about
    if about.quantity not in {"conductivity", "density", "Qn"}:
        raise InputError(f"{about.quantity} is compared as a curve; targets are made of conductivity, density and Qn.")
    found = []
    for index, (x, y) in enumerate(zip(curve.x.tolist(), curve.y.tolist(), strict=True)):
        sigma = None if curve.error is None else float(curve.error[index])
        values: dict[str, Any] = {
            "id": f"{name}-{x:g}",
            "value": y,
            "uncertainty": sigma,
            "tolerance": max(abs(y) * tolerance_percent / 100, 3 * (sigma or 0.0)),
            "grade": "A",
            "system": about.composition.label,
            "composition": about.composition,
            "doi": about.doi,
            "reference": about.source,
            "note": about.technique,
            **_what_it_is(curve, x),
        }
        found.append(validated(Target, values, f"target {name}-{x:g}"))
    return tuple(found)


def _what_it_is(curve: Curve, x: float) -> dict[str, Any]:
    about = curve.about
    if about.quantity == "Qn":
        return {
            "quantity": "qn_share",
            "unit": "1",
            "of": f"{about.species} Q{round(x)}",
            "temperature": about.temperature,
        }
    of = about.carriers if about.quantity == "conductivity" else "glass"
    return {"quantity": about.quantity, "unit": UNITS[about.quantity], "of": of, "temperature": x}


def regime_of(composition: GlassComposition, rules: Sequence[RegimeRule]) -> tuple[Regime, str]:
    """Return what carries the current in a glass and why: by the first rule whose two elements it holds, else ions."""
    cations = composition.cations
    for rule in rules:
        mobile, redox = cations.get(rule.mobile, 0.0), cations.get(rule.redox, 0.0)
        if not redox:
            continue
        ratio = mobile / (mobile + redox)
        source = rule.doi or rule.reference
        why = f"{rule.mobile}/({rule.mobile} + {rule.redox}) is {ratio:.2f} ({source})"
        if ratio < rule.electronic_below - rule.uncertainty:
            return "electronic", f"electrons hop between {rule.redox} ions: {why}"
        if ratio > rule.ionic_above + rule.uncertainty:
            return "ionic", f"{rule.mobile} carries the current: {why}"
        return "mixed", f"ions and electrons carry the current: {why}"
    return "ionic", "no element between whose ions electrons are known to hop"


def _registry(name: str, text: str) -> Registry:
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{name} is not YAML: {' '.join(str(error).split())}.") from error
    return validated(Registry, values, name, "file")
