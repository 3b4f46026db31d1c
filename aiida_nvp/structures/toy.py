"""A soft potential that knows bond lengths and nothing else: it turns random points into chemically sane cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from aiida_nvp.common.elements import ANION, CATIONS
from aiida_nvp.common.neighbours import Pairs, find_pairs
from aiida_nvp.structures.near import NearPairs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BOND_STIFFNESS: Final = 16.0
"""eV/angstrom^2 for each unit of bond valence: strong bonds keep their length, modifiers make room."""
LONGEST_PULL: Final = 0.4
"""Stretch in angstrom beyond which a bond pulls no harder, so that one bad bond does not tear its surroundings."""
CONTACT_STIFFNESS: Final = 12.0
"""eV/angstrom^2."""
ANION_CONTACT: Final = 2.5
"""Oxygen-oxygen, angstrom: the edge of a PO4 tetrahedron (1.54 sqrt(8/3)), so that no fifth oxygen fits."""
CATION_CONTACT_CAP: Final = 3.2
BRIDGE: Final = 0.94
"""Cations that share one oxygen are this times the sum of their bonds apart (a bridge of about 140 degrees)."""
RIGID_EXCLUSION: Final = 1.7
SOFT_EXCLUSION: Final = 1.15
"""An oxygen that is not bonded stays this many bond lengths away from a rigid (soft) cation."""
FLOOR: Final = 0.78
"""A pair nearer than this times its usual length overlaps: 1.2 angstrom for P-O, 1.83 for Na-O, 1.95 for O-O."""
KEEP_PAIRS_FROM: Final = 600
"""Atoms from which neighbour pairs are kept from step to step; the results differ in the last digits only."""
ANION_VALENCE_LIMIT: Final = 2.6
"""Bond valence an oxygen accepts: 2 on average in any neutral oxide, and some slack for disorder."""


@dataclass(frozen=True)
class Table:
    """Lengths in angstrom between the S species of N atoms.

    :param kinds: (N,) index of each atom's species in the other arrays.
    :param contact: (S, S) distance below which pairs that are not bonded repel.
    :param floor: (S, S) shortest distance in a cell that counts as packed.
    """

    kinds: IntArray
    contact: FloatArray
    floor: FloatArray

    @classmethod
    def of(cls, symbols: Sequence[str], minimum: Mapping[str, float]) -> Table:
        """Return the table of ``symbols``; ``minimum`` ("P-O" to angstrom) replaces shortest distances."""
        names = list(dict.fromkeys(symbols))
        kinds = np.array([names.index(symbol) for symbol in symbols], dtype=np.int64)
        size = len(names)
        contact, floor = np.zeros((size, size)), np.zeros((size, size))
        for a, first in enumerate(names):
            for b, second in enumerate(names):
                contact[a, b], floor[a, b] = _lengths(first, second)
                floor[a, b] = minimum.get(f"{first}-{second}", minimum.get(f"{second}-{first}", floor[a, b]))
        return cls(kinds, np.maximum(contact, floor), floor)

    def overlaps(self, pairs: Pairs) -> bool:
        """Whether any of the pairs is nearer than its floor."""
        return bool((pairs.distance < self.floor[self.kinds[pairs.first], self.kinds[pairs.second]]).any())


@dataclass(frozen=True)
class Bonds:
    """Cation-oxygen bonds that the relaxation makes and keeps: atoms, lattice shifts, lengths and stiffnesses."""

    first: IntArray
    second: IntArray
    shift: FloatArray
    length: FloatArray
    stiffness: FloatArray

    @classmethod
    def none(cls) -> Bonds:
        """Return no bonds."""
        nobody = np.empty(0, dtype=np.int64)
        return cls(nobody, nobody, np.empty((0, 3)), np.empty(0), np.empty(0))


def energy_and_gradient(
    positions: FloatArray, cell: FloatArray, table: Table, bonds: Bonds, near: NearPairs | None = None
) -> tuple[float, FloatArray]:
    """Return harmonic bonds plus a harmonic contact repulsion of all other pairs, and the gradient (N, 3).

    :param near: pairs of a large cubic cell; without them all pairs are searched.
    """
    kinds = table.kinds
    if near is None:
        pairs = find_pairs(positions, cell, float(table.contact.max()), half=True)
        energy, slope = _repulsion(pairs.distance, table.contact[kinds[pairs.first], kinds[pairs.second]])
        gradient = _scatter(positions, cell, (pairs.first, pairs.second, pairs.shift), slope)
    else:
        energy, gradient = _near_repulsion(positions, near)
    if len(bonds.first):
        apart = positions[bonds.second] - positions[bonds.first] + bonds.shift @ cell
        distance = np.linalg.norm(apart, axis=1)
        # A bonded pair met the repulsion above as well: it is taken back here.
        contact, contact_slope = _repulsion(distance, table.contact[kinds[bonds.first], kinds[bonds.second]])
        stretch = distance - bonds.length
        bounded = np.minimum(stretch, LONGEST_PULL)
        energy += float((bonds.stiffness * bounded * (stretch - 0.5 * bounded)).sum()) - contact
        slope = bonds.stiffness * bounded - contact_slope
        gradient += _scatter(positions, cell, (bonds.first, bonds.second, bonds.shift), slope)
    return energy, gradient


def assign_bonds(positions: FloatArray, cell: FloatArray, symbols: Sequence[str], reach: float) -> Bonds:
    """Give each cation its shell of nearest oxygens, strongest bonds first, until an oxygen has valence enough.

    :param reach: an oxygen further than this times the usual bond length is not considered.
    """
    cations = sorted({s for s in symbols if s in CATIONS}, key=lambda s: (-CATIONS[s].bond_valence, s))
    longest = max((CATIONS[s].bond for s in cations), default=0.0)
    if not cations or ANION not in symbols:
        return Bonds.none()
    pairs = find_pairs(positions, cell, reach * longest, half=True)
    names = np.array(symbols)
    accepted = np.zeros(len(names))
    chosen: list[IntArray] = []
    for symbol in cations:
        forward = (names[pairs.first] == symbol) & (names[pairs.second] == ANION)
        backward = (names[pairs.second] == symbol) & (names[pairs.first] == ANION)
        near = np.nonzero((forward | backward) & (pairs.distance < reach * CATIONS[symbol].bond))[0]
        order = near[np.argsort(pairs.distance[near], kind="stable")]
        centre = np.where(forward[order], pairs.first[order], pairs.second[order])
        oxygen = np.where(forward[order], pairs.second[order], pairs.first[order])
        chosen.append(order[_fill_shells(centre, oxygen, accepted, symbol)])
    rows = np.concatenate(chosen)
    ends = zip(names[pairs.first[rows]], names[pairs.second[rows]], strict=True)
    elements = [CATIONS[b if a == ANION else a] for a, b in ends]
    return Bonds(
        pairs.first[rows],
        pairs.second[rows],
        pairs.shift[rows],
        np.array([element.bond for element in elements]),
        np.array([BOND_STIFFNESS * element.bond_valence for element in elements]),
    )


def relax(positions: FloatArray, cell: FloatArray, table: Table, bonds: Bonds, steps: int) -> tuple[FloatArray, float]:
    """Return positions (N, 3) after at most ``steps`` of L-BFGS, and their energy.

    :param cell: (3, 3) angstrom, cubic.
    """
    near = NearPairs(float(cell[0, 0]), table.kinds, table.contact) if len(positions) >= KEEP_PAIRS_FROM else None

    def fun(flat: FloatArray) -> tuple[float, FloatArray]:
        energy, gradient = energy_and_gradient(flat.reshape(-1, 3), cell, table, bonds, near)
        return energy, gradient.ravel()

    result = minimize(fun, positions.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return np.asarray(result.x, dtype=float).reshape(-1, 3), float(result.fun)


def _fill_shells(centre: IntArray, oxygen: IntArray, accepted: FloatArray, symbol: str) -> list[int]:
    """Return the rows (nearest first) that become bonds; ``accepted`` is the valence each oxygen holds, updated."""
    element = CATIONS[symbol]
    open_sites: dict[int, int] = {}
    taken: set[tuple[int, int]] = set()
    rows = []
    for row, (c, o) in enumerate(zip(centre.tolist(), oxygen.tolist(), strict=True)):
        fits = accepted[o] + element.bond_valence <= ANION_VALENCE_LIMIT
        # One bond a pair: in a cell of eight atoms the image of a bonded oxygen is no second neighbour.
        if open_sites.get(c, element.coordination) > 0 and fits and (c, o) not in taken:
            open_sites[c] = open_sites.get(c, element.coordination) - 1
            accepted[o] += element.bond_valence
            taken.add((c, o))
            rows.append(row)
    return rows


def _lengths(first: str, second: str) -> tuple[float, float]:
    """Return contact and floor of a pair of species."""
    if first == ANION and second == ANION:
        return ANION_CONTACT, FLOOR * ANION_CONTACT
    if ANION in (first, second):
        element = CATIONS[second if first == ANION else first]
        return element.bond * (RIGID_EXCLUSION if element.rigid else SOFT_EXCLUSION), FLOOR * element.bond
    contact = min(BRIDGE * (CATIONS[first].bond + CATIONS[second].bond), CATION_CONTACT_CAP)
    return contact, FLOOR * contact


def _repulsion(distance: FloatArray, contact: FloatArray) -> tuple[float, FloatArray]:
    overlap = np.maximum(contact - distance, 0.0)
    return 0.5 * CONTACT_STIFFNESS * float(overlap @ overlap), -CONTACT_STIFFNESS * overlap


def _near_repulsion(positions: FloatArray, near: NearPairs) -> tuple[float, FloatArray]:
    first, second, apart, contact = near.touching(positions)
    distance = np.linalg.norm(apart, axis=1)
    energy, slope = _repulsion(distance, contact)
    return energy, _add_up(len(positions), first, second, (slope / np.maximum(distance, 1e-9))[:, None] * apart)


def _scatter(
    positions: FloatArray, cell: FloatArray, pairs: tuple[IntArray, IntArray, FloatArray], slope: FloatArray
) -> FloatArray:
    """Return (N, 3) the gradient of pair terms with derivative ``slope`` along each distance."""
    first, second, shift = pairs
    apart = positions[second] - positions[first] + shift @ cell
    unit = apart / np.maximum(np.linalg.norm(apart, axis=1), 1e-9)[:, None]
    return _add_up(len(positions), first, second, slope[:, None] * unit)


def _add_up(count: int, first: IntArray, second: IntArray, push: FloatArray) -> FloatArray:
    columns = [
        np.bincount(second, push[:, axis], minlength=count) - np.bincount(first, push[:, axis], minlength=count)
        for axis in range(3)
    ]
    return np.stack(columns, axis=1)
