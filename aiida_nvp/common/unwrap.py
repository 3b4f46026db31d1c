"""Paths of atoms from positions that were folded back into the cell."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

FloatArray = NDArray[np.float64]

AMBIGUOUS = 0.4
"""Share of the cell that an atom may move between frames; at 0.5 the nearest image is a guess."""


class Unwrapper:
    """Follows atoms through the faces of a periodic cell, frame by frame.

    Each atom goes on from its last place by the shortest image of its step. Steps are taken in fractional coordinates,
    so that a cell that changes carries the atoms along (doi:10.1063/5.0008316 on why that matters under pressure
    control). The first frame stays where it is.
    """

    def __init__(self) -> None:
        """Begin without a frame."""
        self._place: FloatArray | None = None

    def follow(self, positions: FloatArray, cell: FloatArray, where: str) -> FloatArray:
        """Return (N, 3) unwrapped positions of the next frame in angstrom.

        :param positions: (N, 3) angstrom, wrapped or not.
        :param cell: (3, 3) angstrom, rows are vectors.
        :param where: names the frame in an error, for example ``frame 3 of run.xyz``.
        :raises InputError: if an atom moved so far that it cannot be known through which face it went.
        """
        fractional = positions @ np.linalg.inv(cell)
        if self._place is None:
            self._place = fractional
        else:
            step = fractional - self._place
            step -= np.rint(step)
            farthest = np.unravel_index(int(np.argmax(np.abs(step))), step.shape)
            if abs(step[farthest]) > AMBIGUOUS:
                raise InputError(
                    f"{where}: atom {farthest[0]} is {abs(step[farthest]):.2f} of a cell vector from where it was one "
                    "frame before, so its path is ambiguous; store frames more often, or unwrapped positions, and say "
                    "`unwrapped: true` where they are."
                )
            self._place = self._place + step
        unwrapped: FloatArray = self._place @ cell
        return unwrapped
