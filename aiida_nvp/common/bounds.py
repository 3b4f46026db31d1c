"""Bounds of the numbers that a campaign file and a worker job both take: what passes the one cannot fail the other."""

from __future__ import annotations

from typing import Annotated

from ase.data import atomic_numbers
from pydantic import AfterValidator, Field

Count = Annotated[int, Field(ge=1)]
CountFromZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Kelvin = Annotated[float, Field(ge=0)]
TimestepFs = Annotated[float, Field(gt=0, le=10)]
FrictionPerFs = Annotated[float, Field(gt=0, le=1)]
DistanceScale = Annotated[float, Field(ge=0, lt=1)]


def element_pairs(pairs: dict[str, float]) -> dict[str, float]:
    """Return the pairs.

    :raises ValueError: if a name is not that of two elements.
    """
    for pair in pairs:
        first, _, second = pair.partition("-")
        if first not in atomic_numbers or second not in atomic_numbers:
            raise ValueError(f"`{pair}` is no pair of elements; write it as `P-O: 2.2`")
    return pairs


ElementPairs = Annotated[dict[str, Positive], AfterValidator(element_pairs)]
"""Pairs such as ``P-O`` with a distance in angstrom."""
