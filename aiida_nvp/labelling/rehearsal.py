"""The rehearsal labeller: an analytic potential with exact forces and stress that stands in for pw.x.

    E = sum over pairs [phi(r) - phi(R) - (r - R) phi'(R)]  +  sum over angles K (cos t - cos t0)^2 f(r1) f(r2)
    phi(r) = k q q' erfc(a r) / r  +  D [(1 - exp(-b (r - r0)))^2 - 1]  +  C / r^12

All pair terms are shifted so that energy and force vanish at the cutoff R, which for the Coulomb part is the damped
shifted force sum of Fennell and Gezelter (doi:10.1063/1.2206581); f is a quintic step from 1 to 0. It is made to be a
glass whose PO4 units hold together at 2000 K, not to be right: a campaign rehearsed on it shows that the loop works.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import product
from typing import Annotated, Any, ClassVar, cast

import numpy as np
import yaml
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import erfc

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import BOHR_ANGSTROM, HARTREE_EV

REHEARSAL_VERSION = 1
_COULOMB = HARTREE_EV * BOHR_ANGSTROM  # e^2 / (4 pi eps0), eV angstrom
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PairTerm(_Frozen):
    """Morse well and repulsion between two species."""

    species: tuple[str, str]
    depth: float
    steepness: float
    distance: float
    repulsion: Annotated[float, Field(gt=0)]


class AngleTerm(_Frozen):
    """Preferred angle at a centre between two ligands of one species."""

    centre: str
    ligand: str
    strength: float
    angle: float
    fade: tuple[float, float]


class RehearsalParameters(_Frozen):
    """The numbers of the potential, keyed by species; see ``rehearsal.yaml``."""

    cutoff: Annotated[float, Field(gt=0)]
    damping: Annotated[float, Field(gt=0)]
    charges: dict[str, float]
    pairs: tuple[PairTerm, ...]
    angles: tuple[AngleTerm, ...]

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return self.model_dump(mode="json")


@cache
def load_parameters() -> RehearsalParameters:
    """Return the parameters that ship with the package."""
    text = resources.files(__package__).joinpath("rehearsal.yaml").read_text(encoding="utf-8")
    return RehearsalParameters.model_validate(yaml.safe_load(text))


@dataclass(frozen=True)
class _Tables:
    """The parameters as arrays over pairs of species, in the order of ``numbers``."""

    numbers: IntArray
    charge: FloatArray
    depth: FloatArray
    steepness: FloatArray
    distance: FloatArray
    repulsion: FloatArray

    @classmethod
    def build(cls, parameters: RehearsalParameters) -> _Tables:
        symbols = list(parameters.charges)
        size = len(symbols)
        names = ("depth", "steepness", "distance", "repulsion")
        # Steepness 1 and no depth: a pair without a row of its own has Coulomb alone.
        values = {name: np.full((size, size), 1.0 if name == "steepness" else 0.0) for name in names}
        for term in parameters.pairs:
            first, second = (symbols.index(symbol) for symbol in term.species)
            for (i, j), name in product(((first, second), (second, first)), names):
                values[name][i, j] = getattr(term, name)
        return cls(
            numbers=np.array([atomic_numbers[symbol] for symbol in symbols], dtype=np.int64),
            charge=np.array([parameters.charges[symbol] for symbol in symbols]),
            **values,
        )


@dataclass(frozen=True)
class _Neighbours:
    """Pairs of atoms and images, each once: indices (P,), distance (P,) and vector (P, 3) from first to second."""

    first: IntArray
    second: IntArray
    distance: FloatArray
    vector: FloatArray

    def arms(self, numbers: IntArray, term: AngleTerm) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """Return centre, ligand, distance and vector of the bonds that an angle can have, sorted by centre."""
        centre, ligand = np.append(self.first, self.second), np.append(self.second, self.first)
        r, vector = np.append(self.distance, self.distance), np.concatenate([self.vector, -self.vector])
        bonds = (numbers[centre] == atomic_numbers[term.centre]) & (numbers[ligand] == atomic_numbers[term.ligand])
        chosen = np.flatnonzero(bonds & (r < term.fade[1]))
        chosen = chosen[np.argsort(centre[chosen], kind="stable")]
        return centre[chosen], ligand[chosen], r[chosen], vector[chosen]


@dataclass(frozen=True)
class _Pairs:
    """Pairs of atoms by the kinds of their two ends."""

    tables: _Tables
    damping: float
    kind_i: IntArray
    kind_j: IntArray

    def bare(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the energy and its derivative at separation ``r`` before any shift."""
        t, key = self.tables, (self.kind_i, self.kind_j)
        strength = _COULOMB * t.charge[self.kind_i] * t.charge[self.kind_j]
        screened = erfc(self.damping * r) / r
        gauss = 2 * self.damping / np.sqrt(np.pi) * np.exp(-((self.damping * r) ** 2))
        decay = np.exp(-t.steepness[key] * (r - t.distance[key]))
        wall = t.repulsion[key] / r**12
        energy = strength * screened + t.depth[key] * ((1 - decay) ** 2 - 1) + wall
        slope = -strength * (screened + gauss) / r + 2 * t.depth[key] * t.steepness[key] * decay * (1 - decay)
        return energy, slope - 12 * wall / r


