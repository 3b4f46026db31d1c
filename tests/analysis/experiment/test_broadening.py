"""Peaks of known width, before and after the instrument."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.optimize import brentq

from aiida_nvp.analysis.experiment.broadening import broadened_in_q, broadened_in_r, peak_shape
from aiida_nvp.common.errors import InputError

R = np.arange(0.0, 12.0, 0.01)
Q_MAX = 20.0


@pytest.mark.parametrize(("window", "width"), [("none", 3.79099), ("lorch", 5.4367)])
def test_peak_shape_has_unit_area_and_the_known_width(window, width):
    r = np.linspace(-60, 60, 120_001)
    shape = peak_shape(r, Q_MAX, window)
    assert trapezoid(shape, r) == pytest.approx(1, abs=2e-3)
    height = peak_shape(np.zeros(1), Q_MAX, window)[0]
    half = brentq(lambda x: peak_shape(np.array([x]), Q_MAX, window)[0] - height / 2, 1e-3, 0.3)
    assert 2 * half * Q_MAX == pytest.approx(width, rel=1e-4)


@pytest.mark.parametrize("window", ["none", "lorch"])
def test_agrees_with_the_transform_there_and_back_of_a_gaussian_peak(window):
    """Its Fourier transform is known: sin(Q r0) exp(-Q^2 s^2 / 2), times the window, transformed back by quadrature."""
    r0, sigma = 1.55, 0.06
    peak = np.exp(-((R - r0) ** 2) / (2 * sigma**2)) / np.sqrt(2 * np.pi) / sigma
    q = np.linspace(1e-6, Q_MAX, 8001)
    damping = np.ones_like(q) if window == "none" else np.sinc(q / Q_MAX)
    there = np.sin(q * r0) * np.exp(-(q**2) * sigma**2 / 2) * damping
    back = 2 / np.pi * trapezoid(there * np.sin(R[:, None] * q), q, axis=1)
    assert broadened_in_r(R, peak, "G(r)", Q_MAX, window) == pytest.approx(back, abs=2e-4)


def test_a_straight_line_and_an_ideal_gas_stay_as_they_are():
    assert broadened_in_r(R, 0.9 * R, "T(r)", Q_MAX, "lorch") == pytest.approx(0.9 * R, abs=1e-12)
    assert broadened_in_r(R[1:], np.ones_like(R[1:]), "g(r)", Q_MAX, "none") == pytest.approx(1)


def test_g_and_t_are_broadened_alike():
    g = 1 + 3 * np.exp(-((R - 2.0) ** 2) / 0.01) - np.exp(-((R / 1.2) ** 4))
    rho = 0.0735
    direct = broadened_in_r(R, 4 * np.pi * R * rho * (g - 1), "G(r)", Q_MAX, "lorch")
    by_g = 4 * np.pi * R * rho * (broadened_in_r(R, g, "g(r)", Q_MAX, "lorch") - 1)
    assert by_g[1:] == pytest.approx(direct[1:], abs=1e-10)
    by_t = broadened_in_r(R, 4 * np.pi * R * rho * g, "T(r)", Q_MAX, "lorch") - 4 * np.pi * R * rho
    assert by_t == pytest.approx(direct, abs=1e-3)


def test_a_broad_range_changes_nothing():
    peak = np.exp(-((R - 3) ** 2) / 0.1)
    assert broadened_in_r(R, peak, "G(r)", 200.0, "none") == pytest.approx(peak, abs=1e-4)


def test_resolution_adds_to_the_width_of_a_line():
    q = np.arange(0.0, 6.0, 0.01)
    line = np.exp(-((q - 3) ** 2) / (2 * 0.1**2))
    found = broadened_in_q(q, line, 0.1 * 2.3548)
    mean = trapezoid(found * q, q) / trapezoid(found, q)
    assert trapezoid(found, q) == pytest.approx(trapezoid(line, q), rel=1e-3)
    assert trapezoid(found * (q - mean) ** 2, q) / trapezoid(found, q) == pytest.approx(2 * 0.1**2, rel=1e-3)
    assert broadened_in_q(q, np.ones_like(q), 0.3) == pytest.approx(1)


def test_coarse_curves_are_refused():
    coarse = np.arange(0.0, 10.0, 0.2)
    with pytest.raises(InputError, match=r"must lie within 0\.157"):
        broadened_in_r(coarse, coarse, "G(r)", Q_MAX, "none")
    with pytest.raises(InputError, match="begin at zero or above"):
        broadened_in_r(coarse - 1, coarse, "G(r)", 1.0, "none")
