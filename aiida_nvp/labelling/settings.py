"""How a label is made: one typed, frozen set of choices that travels through AiiDA as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from ase.data import atomic_numbers
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from aiida_nvp.common.validation import validated
from aiida_nvp.common.vocabulary import LabelMode

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Mesh = tuple[Count, Count, Count]
Manifold = Annotated[str, Field(pattern=r"^[1-7][spdf]$")]


class KPointDensity(BaseModel):
    """A mesh for each cell from one density, so that cells of different size are sampled alike.

    :param distance_per_angstrom: largest distance of neighbouring points along a reciprocal axis, 2 pi included, as in
        aiida-quantumespresso's ``kpoints_distance``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    distance_per_angstrom: Annotated[float, Field(gt=0.02, le=5)]


class HubbardTerm(BaseModel):
    """The correction of one element: all its atoms get the same value, whatever their valence.

    :param manifold: for example ``3d``.
    :param u_ev: effective U in eV (Dudarev et al., doi:10.1103/PhysRevB.57.1505).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    manifold: Manifold = "3d"
    u_ev: Annotated[float, Field(gt=0, le=15)]


class HubbardSettings(BaseModel):
    """DFT+U of one level of theory.

    :param projectors: what occupations are measured on; labels of two kinds of projectors never meet.
    :param terms: by element.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    projectors: Literal["ortho-atomic", "atomic"] = "ortho-atomic"
    terms: Annotated[dict[str, HubbardTerm], Field(min_length=1)]

    @model_validator(mode="after")
    def _manifolds_exist(self) -> HubbardSettings:
        for symbol, term in self.terms.items():
            if symbol not in atomic_numbers:
                raise ValueError(f"hubbard.terms names `{symbol}`, which is no element")
            if term.manifold not in valence_manifolds(symbol):
                known = ", ".join(sorted(valence_manifolds(symbol)))
                raise ValueError(f"hubbard.terms.{symbol}: {symbol} has no {term.manifold} electrons, only {known}")
        return self


def valence_manifolds(symbol: str) -> set[str]:
    """Return the manifolds that hold electrons in a neutral atom, in the order in which they are filled (Madelung)."""
    order = sorted(((n, orbital) for n in range(1, 8) for orbital in range(min(n, 4))), key=lambda m: (sum(m), m[0]))
    left, found = int(atomic_numbers[symbol]), set()
    for n, orbital in order:
        if left <= 0:
            break
        found.add(f"{n}{'spdf'[orbital]}")
        left -= 4 * orbital + 2
    return found


class LabelSettings(BaseModel):
    """Choices behind every label of one batch; energies in Ry as pw.x takes them.

    :param mode: one label a structure, or one for every ionic step of a short relaxation or MD run.
    :param relax_steps: largest number of ionic steps; reaching it is the normal end, not a failure.
    :param md_steps: steps of an MD run; the atoms start at rest and are driven by a velocity-rescaling thermostat
        (Bussi et al., doi:10.1063/1.2408420) to ``md_temperature``.
    :param kpoints: ``gamma`` for the real wave functions of the Gamma point, a mesh, or a density.
    :param start: where the spins begin. ``species``: ``starting_magnetization`` for every atom of a species.
        ``valence``: oxidation states from charge balance and bond-valence sums, high spin, ferromagnetic.
    :param starting_magnetization: per species between -1 and 1, never 0: a cell with an odd number of electrons that
        starts from zero does not converge. Cells that hold a species named here are spin polarised, others are not.
    :param hubbard: DFT+U; none for the bare functional.
    :param stress_converged: whether the cutoffs are high enough to trust the stress; where not, labels carry none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: LabelMode = LabelMode.SINGLE_POINT
    relax_steps: Count = 14
    md_steps: Annotated[int, Field(ge=2)] = 12
    md_temperature: Positive = 1200.0
    md_timestep_fs: Annotated[float, Field(gt=0, le=10)] = 2.9
    functional: Annotated[str, Field(pattern=r"^[A-Za-z0-9_+-]+$")] = "PBE"
    cutoff_wfc_ry: Positive = 45.0
    cutoff_rho_ry: Positive = 360.0
    kpoints: Literal["gamma"] | Mesh | KPointDensity = "gamma"
    smearing: Literal["gaussian", "marzari-vanderbilt", "methfessel-paxton", "fermi-dirac"] = "gaussian"
    degauss_ry: Positive = 0.01
    mixing_beta: Annotated[float, Field(gt=0, le=1)] = 0.3
    mixing_ndim: Annotated[int, Field(ge=2, le=30)] = 12
    electron_maxstep: Count = 100
    conv_thr_per_atom_ry: Positive = 1e-7
    start: Literal["species", "valence"] = "species"
    starting_magnetization: dict[str, Annotated[float, Field(ge=-1, le=1)]] = {"V": 0.3}
    hubbard: HubbardSettings | None = None
    dispersion: Literal["grimme-d2", "grimme-d3"] | None = None
    stress_converged: bool = False

    @field_validator("starting_magnetization")
    @classmethod
    def _elements_never_at_zero(cls, value: dict[str, float]) -> dict[str, float]:
        unknown = [key for key in value if key not in atomic_numbers or key == "X"]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no chemical symbol; write it as `V: 0.3`")
        zero = [symbol for symbol, start in value.items() if start == 0]
        if zero:
            raise ValueError(f"{', '.join(zero)} starts at 0: leave the species out or give it a moment such as 0.3")
        return value

    @model_validator(mode="after")
    def _density_cutoff_covers_the_waves(self) -> LabelSettings:
        if self.cutoff_rho_ry < 4 * self.cutoff_wfc_ry:
            raise ValueError("cutoff_rho_ry must be at least four times cutoff_wfc_ry")
        return self

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return self.model_dump(mode="json")


def read_settings(values: Mapping[str, Any]) -> LabelSettings:
    """Check plain values and return the settings.

    :raises InputError: naming every value that does not fit.
    """
    return validated(LabelSettings, values, "label settings")
