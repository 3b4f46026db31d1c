"""What a frame is an example of: its composition, its temperature, the surroundings of its least certain atoms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import reduced_formula
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.neighbours import find_pairs

FloatArray = NDArray[np.float64]

COMPOSITION = "composition"
TEMPERATURE = "temperature"


def kinds(
    frames: FrameSet,
    origins: Sequence[Mapping[str, Any]],
    expected: FloatArray,
    band: float,
    pairs: Mapping[str, float],
) -> list[dict[str, str]]:
    """Return (F,) what each frame is an example of: quality to value, as ``{"temperature": "500-1000 K"}``.

    A quality that a frame does not have (no thermostat, no atom of the element) is left out.

    :param origins: (F,) what is stored with the frames; read is ``temperature`` in K.
    :param expected: (N,) error to expect of each atom, eV/angstrom.
    :param band: width of a temperature band, K.
    :param pairs: ``centre-ligand`` to the longest bond, angstrom.
    :raises InputError: if ``expected`` is of another length.
    """
    if expected.shape != frames.numbers.shape:
        raise InputError(f"kinds: {len(expected)} expected errors for {len(frames.numbers)} atoms.")
    found = []
    for index, origin in enumerate(origins):
        mine = {COMPOSITION: reduced_formula(frames.numbers[frames.slice_of(index)])}
        temperature = origin.get("temperature")
        if temperature is not None and np.isfinite(temperature):
            low = band * np.floor(float(temperature) / band)
            mine[TEMPERATURE] = f"{low:g}-{low + band:g} K"
        for pair, reach in pairs.items():
            bonds = _bonds(frames, index, expected, pair, reach)
            if bonds is not None:
                mine[pair] = str(bonds)
        found.append(mine)
    return found


def _bonds(frames: FrameSet, index: int, expected: FloatArray, pair: str, reach: float) -> int | None:
    """Return the number of ligands around the centre of the largest expected error."""
    here = frames.slice_of(index)
    centre, ligand = (atomic_numbers[symbol] for symbol in pair.split("-"))
    numbers = frames.numbers[here]
    candidates = np.flatnonzero(numbers == centre)
    if not len(candidates):
        return None
    values = expected[here][candidates]
    worst = candidates[int(np.argmax(np.where(np.isnan(values), np.inf, values)))]
    pairs = find_pairs(frames.positions[here], frames.cells[index], reach)
    return int(((pairs.first == worst) & (numbers[pairs.second] == ligand)).sum())
