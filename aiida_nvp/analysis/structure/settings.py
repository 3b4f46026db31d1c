"""What the report on structure is asked."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aiida_nvp.common.bounds import CountFromZero, Positive

NotNegative = Annotated[float, Field(ge=0)]


class MeasuredFunction(BaseModel):
    """G(r) and T(r) as one experiment makes them.

    :param radiation: what it scatters.
    :param q_max: end of its range in 1/angstrom.
    :param window: what it multiplies with before the transform.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    radiation: Literal["neutron", "x-ray"]
    q_max: Positive
    window: Literal["none", "lorch"] = "lorch"


class StructureSettings(BaseModel):
    """What to measure of the structure; lengths in angstrom, all pairs ``centre-ligand``.

    :param formers: species whose polyhedra make the network, for example P and V; linkages, rings and red flags need
        them.
    :param ligand: the species that surrounds and bridges them.
    :param split: by pair, where short bonds end and long ones begin.
    :param double: by pair, the longest double bond, as 1.75 for V-O.
    :param scan: by pair, first and last cutoff and the step of a scan of the coordination.
    :param polyhedra: pairs whose shapes are told; by default all bonds.
    :param angles: triplets with the centre in the middle; by default all that the bonds of formers and ligand make.
    :param forbidden: longest wrong bond by pair; by default between formers and between ligands, from covalent radii.
    :param convention: of S(Q) and its partials.
    :param q_max: end of S(Q) in 1/angstrom.
    :param q_bin: its bins in 1/angstrom.
    :param q_vectors: reciprocal vectors of a bin and frame; zero for no S(Q).
    :param measured: experiments whose G(r) and T(r) are made.
    :param largest_ring: rings of more formers are not looked for; zero for no rings.
    :param radii: of atoms in cavities by species; others have covalent radii.
    :param probe: radius of the probe that looks for cavities.
    :param grid: spacing of the grid for cavities.
    :param void_frames: frames of a stage for cavities and Voronoi volumes, evenly spaced; zero for neither.
    :param seed: draws reciprocal vectors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    formers: tuple[str, ...] = ()
    ligand: str = "O"
    split: dict[str, Positive] = {}
    double: dict[str, Positive] = {}
    scan: dict[str, tuple[Positive, Positive, Positive]] = {}
    polyhedra: tuple[str, ...] | None = None
    angles: tuple[str, ...] | None = None
    forbidden: dict[str, Positive] | None = None
    convention: Literal["faber-ziman", "ashcroft-langreth", "bhatia-thornton"] = "faber-ziman"
    q_max: Positive = 20.0
    q_bin: Positive = 0.05
    q_vectors: CountFromZero = 48
    measured: tuple[MeasuredFunction, ...] = ()
    largest_ring: CountFromZero = 10
    radii: dict[str, NotNegative] = {}
    probe: NotNegative = 1.0
    grid: Positive = 0.5
    void_frames: CountFromZero = 10
    seed: CountFromZero = 0

    @model_validator(mode="after")
    def _rising(self) -> StructureSettings:
        for pair, (first, last, step) in self.scan.items():
            if not first + step <= last:
                raise ValueError(
                    f"the scan of {pair} goes from {first} to {last} in steps of {step}: one step at least"
                )
        if self.q_bin >= self.q_max:
            raise ValueError(f"q_bin {self.q_bin} must be smaller than q_max {self.q_max}")
        return self
