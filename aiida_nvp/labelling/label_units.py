"""Units of labels that come from elsewhere, and what betrays that they are not the stated ones.

Three things are looked at, each by itself blind to something: the distances of neighbours (length), the size of the
forces (both units wrong alike), and the energy between neighbouring frames beside the work of the forces (one unit
wrong, a sign, energies per atom). The zero of energy is arbitrary, so its size says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from ase import Atoms
from ase import units as ase_units
from ase.data import covalent_radii
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.common.units import BOHR_ANGSTROM, GPA_EV_ANGSTROM3, HARTREE_EV, RYDBERG_EV

ENERGY_EV: Final[Mapping[str, float]] = {
    "eV": 1.0,
    "meV": 1e-3,
    "Ry": RYDBERG_EV,
    "Ha": HARTREE_EV,
    "kcal/mol": float(ase_units.kcal / ase_units.mol),
    "kJ/mol": float(ase_units.kJ / ase_units.mol),
}
LENGTH_ANGSTROM: Final[Mapping[str, float]] = {"angstrom": 1.0, "bohr": BOHR_ANGSTROM, "nm": 10.0}
FORCES: Final[Mapping[str, float]] = {
    f"{e}/{d}": ENERGY_EV[e] / LENGTH_ANGSTROM[d] for e in ENERGY_EV for d in LENGTH_ANGSTROM
}
STRESS: Final[Mapping[str, float]] = {
    "GPa": GPA_EV_ANGSTROM3,
    "kbar": 0.1 * GPA_EV_ANGSTROM3,
    **{f"{e}/{d}^3": ENERGY_EV[e] / LENGTH_ANGSTROM[d] ** 3 for e in ENERGY_EV for d in LENGTH_ANGSTROM},
}
_TABLES = {"energy": ENERGY_EV, "length": LENGTH_ANGSTROM, "forces": FORCES, "stress": STRESS}
_USUAL_FORCES = ("eV/angstrom", "Ha/bohr", "Ry/bohr", "kcal/mol/angstrom", "kJ/mol/angstrom", "eV/bohr", "meV/angstrom")

NEIGHBOUR_RANGE: Final = (0.6, 1.35)
"""Distance to the nearest neighbour over the sum of covalent radii, median of all atoms: 0.72 for V=O, 0.87 for P-O,
1.0 in metals, 1.1 in ionic crystals. Angstrom and bohr confused move it by 1.9; only rare gases lie outside."""
FORCE_RANGE: Final = (0.1, 15.0)
"""RMS of a force component in eV/angstrom, median of the frames. Solids at 300 K and liquids at 3000 K have 0.3 to 3;
in Ha/bohr or Ry/bohr these are 0.006 to 0.12, in kcal/mol or kJ/mol 7 to 290. Below, relaxed structures are the other
explanation, so the lower limit counts only where the work of the forces says nothing."""
SCATTER_LIMIT: Final = 5.0
"""Energies per atom, in eV, scatter by less around a sum of one energy a species where they are of one level."""
LONGEST_STEP: Final = 0.2
"""Angstrom that an atom may have moved between two frames whose energies are compared: beyond, the mean of two forces
is no good measure of the work."""
_SHORTEST_STEP = 1e-5
_SAME_CELL = 1e-4
MIN_PAIRS: Final = 3
RATIO_ERROR: Final = 0.05
"""A ratio of energy to work that is known less well than this says nothing."""
FINE_RATIO: Final = 0.1
NEAR_RATIO: Final = 0.05
"""How near, in the logarithm, a ratio must be to 1 and to that of other units."""
_SAMPLE = 50
_SHOWN = 3

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Units:
    """What the numbers of a file are given in; forces and stress follow energy and length where they are not named.

    :param energy: one of :data:`ENERGY_EV`; :param length: of :data:`LENGTH_ANGSTROM`; :param forces: of
        :data:`FORCES`; :param stress: of :data:`STRESS`, in ASE's sign.
    :raises InputError: for a unit that is not known.
    """

    energy: str = "eV"
    length: str = "angstrom"
    forces: str = ""
    stress: str = ""

    def __post_init__(self) -> None:
        """Complete what follows from the rest, and spell every unit as the tables do."""
        given = {"energy": self.energy, "length": self.length}
        for quantity, unit in given.items():
            object.__setattr__(self, quantity, _spelled(quantity, unit))
        for quantity, unit in {"forces": self.forces, "stress": self.stress}.items():
            usual = f"{self.energy}/{self.length}" + ("^3" if quantity == "stress" else "")
            object.__setattr__(self, quantity, _spelled(quantity, unit or usual))

    def factor(self, quantity: str) -> float:
        """Return what ``quantity`` is multiplied by to be in eV and angstrom."""
        return float(_TABLES[quantity][getattr(self, quantity)])


@dataclass(frozen=True)
class WorkRatio:
    """Change of energy between neighbouring frames over the work of the forces.

    :param ratio: 1 where both are in one unit; NaN without usable pairs.
    :param error: standard error of the ratio.
    :param per_atom: the same with each energy times the number of atoms.
    :param pairs: number of pairs of frames.
    """

    ratio: float
    error: float
    per_atom: float
    pairs: int

    @property
    def known(self) -> bool:
        """Whether the ratio says something."""
        return self.pairs >= MIN_PAIRS and self.error <= RATIO_ERROR * abs(self.ratio)

    @property
    def fine(self) -> bool:
        """Whether it says that energy and forces belong together."""
        return self.known and _near(self.ratio, 1.0, FINE_RATIO)


NOT_MEASURED: Final = WorkRatio(float("nan"), float("nan"), float("nan"), 0)


def work_ratio(frames: Sequence[Atoms]) -> WorkRatio:
    """Compare each frame with the next where that is the same cell with atoms moved a little.

    :param frames: labelled, energies in eV, forces in eV/angstrom.
    """
    rows = np.array(list(_works(frames))).reshape(-1, 3)
    change, work, atoms = rows.T
    square = float(work @ work)
    if len(rows) < MIN_PAIRS or square == 0:
        return WorkRatio(np.nan, np.nan, np.nan, len(rows))
    ratio = float(change @ work) / square
    scatter = np.sum((change - ratio * work) ** 2) / (len(rows) - 1)
    return WorkRatio(ratio, float(np.sqrt(scatter / square)), float((change * atoms) @ work) / square, len(rows))


def unit_doubts(frames: Sequence[Atoms], stated: Units, work: WorkRatio) -> list[str]:
    """Return a sentence for each sign that the frames are not in the stated units.

    :param frames: labelled, converted with ``stated``.
    """
    doubts = [_length_doubt(frames, stated), _work_doubt(work, stated), _scatter_doubt(frames, stated)]
    # Once the work has named the unit, the size of the forces would only say it again.
    doubts.insert(2, "" if doubts[1] else _force_doubt(frames, stated, work))
    return [doubt for doubt in doubts if doubt]


def force_rms(frames: Sequence[Atoms]) -> float:
    """Return the RMS of a force component: that of the median frame, so that a few hot starts do not count."""
    return float(np.median([np.sqrt(np.mean(_forces(atoms) ** 2)) for atoms in frames])) if frames else 0.0


def _works(frames: Sequence[Atoms]) -> Iterator[tuple[float, float, float]]:
    for first, second in pairwise(frames):
        if not np.array_equal(first.numbers, second.numbers):
            continue
        cell = first.cell.array
        if np.abs(second.cell.array - cell).max() > _SAME_CELL:
            continue
        moved = second.positions - first.positions
        moved -= np.round(moved @ np.linalg.inv(cell)) @ cell
        if _SHORTEST_STEP < np.linalg.norm(moved, axis=1).max() <= LONGEST_STEP:
            work = -0.5 * float(np.sum((_forces(first) + _forces(second)) * moved))
            yield _energy(second) - _energy(first), work, float(len(first))


def _work_doubt(work: WorkRatio, stated: Units) -> str:
    if not work.known or work.fine:
        return ""
    size = abs(work.ratio)
    said = (
        f"over {work.pairs} pairs of neighbouring frames the energy changes by {work.ratio:.4g} of the work of the "
        "forces instead of 1"
    )
    if _near(size, 1.0, FINE_RATIO):
        return f"{said}: the forces have the opposite sign (they are the gradient of the energy)."
    found = _probable_units(size, stated)
    if _near(abs(work.per_atom), 1.0, FINE_RATIO):
        found.insert(0, f"energies in {stated.energy} an atom")
    if found:
        sign = ", and forces of the opposite sign," if work.ratio < 0 else ""
        return f"{said}, which is what {' or '.join(found[:_SHOWN])}{sign} would give; state the units of the file."
    return ""


def _probable_units(ratio: float, stated: Units) -> list[str]:
    """Return pairs of units that would give ``ratio``, those that share their energy first.

    Of the others only those count of which one is as stated: nothing speaks for a pair like Ry beside kJ/mol.
    """
    found = []
    for energy, energy_ev in ENERGY_EV.items():
        for forces in _USUAL_FORCES:
            expected = stated.factor("energy") / energy_ev * FORCES[forces] / stated.factor("forces")
            if _near(ratio, expected, NEAR_RATIO):
                related = forces.startswith(f"{energy}/")
                if related or energy == stated.energy or forces == stated.forces:
                    found.append((not related, f"energies in {energy} beside {forces}"))
    return [words for _, words in sorted(found)]


def _force_doubt(frames: Sequence[Atoms], stated: Units, work: WorkRatio) -> str:
    size = force_rms(frames)
    lowest, highest = FORCE_RANGE
    if size > highest:
        words = f"above the {highest:g} of any liquid"
    elif size < lowest and not work.fine:
        words = f"below the {lowest:g} of any solid at room temperature"
    else:
        return ""
    usual = [unit for unit in _USUAL_FORCES if lowest <= size / stated.factor("forces") * FORCES[unit] <= highest]
    others = " or ".join(f"{unit} ({size / stated.factor('forces') * FORCES[unit]:.2g})" for unit in usual[:_SHOWN])
    hint = f"; they would fit in {others}" if others else ""
    relaxed = ", unless these are relaxed structures" if size < lowest else ""
    return f"the forces have an RMS of {size:.2g} eV/angstrom, {words}{relaxed}{hint}."


def _length_doubt(frames: Sequence[Atoms], stated: Units) -> str:
    step = max(1, len(frames) // _SAMPLE)
    ratios = np.concatenate([_neighbour_ratios(atoms) for atoms in frames[::step]]) if frames else np.ones(1)
    ratio = float(np.median(ratios))
    if NEIGHBOUR_RANGE[0] <= ratio <= NEIGHBOUR_RANGE[1]:
        return ""
    rest = {unit: ratio / stated.factor("length") * factor for unit, factor in LENGTH_ANGSTROM.items()}
    fits = [unit for unit, value in rest.items() if NEIGHBOUR_RANGE[0] <= value <= NEIGHBOUR_RANGE[1]]
    hint = f"; in {' or '.join(fits)} it would be a bond" if fits else ""
    return (
        f"the nearest neighbour is at {ratio:.2f} of the sum of covalent radii for half of the atoms, which is no bond "
        f"if lengths are in {stated.length}{hint}."
    )


def _neighbour_ratios(atoms: Atoms) -> FloatArray:
    """Return (N,) the distance to the nearest neighbour over the sum of both covalent radii."""
    radii = covalent_radii[atoms.numbers]
    nearest = np.full(len(atoms), np.inf)
    cutoff = NEIGHBOUR_RANGE[1] * float(radii.max())
    # The density bounds how far one has to look, whatever the unit.
    limit = 4.0 * (atoms.get_volume() / len(atoms)) ** (1 / 3)
    while not np.isfinite(nearest).all() and cutoff < limit:
        cutoff = min(2.0 * cutoff, limit)
        pairs = find_pairs(atoms.positions, atoms.cell.array, cutoff)
        np.minimum.at(nearest, pairs.first, pairs.distance / (radii[pairs.first] + radii[pairs.second]))
    return nearest


def _scatter_doubt(frames: Sequence[Atoms], stated: Units) -> str:
    species = np.unique(np.concatenate([atoms.numbers for atoms in frames])) if frames else np.empty(0)
    if len(frames) < len(species) + 2:
        return ""
    size = np.array([len(atoms) for atoms in frames], dtype=float)
    shares = np.array([[np.mean(atoms.numbers == number) for number in species] for atoms in frames])
    energy = np.array([_energy(atoms) for atoms in frames]) / size
    left = energy - shares @ np.linalg.lstsq(shares, energy, rcond=None)[0]
    scatter = float(np.sqrt(np.mean(left**2)))
    if scatter <= SCATTER_LIMIT:
        return ""
    return (
        f"energies scatter by {scatter:.3g} eV an atom beyond what the compositions explain, more than the "
        f"{SCATTER_LIMIT:g} of one level of theory: they are not in {stated.energy}, or of two levels."
    )


def _energy(atoms: Atoms) -> float:
    return float(atoms.calc.results["energy"])


def _forces(atoms: Atoms) -> FloatArray:
    # Not `get_forces`, which sets the forces on constrained atoms to zero.
    return np.asarray(atoms.calc.results["forces"], dtype=float)


def _near(value: float, other: float, tolerance: float) -> bool:
    return value > 0 and other > 0 and abs(np.log(value / other)) <= tolerance


def _spelled(quantity: str, unit: str) -> str:
    """Return the unit as the table spells it; the case does not count, nor do the usual other names."""
    plain = unit.strip().lower().replace("hartree", "ha").replace("rydberg", "ry").replace("å", "angstrom")
    plain = re.sub(r"(^|/)(a|ang)(?=$|\^)", r"\1angstrom", plain.replace("**", "^"))
    for known in _TABLES[quantity]:
        if known.lower() == plain:
            return known
    raise InputError(f"unit of {quantity}: `{unit}` is not known; known are {', '.join(_TABLES[quantity])}.")
