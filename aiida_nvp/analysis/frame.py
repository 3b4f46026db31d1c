"""One frame as every observable takes it, so that a run of any length passes through a fixed amount of memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory


@dataclass(frozen=True)
class Frame:
    """N atoms in a periodic cell.

    :param numbers: (N,) atomic numbers.
    :param positions: (N, 3) float64 angstrom, wrapped or not.
    :param cell: (3, 3) float64 angstrom, rows are vectors.
    :raises InputError: if the shapes do not fit, a value is not finite or the cell has no volume.
    """

    numbers: NDArray[Any]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Check the arrays."""
        atoms = len(self.numbers)
        if self.positions.shape != (atoms, 3) or self.cell.shape != (3, 3):
            raise InputError(
                f"a frame of {atoms} atoms needs positions ({atoms}, 3) and a cell (3, 3); it has "
                f"{self.positions.shape} and {self.cell.shape}."
            )
        if not (np.isfinite(self.positions).all() and np.isfinite(self.cell).all()):
            raise InputError("a frame has a coordinate or a cell vector that is not finite.")
        if not self.volume > 0:
            raise InputError("a frame needs a periodic cell with a volume; this one is flat or missing.")

    @property
    def volume(self) -> float:
        """Volume of the cell in cubic angstrom."""
        return float(abs(np.linalg.det(self.cell)))

    @property
    def widths(self) -> NDArray[np.float64]:
        """(3,) distances between opposite faces of the cell in angstrom."""
        widths: NDArray[np.float64] = 1 / np.linalg.norm(np.linalg.inv(self.cell), axis=0)
        return widths

    @property
    def fractional(self) -> NDArray[np.float64]:
        """(N, 3) coordinates along the cell vectors, in [0, 1)."""
        inside: NDArray[np.float64] = (self.positions @ np.linalg.inv(self.cell)) % 1.0
        # A tiny negative number plus one rounds to one.
        inside[inside >= 1.0] = 0.0
        return inside


def frames_of(trajectory: Trajectory) -> Iterator[Frame]:
    """Yield the frames of a trajectory in memory, in order."""
    for positions, cell in zip(trajectory.positions, trajectory.cells, strict=True):
        yield Frame(trajectory.numbers, positions.astype(np.float64), cell.astype(np.float64))
