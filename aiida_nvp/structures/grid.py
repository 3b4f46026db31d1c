"""Compositions on a grid, each rounded to a whole, neutral cell next to a wanted size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ase.formula import Formula

from aiida_nvp.common.elements import ANION
from aiida_nvp.common.errors import InputError
from aiida_nvp.structures.composition import compose, formula_unit

MAXIMUM_SHIFT = 0.05
"""Largest change of the share of an oxide, or of a reduced share, for which a cell still stands for a point."""


@dataclass(frozen=True)
class Point:
    """One composition that has a cell of exactly ``atoms`` atoms.

    :param oxides: formula to moles in the cell; ``reduced``: element to the share of its atoms one electron lower.
    :param shift: largest distance of a share from what was asked for.
    """

    oxides: Mapping[str, float]
    reduced: Mapping[str, float]
    atoms: int
    shift: float


def grid_points(
    oxides: Mapping[str, float | Sequence[float]], reduced: Mapping[str, float | Sequence[float]], atoms: int
) -> list[Point]:
    """Return a point for every combination of the listed values, the last list running fastest.

    :param oxides: formula to moles, one value or several; ``reduced``: element to share, one value or several.
    :param atoms: wanted size; a cell may differ from it by a few atoms.
    :raises InputError: for a composition that makes no sense, or has no cell of about that size within
        :data:`MAXIMUM_SHIFT`.
    """
    moles, shares = [_listed(value) for value in oxides.values()], [_listed(value) for value in reduced.values()]
    points = []
    for values in product(*moles, *shares):
        here = dict(zip(oxides, values[: len(oxides)], strict=True))
        lower = dict(zip(reduced, values[len(oxides) :], strict=True))
        points.append(nearest_cell({name: value for name, value in here.items() if value > 0}, lower, atoms))
    return points


def nearest_cell(oxides: Mapping[str, float], reduced: Mapping[str, float], atoms: int) -> Point:
    """Return the cell next to ``atoms`` atoms whose composition is next to the one asked for.

    :raises InputError: as :func:`grid_points`.
    """
    total = sum(oxides.values())
    if not total > 0 or atoms < 1:
        raise InputError("a point of a grid needs at least one oxide with more than zero moles, and at least one atom.")
    formula_unit(oxides, reduced)
    size = sum(
        moles / total * sum(n * (1.0 - 0.5 * reduced.get(s, 0.0)) for s, n in Formula(name).count().items())
        for name, moles in oxides.items()
    )
    wanted = {name: moles / total * atoms / size for name, moles in oxides.items()}
    near = sorted(_cells_near(wanted, reduced), key=lambda point: (round(point.shift, 9), abs(point.atoms - atoms)))
    found = next(iter(near), None)
    if found is None or found.shift > MAXIMUM_SHIFT:
        asked = ", ".join(f"{moles:g} {name}" for name, moles in oxides.items())
        raise InputError(f"no whole, neutral cell of about {atoms} atoms comes near {asked}; give more atoms.")
    return found


def _cells_near(wanted: Mapping[str, float], reduced: Mapping[str, float]) -> Iterator[Point]:
    # Half a formula unit is a whole number of cations where all of them come in pairs; oxygen is checked below.
    steps = {name: _step(name) for name in wanted}
    choices = [
        sorted({max(math.floor(moles / steps[name]) + up, 0) * steps[name] for up in (0, 1)})
        for name, moles in wanted.items()
    ]
    asked = {name: moles / sum(wanted.values()) for name, moles in wanted.items()}
    for moles in product(*choices):
        oxides = {name: value for name, value in zip(wanted, moles, strict=True) if value}
        if len(oxides) < len(wanted):
            continue
        cations = {s: sum(Formula(n).count().get(s, 0) * m for n, m in oxides.items()) for s in reduced}
        near = [_near_counts(share, cations[symbol]) for symbol, share in reduced.items()]
        for counts in product(*near):
            lower = {s: c / cations[s] for s, c in zip(reduced, counts, strict=True) if cations[s]}
            atoms = sum(sum(Formula(n).count().values()) * m for n, m in oxides.items()) - 0.5 * sum(counts)
            if atoms != int(atoms):
                continue
            shifts = [abs(m / sum(oxides.values()) - asked[n]) for n, m in oxides.items()]
            shifts += [abs(lower[s] - reduced[s]) for s in lower]
            yield Point(oxides, lower, int(atoms), max(shifts))


def _near_counts(share: float, cations: float) -> list[int]:
    """Return the whole numbers of reduced atoms next to a share; none or all stay what they are."""
    if share in (0.0, 1.0):
        return [round(share * cations)]
    middle = math.floor(share * cations)
    return [count for count in range(middle - 1, middle + 3) if 0 <= count <= cations]


def _step(name: str) -> float:
    numbers = [number for symbol, number in Formula(name).count().items() if symbol != ANION]
    return 0.5 if all(number % 2 == 0 for number in numbers) else 1.0


def _listed(value: float | Sequence[float]) -> Sequence[float]:
    return [float(value)] if isinstance(value, int | float) else [float(each) for each in value]


def grid_cells(grid: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cells of a grid as ``nvp.generate`` takes them, named after their counts.

    :param grid: like a cell, with lists of moles and reduced shares, and a size that may be missed by a few atoms.
    :raises InputError: as :func:`grid_points`.
    """
    points = grid_points(grid["oxides"], grid.get("reduced") or {}, int(grid["atoms"]))
    cells = []
    for point in points:
        formula = compose(point.oxides, point.reduced, point.atoms).formula
        cell = {"name": f"{grid['name']} {formula}", "oxides": dict(point.oxides), "reduced": dict(point.reduced)}
        cells.append({**grid, **cell, "atoms": point.atoms})
    return cells
