"""How a batch of labels is drawn, checked once for the campaign file and for the process."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aiida_nvp.common.bounds import Count, CountFromZero, DistanceScale, ElementPairs, Positive
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.validation import validated

Share = Annotated[float, Field(ge=0, le=1)]
ClassShare = Annotated[float, Field(gt=0, le=1)]


class Method(StrEnum):
    """What makes one batch better than another."""

    LOG_DET = "log_det"
    FARTHEST_POINT = "farthest_point"


class DrawSettings(BaseModel):
    """How a batch of labels is drawn from the candidates.

    :param method: ``log_det`` takes the frames that together teach the last layer of the model most for their cost;
        ``farthest_point`` takes each next frame as unlike the taken and the labelled ones as it can.
    :param random_share: share of the labels drawn at random from all physical frames that were met at a fixed stride,
        whatever their score: the only frames that calibrate and test without bias.
    :param keep_most_uncertain: share of the frames between the thresholds, the most uncertain ones, that competes.
    :param max_per_replica: most labels from one trajectory, those of earlier cycles included.
    :param min_apart_ps: least time between two labels of one trajectory.
    :param duplicate_tolerance: frames nearer than this count as one; 1 is a typical distance between two frames.
    :param cost_exponent: a label counts as its number of atoms to this power when what it teaches is set against what
        it costs; 0 counts labels alone.
    :param composition_share: a composition fills no more than this share of a batch while others have frames to offer.
    :param temperature_share: the same for a band of thermostat temperatures; ``temperature_band``: its width in K.
    :param coordination: pairs such as ``V-O`` with their longest bond in angstrom. A frame belongs to the number of
        bonds that its most uncertain atom of the first element has; ``coordination_share`` limits each number.
    :param min_distances: pairs such as ``P-O`` with the shortest distance in angstrom that a label may have, beside the
        bound by covalent radii.
    :param density_g_cm3: lowest and highest density of a physical frame.
    :param temperature_spike: a frame this many times hotter than its thermostat, and hotter than chance makes it, is
        part of an explosion.
    :param left_over: frames worth a label for which there was no place are judged anew by the next committee, at most
        this many.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Method.LOG_DET
    random_share: Share = 0.15
    keep_most_uncertain: ClassShare = 0.5
    max_per_replica: Count = 4
    min_apart_ps: Annotated[float, Field(ge=0, description="ps")] = 0.2
    duplicate_tolerance: Annotated[float, Field(ge=0)] = 0.02
    cost_exponent: Annotated[float, Field(ge=0, le=4)] = 1.25
    composition_share: ClassShare = 0.5
    temperature_share: ClassShare = 0.5
    temperature_band: Annotated[Positive, Field(description="K")] = 500.0
    coordination: ElementPairs = {}
    coordination_share: ClassShare = 0.5
    min_distances: ElementPairs = {}
    density_g_cm3: tuple[Positive, Positive] | None = None
    temperature_spike: Annotated[float, Field(gt=1)] = 2.0
    left_over: CountFromZero = 500

    @field_validator("density_g_cm3")
    @classmethod
    def _rising(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds is not None and not bounds[0] < bounds[1]:
            raise ValueError(f"the density bounds must rise, got {bounds[0]:g} and {bounds[1]:g}")
        return bounds


class BatchSettings(DrawSettings):
    """The draw of one batch.

    :param budget: labels in the batch.
    :param lower: with ``upper``, the window of scores worth a label, eV/angstrom.
    :param min_distance_scale: two atoms nearer than this times the sum of their covalent radii are too close.
    """

    budget: Annotated[int, Field(ge=1)]
    lower: Annotated[float, Field(ge=0)]
    upper: float
    min_distance_scale: DistanceScale = 0.6

    @model_validator(mode="after")
    def _window(self) -> BatchSettings:
        if not self.lower < self.upper:
            raise ValueError(f"the score window runs from {self.lower:g} to {self.upper:g}; it has to rise")
        return self

    @property
    def n_random(self) -> int:
        """Frames drawn at random; at least one where a share is wanted and the budget allows two frames."""
        if self.random_share == 0:
            return 0
        return min(self.budget, max(round(self.budget * self.random_share), 1 if self.budget > 1 else 0))


CALIBRATED = ("lower", "upper")


def batch_settings(parameters: Mapping[str, Any], thresholds: Mapping[str, float]) -> BatchSettings:
    """Return checked settings; a calibrated threshold goes before a raw one.

    :raises InputError: for a setting that is missing, unknown or out of range.
    """
    values = {**parameters, **{name: thresholds[name] for name in CALIBRATED if name in thresholds}}
    missing = [name for name in ("budget", *CALIBRATED) if name not in values]
    if missing:
        raise InputError(f"selection: `{missing[0]}` is missing from the parameters.")
    return validated(BatchSettings, values, "selection", whole="parameters")
