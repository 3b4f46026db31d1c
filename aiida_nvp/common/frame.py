"""The canonical form and identity of one atomic configuration."""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

RESOLUTION_ANGSTROM = 1e-6
"""Grid on which positions and cells are rounded before anything is compared, hashed or sent to a code."""


def canonical(atoms: Atoms) -> Atoms:
    """Return a copy with wrapped positions and with cell and positions rounded to :data:`RESOLUTION_ANGSTROM`.

    Labels, momenta and other arrays are left behind: the result is the geometry alone. Idempotent.

    :param atoms: configuration with a full three-dimensional cell.
    :raises ValueError: if the cell has no volume.
    """
    cell = _round(np.asarray(atoms.cell.array, dtype=float))
    if abs(np.linalg.det(cell)) < RESOLUTION_ANGSTROM:
        raise ValueError("a frame needs a cell with a volume; this one is flat or missing.")
    # Rounding may carry an atom across a face. Cell vectors lie on the grid, so the second pass rounds nothing.
    positions = _wrap_and_round(_wrap_and_round(np.asarray(atoms.positions, dtype=float), cell), cell)
    return Atoms(numbers=atoms.numbers, positions=positions, cell=cell, pbc=atoms.pbc)


def frame_id(atoms: Atoms) -> str:
    """Return the SHA-256 of atomic numbers, cell, periodicity and wrapped positions of the canonical form.

    The order of the atoms counts; masses, velocities and labels do not.

    :raises ValueError: if the cell has no volume.
    """
    clean = canonical(atoms)
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(clean.numbers, dtype="<i4").tobytes())
    digest.update(np.ascontiguousarray(clean.pbc, dtype="u1").tobytes())
    for values in (clean.cell.array, clean.positions):
        digest.update(np.rint(np.asarray(values) / RESOLUTION_ANGSTROM).astype("<i8").tobytes())
    return digest.hexdigest()


def reduced_formula(numbers: NDArray[np.int32]) -> str:
    """Return the composition in Hill order by its smallest whole numbers, such as ``NaO3V``.

    :param numbers: (n,) atomic numbers.
    """
    return _reduced_formula(tuple(int(number) for number in np.sort(numbers)))


@lru_cache(maxsize=1024)
def _reduced_formula(numbers: tuple[int, ...]) -> str:
    return format(Atoms(numbers).symbols.formula.reduce()[0], "hill")


def _wrap_and_round(positions: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    fractional = np.linalg.solve(cell.T, positions.T).T
    # An atom less than half a rounding step under the upper face belongs to the lower face.
    tolerance = 0.5 * RESOLUTION_ANGSTROM * np.linalg.norm(np.linalg.inv(cell), axis=0)
    fractional -= np.floor(fractional + tolerance)
    return _round(fractional @ cell)


def _round(values: NDArray[np.float64]) -> NDArray[np.float64]:
    # Adding zero turns -0.0 into 0.0, which would print and hash differently.
    return np.round(values, 6) + 0.0
