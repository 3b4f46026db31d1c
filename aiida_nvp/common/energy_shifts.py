"""Energy of a lone atom of each species, as far as the energies of labelled frames tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet

_RANK_TOLERANCE = 1e-9
_SMALLEST_WIDTH_EV = 1.0


def fit_energy_shifts(frames: FrameSet, species: Sequence[str]) -> dict[str, float]:
    """Return one energy a species, eV, whose sum over the atoms of a frame comes nearest to its energy.

    Least squares on energies per atom with a normal prior on each shift: centred on the mean energy per atom, as wide
    as that mean is large. The ridge that follows is the ratio of the variance that no composition explains to
    the variance of the prior. Enough different compositions therefore give the plain least-squares answer; a direction
    in which the compositions do not differ, or hardly differ against the scatter of the energies, stays at the prior
    instead of running off. A species that no frame holds gets the mean.

    :param frames: labelled frames.
    :param species: chemical symbols that need a shift.
    :raises InputError: if the frames are unlabelled, none, or hold a species that is not listed.
    """
    if frames.energy is None or len(frames) == 0:
        raise InputError("energy shifts need labelled frames; this data set has none.")
    unknown = [symbol for symbol in frames.species() if symbol not in species]
    if unknown:
        raise InputError(
            f"the data set holds {', '.join(unknown)}, but shifts are asked for {', '.join(species)} only."
        )
    atoms = np.diff(frames.offsets)
    fractions = _fractions(frames, species)
    per_atom = frames.energy / atoms
    mean = float(per_atom.mean())
    deviation = _ridge(fractions, per_atom - mean, width=max(abs(mean), _SMALLEST_WIDTH_EV))
    return {symbol: float(mean + value) for symbol, value in zip(species, deviation, strict=True)}


def _fractions(frames: FrameSet, species: Sequence[str]) -> NDArray[np.float64]:
    atoms = np.diff(frames.offsets)
    columns = [
        np.add.reduceat(frames.numbers == atomic_numbers[symbol], frames.offsets[:-1], dtype=float) / atoms
        for symbol in species
    ]
    return np.stack(columns, axis=1)


def _ridge(design: NDArray[np.float64], target: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    kept = singular > _RANK_TOLERANCE * singular[0]
    left, singular, right = left[:, kept], singular[kept], right[kept]
    projection = left.T @ target
    freedom = max(len(target) - len(singular), 1)
    variance = float(np.sum((target - left @ projection) ** 2)) / freedom
    solution: NDArray[np.float64] = right.T @ (singular / (singular**2 + variance / width**2) * projection)
    return solution
