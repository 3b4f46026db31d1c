"""Candidates that no label should be spent on, whatever their score."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.neighbours import Pairs, find_pairs

_REACH = 4.0
_SMALLEST_REACH = 2.0
"""A cell list of a shorter reach has more bins than atoms."""


def shortest_distances(frames: FrameSet, index: int, reach: float = _REACH) -> dict[str, float]:
    """Return the shortest distance in angstrom of each pair of elements of one frame that is nearer than ``reach``.

    :return: for example ``{"O-P": 1.49}``, symbols in alphabetical order; periodic images count.
    """
    here = frames.slice_of(index)
    numbers = frames.numbers[here]
    pairs = _pairs(frames, index, reach)
    shortest: dict[str, float] = {}
    for a, b, apart in zip(numbers[pairs.first], numbers[pairs.second], pairs.distance, strict=True):
        pair = "-".join(sorted((chemical_symbols[a], chemical_symbols[b])))
        shortest[pair] = min(shortest.get(pair, np.inf), float(apart))
    return dict(sorted(shortest.items()))


def too_close(frames: FrameSet, scale: float) -> NDArray[np.bool_]:
    """Return (F,) whether a frame has two atoms nearer than ``scale`` times the sum of their covalent radii."""
    return np.array([_has_contact(frames, index, scale) for index in range(len(frames))], dtype=bool)


def _has_contact(frames: FrameSet, index: int, scale: float) -> bool:
    radii = covalent_radii[frames.numbers[frames.slice_of(index)]]
    pairs = _pairs(frames, index, max(_SMALLEST_REACH, 2.0 * scale * float(radii.max())))
    return bool((pairs.distance < scale * (radii[pairs.first] + radii[pairs.second])).any())


def _pairs(frames: FrameSet, index: int, reach: float) -> Pairs:
    return find_pairs(frames.positions[frames.slice_of(index)], frames.cells[index], reach, half=True)
