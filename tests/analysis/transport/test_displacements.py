"""Distributions of displacements that are known."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.displacements import DisplacementSettings, displacements
from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.common.errors import InputError


def found(trajectory, **settings):
    return displacements(MemoryPaths(trajectory, rest=()), "Na", DisplacementSettings(**settings))


def test_brownian_walkers_are_gaussian(gas):
    one = found(gas.brownian(0, atoms=200, frames=400), lags=8, wave_numbers=(0.5, 1.5))
    assert (np.abs(one.alpha2) < 4 * one.alpha2_error + 0.01).all()
    expected = np.exp(-np.outer(np.square(one.wave_numbers), 0.3 * one.lag_ps))
    np.testing.assert_allclose(one.scattering, expected, atol=0.02)
    width = 2 * 0.3 * one.lag_ps[0]
    gaussian = 4 * np.pi * one.r**2 * np.exp(-(one.r**2) / (2 * width)) / (2 * np.pi * width) ** 1.5
    np.testing.assert_allclose(one.density[0], gaussian, atol=0.02)
    np.testing.assert_allclose(one.density.sum(axis=1) * 0.1 + one.tail, 1, rtol=1e-12)


@pytest.mark.parametrize(("slow", "expected"), [(0.0, 1.0), (0.1, 4 / 9)])
def test_two_populations_have_the_parameter_of_their_difference(gas, slow, expected):
    one = found(gas.two_populations(1, atoms=400, frames=400, slow=slow, fast=0.5), lags=4)
    assert one.alpha2[0] == pytest.approx(expected, abs=0.03)


def test_one_ion_has_no_error_and_bad_settings_are_refused(gas):
    one = found(gas.brownian(0, atoms=1, frames=50))
    assert np.isnan(one.alpha2_error).all()
    with pytest.raises(InputError, match="wave numbers must be positive"):
        DisplacementSettings(wave_numbers=(0.0,))
    with pytest.raises(InputError, match="positive bin width"):
        DisplacementSettings(bin_width=0.0)
