"""What a convergence test runs: three series, each from its loosest setting to its most stringent one.

The series cross in one base setting, so that a calculation which two of them need is made once. Cutoffs are varied on
the coarsest of the k-point meshes, duals and meshes at the base cutoff: what a plane wave more changes hardly depends
on the mesh, and the other way round.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.pw_input import pw_mesh
from aiida_nvp.labelling.settings import KPointDensity, LabelSettings, read_settings

LEAST_DUAL = 4.0
"""A density of squared waves reaches to twice their wave vector: four times their energy."""
_FEWEST = 2
_GAMMA = (1, 1, 1)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Series(StrEnum):
    """What is varied while the rest stays at the base setting."""

    CUTOFF = "cutoff"
    DUAL = "dual"
    KPOINTS = "kpoints"


class Tolerances(BaseModel):
    """Largest differences from the reference that are accepted; None leaves a quantity unjudged.

    :param force: of the force on any one atom, eV/angstrom.
    :param stress_gpa: of any one component of the stress.
    :param energy_per_atom: eV.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    force: Positive = 0.01
    stress_gpa: Positive | None = 0.5
    energy_per_atom: Positive | None = 0.01


class ConvergencePlan(BaseModel):
    """The values of the three series and what is accepted.

    :param cutoffs_ry: cutoffs of the waves, rising.
    :param duals: cutoffs of the density as multiples of those of the waves, rising from 4; empty if they are not
        varied, as norm-conserving pseudopotentials allow.
    :param k_distances: of neighbouring k-points as in :class:`KPointDensity`, falling.
    :param base_cutoff_ry: the one of ``cutoffs_ry`` at which duals and meshes are varied.
    :param base_dual: the one of ``duals`` at which cutoffs and meshes are varied, or that of all points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cutoffs_ry: tuple[Positive, ...]
    duals: tuple[Annotated[float, Field(ge=LEAST_DUAL, allow_inf_nan=False)], ...]
    k_distances: tuple[Annotated[float, Field(gt=0.02, le=5)], ...]
    base_cutoff_ry: float
    base_dual: Annotated[float, Field(ge=LEAST_DUAL, allow_inf_nan=False)]
    tolerances: Tolerances = Tolerances()

    @field_validator("cutoffs_ry", "duals", "k_distances")
    @classmethod
    def _enough_to_compare(cls, values: tuple[float, ...], field: ValidationInfo) -> tuple[float, ...]:
        if not values and field.field_name == "duals":
            return values
        if len(values) < _FEWEST:
            raise ValueError(
                f"{_listed(values) or 'nothing'} given; give two values or more, the last is the reference"
            )
        return values

    @field_validator("cutoffs_ry", "duals")
    @classmethod
    def _rising(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(later <= earlier for earlier, later in pairwise(values)):
            raise ValueError(f"{_listed(values)} does not rise; write it as {_listed(sorted(set(values)))}")
        return values

    @field_validator("k_distances")
    @classmethod
    def _falling(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if any(later >= earlier for earlier, later in pairwise(values)):
            right = _listed(sorted(set(values), reverse=True))
            raise ValueError(f"{_listed(values)} does not go from coarse to fine; write it as {right}")
        return values

    @model_validator(mode="after")
    def _base_is_a_point(self) -> ConvergencePlan:
        for name, value, values in (
            ("base_cutoff_ry", self.base_cutoff_ry, self.cutoffs_ry),
            ("base_dual", self.base_dual, self.duals),
        ):
            if values and value not in values:
                raise ValueError(f"{name} {value:g} has to be one of {_listed(values)}")
        return self

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return self.model_dump(mode="json")


@dataclass(frozen=True)
class Point:
    """One setting that is calculated.

    :param k_distance: the coarsest of the distances that give ``mesh``, 1/angstrom.
    """

    cutoff_wfc_ry: float
    dual: float
    k_distance: float
    mesh: tuple[int, int, int]

    @property
    def cutoff_rho_ry(self) -> float:
        """The cutoff of the density in Ry."""
        # A dual may itself be a quotient of cutoffs, which has to come out as the same cutoff again.
        return round(self.dual * self.cutoff_wfc_ry, 6)

    @property
    def key(self) -> str:
        """Name among links and children, the same for points that are the same calculation."""
        cutoff, dual = (f"{value:g}".replace(".", "p") for value in (self.cutoff_wfc_ry, self.dual))
        return f"cutoff_{cutoff}_dual_{dual}_mesh_{'_'.join(map(str, self.mesh))}"

    def settings(self, base: LabelSettings) -> LabelSettings:
        """Return ``base`` at this point, with the stress whether or not it would be trusted."""
        chosen = {
            "mode": "single_point",
            "cutoff_wfc_ry": self.cutoff_wfc_ry,
            "cutoff_rho_ry": self.cutoff_rho_ry,
            # Real wave functions take half the time.
            "kpoints": "gamma" if self.mesh == _GAMMA else self.mesh,
            "stress_converged": True,
        }
        return read_settings({**base.plain(), **chosen})

    def named(self, series: Series) -> str:
        """Return the value that ``series`` varies, with its unit."""
        if series is Series.CUTOFF:
            return f"{self.cutoff_wfc_ry:g} Ry"
        if series is Series.DUAL:
            return f"dual {self.dual:g}"
        return f"{self.k_distance:g} 1/angstrom ({'x'.join(map(str, self.mesh))})"


def read_plan(values: Mapping[str, Any]) -> ConvergencePlan:
    """Check plain values and return the plan.

    :raises InputError: naming every value that does not fit.
    """
    try:
        return ConvergencePlan.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_fault(entry["loc"], entry["msg"]) for entry in error.errors())
        raise InputError(f"convergence test: {faults}.") from error


def make_series(plan: ConvergencePlan, cell: NDArray[np.float64]) -> dict[Series, list[Point]]:
    """Return the points of each series, the reference last.

    Distances that give this cell the same mesh are one point.

    :param cell: (3, 3) angstrom, rows are vectors.
    :raises InputError: if all distances give the same mesh.
    """
    meshes: dict[tuple[int, int, int], float] = {}
    for distance in plan.k_distances:
        density = KPointDensity(distance_per_angstrom=distance)
        meshes.setdefault(pw_mesh(LabelSettings(kpoints=density), cell), distance)
    if len(meshes) < _FEWEST:
        (mesh,) = meshes
        raise InputError(
            f"convergence test: k_distances: {_listed(plan.k_distances)} all give the mesh "
            f"{'x'.join(map(str, mesh))} in this cell; add a smaller distance, the last is the reference."
        )
    (coarsest, widest), *_ = meshes.items()
    cutoff, dual = plan.base_cutoff_ry, plan.base_dual
    series = {
        Series.CUTOFF: [Point(value, dual, widest, coarsest) for value in plan.cutoffs_ry],
        Series.DUAL: [Point(cutoff, value, widest, coarsest) for value in plan.duals],
        Series.KPOINTS: [Point(cutoff, dual, distance, mesh) for mesh, distance in meshes.items()],
    }
    return {name: points for name, points in series.items() if points}


def distinct_points(series: Mapping[Series, Sequence[Point]]) -> dict[str, Point]:
    """Return each point once, under its key."""
    return {point.key: point for points in series.values() for point in points}


def combination(settings: Mapping[str, Any], cell: NDArray[np.float64]) -> Point:
    """Return the point of a complete proposal: cutoffs and density of k-points together.

    :param settings: with ``cutoff_wfc_ry``, ``cutoff_rho_ry`` and ``kpoints`` as a density.
    :param cell: (3, 3) angstrom, rows are vectors.
    """
    chosen = read_settings(settings)
    distance = float(settings["kpoints"]["distance_per_angstrom"])
    dual = chosen.cutoff_rho_ry / chosen.cutoff_wfc_ry
    return Point(chosen.cutoff_wfc_ry, dual, distance, pw_mesh(chosen, cell))


def nearest(values: Sequence[float], wanted: float) -> float:
    """Return the value nearest to ``wanted``, the larger of two that are as near; ``wanted`` where there is none."""
    return min(sorted(values, reverse=True), key=lambda value: abs(value - wanted), default=wanted)


def _listed(values: Sequence[float]) -> str:
    return ",".join(f"{value:g}" for value in values)


def _fault(location: Sequence[int | str], message: str) -> str:
    place = ".".join(str(part) for part in location)
    words = message.removeprefix("Value error, ")
    return f"{place}: {words}" if place else words
