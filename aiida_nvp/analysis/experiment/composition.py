"""Whether two glasses are the same glass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from ase.data import atomic_numbers
from ase.formula import Formula
from pydantic import BaseModel, ConfigDict, Field, field_validator

from aiida_nvp.common.elements import ANION
from aiida_nvp.common.validation import validated

CATION_TOLERANCE = 0.02
REDUCED_TOLERANCE = 0.05

Moles = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class GlassComposition(BaseModel):
    """A glass by moles of oxides.

    :param oxides: formula to moles in any common scale.
    :param reduced: element to the share of its atoms one electron below their full oxidation state; left out where it
        was not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    oxides: dict[str, Moles]
    reduced: dict[str, Share] = {}

    @field_validator("oxides")
    @classmethod
    def _oxides_are_formulas(cls, oxides: dict[str, float]) -> dict[str, float]:
        for name in oxides:
            counts = _counts(name)
            if ANION not in counts or len(counts) == 1:
                raise ValueError(f"{name} is not an oxide; write V2O5 or Na2O")
        if not sum(oxides.values()) > 0:
            raise ValueError("at least one oxide with more than zero moles is needed")
        return oxides

    @property
    def cations(self) -> dict[str, float]:
        """Share of each cation among all cations."""
        amounts: dict[str, float] = {}
        for name, moles in self.oxides.items():
            for symbol, number in _counts(name).items():
                if symbol != ANION:
                    amounts[symbol] = amounts.get(symbol, 0.0) + moles * number
        total = sum(amounts.values())
        return {symbol: amount / total for symbol, amount in amounts.items() if amount}

    @property
    def label(self) -> str:
        """Mole percent of the oxides, for example ``35Na2O-25V2O5-40P2O5``."""
        total = sum(self.oxides.values())
        return "-".join(f"{100 * moles / total:.3g}{name}" for name, moles in self.oxides.items() if moles)


def glass(oxides: Mapping[str, float], reduced: Mapping[str, float] | None = None) -> GlassComposition:
    """Return a composition.

    :raises InputError: for what is no oxide, or a number out of range.
    """
    values = {"oxides": dict(oxides), "reduced": dict(reduced or {})}
    return validated(GlassComposition, values, "composition of the glass")


def difference(first: GlassComposition, second: GlassComposition, tolerance: float = CATION_TOLERANCE) -> str | None:
    """Return in words what makes two glasses different, or None if they are one within the tolerance.

    Shares of reduced atoms are compared, within 0.05, only where both are known.

    :param tolerance: largest difference of the share of a cation among all cations.
    """
    ours, theirs = first.cations, second.cations
    for symbol in sorted({*ours, *theirs}):
        a, b = ours.get(symbol, 0.0), theirs.get(symbol, 0.0)
        if abs(a - b) > tolerance:
            return f"{symbol} is {100 * a:.3g} % of the cations here and {100 * b:.3g} % there"
    for symbol in sorted(first.reduced.keys() & second.reduced.keys()):
        a, b = first.reduced[symbol], second.reduced[symbol]
        if abs(a - b) > REDUCED_TOLERANCE:
            return f"{100 * a:.3g} % of {symbol} is reduced here and {100 * b:.3g} % there"
    return None


def _counts(name: str) -> dict[str, int]:
    try:
        counts: dict[str, int] = dict(Formula(name).count())
    except ValueError:
        counts = {}
    if not counts or not counts.keys() <= atomic_numbers.keys():
        raise ValueError(f"{name} is not a chemical formula; write V2O5 or Na2O")
    return counts
