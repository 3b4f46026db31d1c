"""Oscillators of known frequency."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.analysis.transport.vibrations import vibrations
from aiida_nvp.common.errors import InputError

STEP_PS = 0.004


def oscillators(gas, frequencies, numbers, frames=1500):
    times = STEP_PS * np.arange(frames)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, size=(len(frequencies), 3))
    angles = 2 * np.pi * np.asarray(frequencies)[None, :, None] * times[:, None, None] + phases
    return gas.make(np.sin(angles) / np.asarray(frequencies)[None, :, None], numbers, times)


def test_lines_lie_where_they_belong_and_weigh_what_they_should(gas):
    found = vibrations(MemoryPaths(oscillators(gas, [10.0] * 20 + [40.0] * 20, [11] * 20 + [8] * 20), rest=()))
    assert found.frequency_thz[np.argmax(found.partial["Na"])] == pytest.approx(10, abs=0.3)
    assert found.frequency_thz[np.argmax(found.partial["O"])] == pytest.approx(40, abs=0.3)
    assert np.trapezoid(found.total, found.frequency_thz) == pytest.approx(1)
    # Velocities of one size: the areas are as the masses.
    areas = {name: np.trapezoid(values, found.frequency_thz) for name, values in found.partial.items()}
    assert areas["Na"] / areas["O"] == pytest.approx(22.98976928 / 15.999, rel=0.02)


def test_frames_too_far_apart_and_atoms_at_rest_are_refused(gas):
    with pytest.raises(InputError, match="needs one at least every 11 fs"):
        vibrations(MemoryPaths(gas.brownian(0, atoms=4, frames=50)))
    with pytest.raises(InputError, match="do not move"):
        vibrations(MemoryPaths(gas.make(np.zeros((20, 2, 3)), [11, 11], STEP_PS * np.arange(20)), rest=()))
