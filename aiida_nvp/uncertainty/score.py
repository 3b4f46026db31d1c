"""From one uncertainty an atom to the numbers by which a frame is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.neighbours import find_pairs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SHELL_SCALE = 1.25
"""Two atoms share a first shell when they are nearer than this times the sum of their covalent radii."""


@dataclass(frozen=True)
class FrameScores:
    """Scores of F frames in the unit of the uncertainties they were made from; infinite where that is not a number.

    :param score: (F,) largest over the atoms of the mean over the atom and its first shell.
    :param raw_max: (F,) largest single value.
    :param species: chemical symbol to (F,) largest single value among that species; NaN where a frame has none of it.
    """

    score: FloatArray
    raw_max: FloatArray
    species: dict[str, FloatArray]


def frame_scores(frames: FrameSet, sigma: FloatArray) -> FrameScores:
    """Score each frame by its worst neighbourhood.

    With a handful of members the estimate of one atom scatters by half its value, so a bare maximum picks noise; a mean
    over the frame would hide one bad atom among hundreds. The largest first-shell mean does neither. Periodic images
    count as neighbours of their own, so a supercell scores like its cell.

    :param frames: F frames with N atoms in all.
    :param sigma: (N,) uncertainty of each atom, eV/angstrom; NaN counts as infinite.
    :raises InputError: if ``sigma`` has another length or a negative value.
    """
    if sigma.shape != frames.numbers.shape:
        raise InputError(f"scores: {sigma.shape} uncertainties for {len(frames.numbers)} atoms.")
    if (sigma < 0).any():
        raise InputError("scores: an uncertainty is negative.")
    values = np.where(np.isnan(sigma), np.inf, sigma)
    parts = [frames.slice_of(index) for index in range(len(frames))]
    shells = [
        shell_mean(frames.numbers[part], frames.positions[part], frames.cells[index], values[part])
        for index, part in enumerate(parts)
    ]
    return FrameScores(
        score=np.array([shell.max() for shell in shells], dtype=float),
        raw_max=np.array([values[part].max() for part in parts], dtype=float),
        species={
            chemical_symbols[number]: np.array(
                [_largest(values[part][frames.numbers[part] == number]) for part in parts], dtype=float
            )
            for number in np.unique(frames.numbers)
        },
    )


def shell_mean(numbers: NDArray[np.int32], positions: FloatArray, cell: FloatArray, values: FloatArray) -> FloatArray:
    """Return (N,) the mean of ``values`` over each atom and its first shell in a periodic cell.

    :param numbers: (N,) atomic numbers; ``positions`` (N, 3) and ``cell`` (3, 3) in angstrom; ``values`` (N,).
    """
    first, second = shell_pairs(numbers, positions, cell)
    total = values.copy()
    np.add.at(total, first, values[second])
    count = 1.0 + np.bincount(first, minlength=len(values))
    return np.asarray(total / count, dtype=float)


def shell_pairs(
    numbers: NDArray[np.int32], positions: FloatArray, cell: FloatArray, scale: float = SHELL_SCALE
) -> tuple[IntArray, IntArray]:
    """Return the pairs (both directions, images included) nearer than ``scale`` times their covalent radii."""
    radii = covalent_radii[numbers]
    reach = 2.0 * scale * float(radii.max(initial=0.0))
    pairs = find_pairs(positions, cell, reach)
    near = pairs.distance < scale * (radii[pairs.first] + radii[pairs.second])
    return pairs.first[near], pairs.second[near]


def _largest(values: FloatArray) -> float:
    return float(values.max()) if values.size else float("nan")
