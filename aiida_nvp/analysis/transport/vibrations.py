"""Vibrational density of states from the paths of the atoms.

The spectrum of the velocities, weighted with the masses and normalised to an area of 1 (DOI 10.1103/PhysRev.188.1407).
Velocities are the steps between frames; what averaging over a step takes away, (sin(pi f dt) / (pi f dt))^2, is given
back. A frequency above half the rate of the frames is folded onto a lower one, which nothing can undo.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray
from scipy.signal import welch

from aiida_nvp.analysis.transport.paths import Paths
from aiida_nvp.common.errors import InputError

HIGHEST_BOND_THZ = 45.0
"""Stretching of the strongest bonds in oxide glasses; frames must come at more than twice this rate."""
SEGMENT_FRAMES = 1024

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Vibrations:
    """Density of states.

    :param frequency_thz: (F,) from 0 to half the rate of the frames.
    :param partial: (F,) in 1/THz by species; they add up to a density of area 1.
    """

    frequency_thz: FloatArray
    partial: dict[str, FloatArray]

    @property
    def total(self) -> FloatArray:
        """(F,) the sum over species."""
        total: FloatArray = np.sum(list(self.partial.values()), axis=0)
        return total


def vibrations(paths: Paths) -> Vibrations:
    """Return the density of states of all atoms.

    :raises InputError: if the frames are too far apart for the bonds of a glass.
    """
    highest = 0.5 / paths.interval_ps
    if highest < HIGHEST_BOND_THZ:
        most_fs = 500 / HIGHEST_BOND_THZ
        raise InputError(
            f"frames every {1000 * paths.interval_ps:.3g} fs show frequencies up to {highest:.3g} THz and fold "
            f"the rest onto them; a density of states needs one at least every {most_fs:.0f} fs."
        )
    segment = min(SEGMENT_FRAMES, paths.n_frames - 1)
    frequency: FloatArray = np.fft.rfftfreq(segment, paths.interval_ps).astype(np.float64)
    lost = np.sinc(frequency * paths.interval_ps) ** 2
    partial: dict[str, FloatArray] = {}
    for number in np.unique(paths.numbers):
        power = np.zeros(len(frequency))
        ions = np.flatnonzero(paths.numbers == number)
        for block in paths.blocks(ions):
            velocity = np.diff(block, axis=0) / paths.interval_ps
            _, each = welch(velocity, 1 / paths.interval_ps, nperseg=segment, axis=0, detrend=False)
            power += each.sum(axis=(1, 2))
        partial[_symbol(int(number))] = atomic_masses[number] * power / lost
    area = np.trapezoid(np.sum(list(partial.values()), axis=0), frequency)
    if not area > 0:
        raise InputError("the atoms do not move, so that there is no density of states.")
    return Vibrations(frequency, {species: values / area for species, values in partial.items()})


def _symbol(number: int) -> str:
    return str(chemical_symbols[number])
