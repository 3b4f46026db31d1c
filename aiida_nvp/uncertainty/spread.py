"""How much the members of a committee disagree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

FloatArray = NDArray[np.float64]

FEWEST_MEMBERS = 2
"""One model cannot disagree with itself."""


def vector_std(forces: FloatArray) -> FloatArray:
    """Return (N,) the standard deviation of the members' force vectors, eV/angstrom; infinite where not a number.

    The unbiased estimate, ``sqrt(sum_m |F_m - <F>|^2 / (M - 1))``.

    :param forces: (M, N, 3) eV/angstrom.
    :raises InputError: with fewer than two members.
    """
    if len(forces) < FEWEST_MEMBERS:
        raise InputError("a committee needs two members before it can disagree.")
    finite = np.isfinite(forces).all(axis=(0, 2))
    spread = np.full(forces.shape[1], np.inf)
    known = forces[:, finite]
    spread[finite] = np.sqrt(np.square(known - known.mean(axis=0)).sum(axis=(0, 2)) / (len(forces) - 1))
    return spread
