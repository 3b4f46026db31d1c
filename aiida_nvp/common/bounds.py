"""Bounds of the numbers that a campaign file and a worker job both take: what passes the one cannot fail the other."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
CountFromZero = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Kelvin = Annotated[float, Field(ge=0)]
TimestepFs = Annotated[float, Field(gt=0, le=10)]
FrictionPerFs = Annotated[float, Field(gt=0, le=1)]
DistanceScale = Annotated[float, Field(ge=0, lt=1)]
