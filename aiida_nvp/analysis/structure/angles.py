"""Distributions of bond angles, all triplets of species in one pass over the bonds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import Curve, FloatArray, Number, RunningBlocks, ratio
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.species import parse, symbol_of
from aiida_nvp.common.errors import InputError

_STRAIGHT = 180.0


@dataclass(frozen=True)
class Angles:
    """Angles of one triplet in B bins.

    :param angle_deg: (B,) bin centres in degrees.
    :param density: (B,) share of the angles in a degree; its integral is 1. Random directions give sin(angle), not a
        constant.
    :param mean_deg: mean angle.
    :param width_deg: standard deviation of the angles.
    :param per_centre: angles of a centre atom.
    """

    angle_deg: FloatArray
    density: Curve
    mean_deg: Number
    width_deg: Number
    per_centre: Number


class BondAngles:
    """Accumulates the angles A-B-C at atoms B, each pair of bonds once.

    :param rules: what counts as a bond.
    :param triplets: names with the centre in the middle, for example ``O-V-O`` and ``V-O-P``.
    :param bin_deg: bin in degrees; 180 is a multiple of it.
    :raises InputError: on an unknown species, a triplet without a bond or a bin that does not fit.
    """

    def __init__(self, rules: BondRules, triplets: Sequence[str], bin_deg: float = 2.0) -> None:
        self._bins = round(_STRAIGHT / bin_deg) if bin_deg > 0 else 0
        if not self._bins or not np.isclose(self._bins * bin_deg, _STRAIGHT):
            raise InputError(f"180 degrees must be a multiple of the bin of angles; it is {bin_deg}.")
        self._rules, self._names = rules, list(dict.fromkeys(triplets))
        size = len(rules.species)
        self._rows = np.full((size, size, size), -1, dtype=np.int64)
        self._centres = np.zeros(len(self._names), dtype=np.int64)
        for row, name in enumerate(self._names):
            numbers = parse(name, 3, rules.numbers)
            for ligand in (numbers[0], numbers[2]):
                if not rules.length(numbers[1], ligand):
                    raise InputError(
                        f"angle {name} needs a bond length for {symbol_of(numbers[1])}-{symbol_of(ligand)}."
                    )
            a, b, c = (rules.species.index(number) for number in numbers)
            if self._rows[b, a, c] >= 0:
                raise InputError(f"angle {name} is given twice, {self._names[self._rows[b, a, c]]} and {name}.")
            self._rows[b, a, c] = self._rows[b, c, a] = row
            self._centres[row] = (rules.numbers == numbers[1]).sum()
        self._blocks = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Measure the angles of one frame."""
        bonds, index = environment.bonds, environment.rules.index
        starts = bonds.starts(len(index))
        found = np.zeros((len(self._names), self._bins + 2))
        # One table a bond: the row of the triplet that it makes with a bond to each other species.
        tables = self._rows[index[bonds.centre], index[bonds.ligand]]
        _histogram(bonds.vector / bonds.distance[:, None], starts, tables, index[bonds.ligand], found)
        self._blocks.add(found)

    def result(self) -> dict[str, Angles]:
        """Return by triplet the means over the frames so far.

        :raises InputError: if there was none.
        """
        width = _STRAIGHT / self._bins
        middle = (np.arange(self._bins, dtype=np.float64) + 0.5) * width

        # The last two columns are the sums of the angles and of their squares: bins would blur them.
        def moments(sums: FloatArray) -> FloatArray:
            count = sums[:, :-2].sum(axis=1)
            mean, square = ratio(sums[:, -2], count), ratio(sums[:, -1], count)
            return np.stack([mean, np.sqrt(np.maximum(square - mean**2, 0)), count / self._centres])

        density = self._blocks.curve(lambda sums: ratio(sums[:, :-2], sums[:, :-2].sum(axis=1, keepdims=True)) / width)
        numbers = self._blocks.curve(moments)
        return {
            name: Angles(
                middle, Curve(density.mean[row], density.error[row]), *(numbers.number(kind, row) for kind in range(3))
            )
            for row, name in enumerate(self._names)
        }


@numba.njit(cache=True)
def _histogram(
    unit: NDArray[Any], starts: NDArray[Any], tables: NDArray[Any], ligand: NDArray[Any], found: NDArray[Any]
) -> None:
    bins = found.shape[1] - 2
    for atom in range(len(starts) - 1):
        for i in range(starts[atom], starts[atom + 1]):
            for j in range(i + 1, starts[atom + 1]):
                row = tables[i, ligand[j]]
                if row < 0:
                    continue
                cosine = unit[i, 0] * unit[j, 0] + unit[i, 1] * unit[j, 1] + unit[i, 2] * unit[j, 2]
                angle = np.degrees(np.arccos(min(1.0, max(-1.0, cosine))))
                found[row, min(int(angle * bins / 180.0), bins - 1)] += 1
                found[row, bins] += angle
                found[row, bins + 1] += angle * angle
