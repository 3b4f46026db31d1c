"""Ideal polyhedra, by the angles between their bonds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from aiida_nvp.analysis.statistics import FloatArray

_APEX_DEG = 104.5
"""Between the bond to the apex and one to the base where the centre stands above the base, as in vanadyl."""
_MAGIC = float(np.arccos(-1 / 3))


@dataclass(frozen=True)
class Shape:
    """An ideal polyhedron.

    :param name: as told in results; two variants may share one.
    :param angles_deg: (n (n - 1) / 2,) angles between its n bonds, rising.
    """

    name: str
    angles_deg: FloatArray


@cache
def shapes(ligands: int) -> tuple[Shape, ...]:
    """Return the ideal polyhedra with so many bonds, none where none is known."""
    right = np.pi / 2
    square, triangle = 4, 3
    known: dict[int, dict[str, list[FloatArray]]] = {
        3: {
            "trigonal plane": [_rings((triangle, right))],
            "trigonal pyramid": [_rings((triangle, _MAGIC))],
        },
        4: {
            "tetrahedron": [_rings((1, 0), (triangle, _MAGIC))],
            "square plane": [_rings((square, right))],
            "seesaw": [_rings((1, 0), (1, np.pi), (triangle, right))[:4]],
        },
        5: {
            "square pyramid": [
                _rings((1, 0), (square, np.radians(_APEX_DEG))),
                _rings((1, 0), (square, right)),
            ],
            "trigonal bipyramid": [_rings((1, 0), (1, np.pi), (triangle, right))],
        },
        6: {
            "octahedron": [_rings((1, 0), (1, np.pi), (square, right))],
            # All edges equal: a triangle of edge a stands at height a / 2, so tan = 2 / sqrt(3).
            "trigonal prism": [
                _rings((triangle, np.arctan(2 / np.sqrt(3))), (triangle, np.pi - np.arctan(2 / np.sqrt(3))))
            ],
        },
    }
    return tuple(
        Shape(name, sorted_angles(bonds[None])[0])
        for name, variants in known.get(ligands, {}).items()
        for bonds in variants
    )


def sorted_angles(unit: FloatArray) -> FloatArray:
    """Return (C, n (n - 1) / 2) rising angles in degrees between n bonds of each of C centres.

    :param unit: (C, n, 3) unit vectors.
    """
    first, second = np.triu_indices(unit.shape[1], 1)
    cosine = np.einsum("cix,cix->ci", unit[:, first], unit[:, second])
    angles: FloatArray = np.sort(np.degrees(np.arccos(np.clip(cosine, -1, 1))), axis=1)
    return angles


def _rings(*rings: tuple[int, float]) -> FloatArray:
    """Return unit vectors: each ring is a number of bonds at one angle to the axis."""
    parts = []
    for count, polar in rings:
        around = 2 * np.pi * np.arange(count) / count
        parts.append(
            np.stack([np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.full(count, np.cos(polar))], 1)
        )
    return np.concatenate(parts)
