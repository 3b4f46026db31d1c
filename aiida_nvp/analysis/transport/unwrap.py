"""Undo the wrapping of positions into the periodic cell."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

LONGEST_STEP = 0.4
"""Longest step between frames, as a share of the cell, whose direction is beyond doubt; at a half both are equal."""


def unwrap(
    positions: NDArray[np.floating], cells: NDArray[np.floating], numbers: NDArray[np.integer] | None = None
) -> NDArray[np.float64]:
    """Return (T, N, 3) positions that leave the cell instead of entering it on the other side.

    Steps are taken in fractional coordinates, so the cell may have any shape and change from frame to frame; each step
    is the shortest of its periodic images. The first frame stays where it is.

    :param positions: (T, N, 3) angstrom, in any image.
    :param cells: (T, 3, 3) angstrom, rows are vectors.
    :param numbers: (N,) atomic numbers, to name an atom in an error.
    :raises InputError: if the shapes do not fit, or a step is so long that its image is ambiguous.
    """
    frames = len(cells)
    if positions.shape != (frames, *positions.shape[1:2], 3) or cells.shape != (frames, 3, 3):
        raise InputError(
            f"positions {positions.shape} and cells {cells.shape} do not fit; expected (T, N, 3) and (T, 3, 3)."
        )
    boxes = np.asarray(cells, dtype=np.float64)
    fractional = np.asarray(positions, dtype=np.float64) @ np.linalg.inv(boxes)
    steps = np.diff(fractional, axis=0)
    steps -= np.rint(steps)
    if steps.size and np.abs(steps).max() > LONGEST_STEP:
        frame, atom, axis = (int(i) for i in np.unravel_index(int(np.abs(steps).argmax()), steps.shape))
        name = f"atom {atom}" if numbers is None else f"{chemical_symbols[int(numbers[atom])]} (atom {atom})"
        raise InputError(
            f"{name} moves by {abs(steps[frame, atom, axis]):.2f} of the cell along {'abc'[axis]} between frames "
            f"{frame} and {frame + 1}, so its periodic image is ambiguous; frames must follow closely enough for steps "
            f"below {LONGEST_STEP} of the cell."
        )
    fractional[1:] = fractional[0] + np.cumsum(steps, axis=0)
    unwrapped: NDArray[np.float64] = fractional @ boxes
    return unwrapped