class RehearsalPotential(Calculator):
    """ASE calculator; energies in eV, forces in eV/angstrom, stress in eV/angstrom^3.

    :raises InputError: for a species that has no parameters.
    """

    implemented_properties: ClassVar[list[str]] = ["energy", "free_energy", "forces", "stress"]  # type: ignore[misc]

    def __init__(self, parameters: RehearsalParameters | None = None) -> None:
        """Turn the parameters into arrays."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.table = parameters or load_parameters()
        self._tables = _Tables.build(self.table)

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: list[str] | None = None,
        system_changes: list[str] = all_changes,
    ) -> None:
        """Compute energy, forces and stress together."""
        super().calculate(atoms, properties or ["energy"], system_changes)  # type: ignore[no-untyped-call]
        here = cast(Atoms, self.atoms)
        near = _neighbours(here, self.table.cutoff)
        energy, forces, virial = self._pair_part(here, near)
        for term in self.table.angles:
            more = _angle_part(term, here.numbers, near)
            energy, forces, virial = energy + more[0], forces + more[1], virial + more[2]
        voigt = (virial / here.get_volume()).ravel()[[0, 4, 8, 5, 2, 1]]
        self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": voigt}

    def _kinds(self, numbers: IntArray) -> IntArray:
        table = self._tables.numbers
        unknown = sorted({str(chemical_symbols[n]) for n in np.unique(numbers) if n not in table})
        if unknown:
            known = ", ".join(self.table.charges)
            raise InputError(f"the rehearsal potential knows {known}, not {', '.join(unknown)}.")
        return np.array([int(np.flatnonzero(table == n)[0]) for n in numbers], dtype=np.int64)

    def _pair_part(self, atoms: Atoms, near: _Neighbours) -> tuple[float, FloatArray, FloatArray]:
        cutoff, kinds = self.table.cutoff, self._kinds(atoms.numbers)
        i, j, r, vector = near.first, near.second, near.distance, near.vector
        pairs = _Pairs(self._tables, self.table.damping, kinds[i], kinds[j])
        energy, slope = pairs.bare(r)
        edge_energy, edge_slope = pairs.bare(np.full_like(r, cutoff))
        total = float(np.sum(energy - edge_energy - (r - cutoff) * edge_slope))
        gradient = ((slope - edge_slope) / r)[:, None] * vector
        return total, _scatter(len(atoms), (i, gradient), (j, -gradient)), vector.T @ gradient


def _neighbours(atoms: Atoms, cutoff: float) -> _Neighbours:
    """Return all pairs of atoms and images within the cutoff by trying every image in reach.

    The cells are small, often smaller than the cutoff, and a job for one of them should not import more than numpy.
    """
    cell, pbc = atoms.cell.array, np.asarray(atoms.pbc)
    first, second = np.triu_indices(len(atoms))
    vector = atoms.positions[second] - atoms.positions[first]
    vector -= (np.round(np.linalg.solve(cell.T, vector.T).T) * pbc) @ cell
    reach = np.floor(cutoff * np.linalg.norm(np.linalg.inv(cell), axis=0) + 0.5).astype(int) * pbc
    shifts = np.array(list(product(*(range(-n, n + 1) for n in reach))))
    vectors = vector + (shifts @ cell)[:, None, :]
    distances = np.linalg.norm(vectors, axis=2)
    # Of an atom and its own images each pair is met from both ends, and the atom itself is no pair.
    ahead = np.array([tuple(shift) > (0, 0, 0) for shift in shifts])
    image, pair = np.nonzero((distances < cutoff) & ((first != second) | ahead[:, None]))
    return _Neighbours(first[pair], second[pair], distances[image, pair], vectors[image, pair])


def _angle_part(term: AngleTerm, numbers: IntArray, near: _Neighbours) -> tuple[float, FloatArray, FloatArray]:
    n_atoms = len(numbers)
    i, j, r, vector = near.arms(numbers, term)
    first, second = _pairs_within_groups(i)
    if not len(first):
        return 0.0, np.zeros((n_atoms, 3)), np.zeros((3, 3))
    unit = vector / r[:, None]
    weight, weight_slope = _fade(r, *term.fade)
    cosine = np.sum(unit[first] * unit[second], axis=1)
    bend = cosine - np.cos(np.radians(term.angle))
    energy = term.strength * bend**2 * weight[first] * weight[second]
    gradients = []
    for arm, other in ((first, second), (second, first)):
        turn = 2 * bend * weight[arm] / r[arm]
        across = turn[:, None] * (unit[other] - cosine[:, None] * unit[arm])
        along = (bend**2 * weight_slope[arm])[:, None] * unit[arm]
        gradients.append(term.strength * weight[other][:, None] * (across + along))
    virial = vector[first].T @ gradients[0] + vector[second].T @ gradients[1]
    forces = _scatter(
        n_atoms,
        (i[first], gradients[0] + gradients[1]),
        (j[first], -gradients[0]),
        (j[second], -gradients[1]),
    )
    return float(energy.sum()), forces, virial


def _scatter(n_atoms: int, *parts: tuple[IntArray, FloatArray]) -> FloatArray:
    rows = np.concatenate([index for index, _ in parts])
    values = np.concatenate([value for _, value in parts])
    return np.stack([np.bincount(rows, values[:, axis], minlength=n_atoms) for axis in range(3)], axis=1)


def _pairs_within_groups(group: IntArray) -> tuple[IntArray, IntArray]:
    """Return all ``(a, b)`` with a < b and equal group; ``group`` must be sorted."""
    size = np.searchsorted(group, group, side="right") - np.arange(len(group)) - 1
    first = np.repeat(np.arange(len(group)), size)
    start = np.repeat(np.cumsum(size) - size, size)
    return first, first + 1 + np.arange(len(first)) - start


def _fade(r: FloatArray, inner: float, outer: float) -> tuple[FloatArray, FloatArray]:
    """Return a quintic step from 1 at ``inner`` to 0 at ``outer`` and its derivative."""
    x = np.clip((r - inner) / (outer - inner), 0.0, 1.0)
    return 1 - x**3 * (10 - 15 * x + 6 * x**2), -30 * x**2 * (1 - x) ** 2 / (outer - inner)
