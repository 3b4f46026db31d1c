"""The shape of the polyhedra around a centre: which ideal one is nearest, and the usual single numbers.

* tau4 = (360 - alpha - beta) / 141 with the two largest angles: 0 square plane, 1 tetrahedron (Yang, Powell and Houser
  2007, DOI 10.1039/B617136B);
* tau5 = (beta - alpha) / 60: 0 square pyramid, 1 trigonal bipyramid (Addison et al. 1984, DOI 10.1039/DT9840001349);
* tetrahedral order 1 - 3/8 sum (cos psi + 1/3)^2 over the six angles: 1 tetrahedron, 0 at random (Errington and
  Debenedetti 2001, DOI 10.1038/35053024);
* the *deviation* from an ideal polyhedron is the root mean square difference of the sorted angles between bonds; the
  nearest ideal one names the shape. Angles alone decide, so that bonds of different lengths are no distortion.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aiida_nvp.analysis.statistics import Curve, FloatArray, Number, RunningBlocks, ratio
from aiida_nvp.analysis.structure.bonds import BondRules, Bonds, IntArray
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.shapes import Shape, shapes, sorted_angles
from aiida_nvp.analysis.structure.species import parse
from aiida_nvp.common.errors import InputError

LIGANDS = (3, 4, 5, 6)
"""Numbers of ligands with ideal polyhedra."""
TAU_BINS = 20
_FOUR, _FIVE = 4, 5
IRREGULAR = "irregular"
OTHER = "other number"


@dataclass(frozen=True)
class PolyhedraResult:
    """Shapes of the polyhedra of one kind of centre.

    :param shares: share of all centres by shape; ``irregular`` is far from every ideal one, ``other number`` has fewer
        than three or more than six ligands.
    :param deviation_deg: mean deviation of those that are counted under a shape.
    :param tau4: mean over centres with four ligands; NaN without any.
    :param tau5: mean over centres with five.
    :param tau5_edges: (B + 1,) bin edges from 0 to 1.
    :param tau5_density: (B,) distribution of tau5, its integral is 1.
    :param tetrahedral_order: mean over centres with four ligands.
    :param length: mean bond length in angstrom by number of ligands.
    """

    shares: dict[str, Number]
    deviation_deg: dict[str, Number]
    tau4: Number
    tau5: Number
    tau5_edges: FloatArray
    tau5_density: Curve
    tetrahedral_order: Number
    length: dict[int, Number]


class Polyhedra:
    """Accumulates the shapes of the polyhedra around each centre.

    :param rules: bonds.
    :param pair: ``centre-ligand``, for example ``V-O``; its bond length comes from the rules.
    :param limit_deg: polyhedra further than this from every ideal one are irregular.
    :raises InputError: on an unknown species, no bond length or a limit that is not positive.
    """

    def __init__(self, rules: BondRules, pair: str, limit_deg: float = 20.0) -> None:
        self._centre, self._ligand = parse(pair, 2, rules.numbers)
        if not rules.length(self._centre, self._ligand):
            raise InputError(f"polyhedra of {pair} need its bond length.")
        if not limit_deg > 0:
            raise InputError(f"the largest deviation of a polyhedron must be positive; it is {limit_deg}.")
        self._limit = limit_deg
        self._names = list(dict.fromkeys(shape.name for ligands in LIGANDS for shape in shapes(ligands)))
        self._shapes = RunningBlocks()
        self._taus = RunningBlocks()
        self._tau5 = RunningBlocks()
        self._lengths = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Look at the polyhedra of one frame."""
        bonds = environment.around(self._centre, self._ligand)
        here = environment.atoms(self._centre)
        starts = bonds.starts(len(environment.frame.numbers))
        counts = (starts[1:] - starts[:-1])[here]
        found = np.zeros((len(self._names) + 2, 2))
        taus, lengths = np.zeros((3, 2)), np.zeros((max(LIGANDS) + 1, 2))
        tau5 = np.zeros(TAU_BINS)
        found[-1, 0] = len(here) - np.isin(counts, LIGANDS).sum()
        for ligands in LIGANDS:
            first = starts[here[counts == ligands]]
            if not len(first):
                continue
            unit, distance = _stars(bonds, first, ligands)
            angles = sorted_angles(unit)
            self._sort(angles, shapes(ligands), found)
            lengths[ligands] = distance.sum(), distance.size
            if ligands == _FOUR:
                taus[0] = ((360 - angles[:, -2:].sum(axis=1)) / 141).sum(), len(first)
                order = 1 - 3 / 8 * ((np.cos(np.radians(angles)) + 1 / 3) ** 2).sum(axis=1)
                taus[2] = order.sum(), len(first)
            elif ligands == _FIVE:
                each = (angles[:, -1] - angles[:, -2]) / 60
                taus[1] = each.sum(), len(first)
                tau5 += np.histogram(np.minimum(each, 1), TAU_BINS, (0.0, 1.0))[0]
        self._shapes.add(found / len(here))
        self._taus.add(taus)
        self._tau5.add(tau5)
        self._lengths.add(lengths)

    def _sort(self, angles: FloatArray, ideal: tuple[Shape, ...], found: FloatArray) -> None:
        deviations = np.stack([np.sqrt(((angles - shape.angles_deg) ** 2).mean(axis=1)) for shape in ideal])
        nearest, least = deviations.argmin(axis=0), deviations.min(axis=0)
        row = np.array([self._names.index(shape.name) for shape in ideal])[nearest]
        row = np.where(least > self._limit, len(self._names), row)
        np.add.at(found[:, 0], row, 1.0)
        np.add.at(found[:, 1], row, least)

    def result(self) -> PolyhedraResult:
        """Return the means over the frames so far.

        :raises InputError: if there was none.
        """
        names = [*self._names, IRREGULAR, OTHER]
        shares = self._shapes.curve(lambda found: found[:, 0])
        deviations = self._shapes.curve(lambda found: ratio(found[:, 1], found[:, 0]))
        occurring = [(row, name) for row, name in enumerate(names) if shares.mean[row] > 0]
        taus = self._taus.curve(lambda sums: ratio(sums[:, 0], sums[:, 1]))
        lengths = self._lengths.curve(lambda sums: ratio(sums[:, 0], sums[:, 1]))
        return PolyhedraResult(
            shares={name: shares.number(row) for row, name in occurring},
            deviation_deg={name: deviations.number(row) for row, name in occurring if name != OTHER},
            tau4=taus.number(0),
            tau5=taus.number(1),
            tau5_edges=np.linspace(0, 1, TAU_BINS + 1),
            tau5_density=self._tau5.curve(lambda counts: ratio(counts, counts.sum()) * TAU_BINS),
            tetrahedral_order=taus.number(2),
            length={n: lengths.number(n) for n in LIGANDS if np.isfinite(lengths.mean[n])},
        )


def _stars(bonds: Bonds, first: IntArray, ligands: int) -> tuple[FloatArray, FloatArray]:
    """Return (C, n, 3) unit vectors and (C, n) lengths of the bonds that begin at ``first``."""
    places = first[:, None] + np.arange(ligands)
    distance = bonds.distance[places]
    return bonds.vector[places] / distance[:, :, None], distance
