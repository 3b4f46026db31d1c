"""Agreement factors with known answers."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.experiment.agreement import calculated, compare
from aiida_nvp.analysis.experiment.broadening import broadened_in_q, broadened_in_r
from aiida_nvp.analysis.experiment.composition import glass
from aiida_nvp.analysis.experiment.measured import Curve, Metadata
from aiida_nvp.common.errors import InputError

X = np.arange(0.0, 10.0, 0.02)
Y = 0.9 * X + 2 * np.exp(-((X - 1.6) ** 2) / 0.02)


def _measured(x=X, y=Y, error=None, **about):
    values = {
        "quantity": "T(r)",
        "technique": "neutron diffraction",
        "composition": glass({"V2O5": 50, "P2O5": 50}),
        "x_unit": "angstrom",
        "y_unit": "1/angstrom^2",
        "source": "made up",
        **about,
    }
    return Curve(Metadata(**values), x, y, error)


def test_a_curve_agrees_with_itself():
    found = compare(_measured(), calculated(X, Y))
    assert found.r_chi_percent == pytest.approx(0, abs=1e-12)
    assert (found.points, found.x_min, found.x_max) == (len(X), X[0], X[-1])
    assert found.chi2 is None
    assert "none, for the measurement states no resolution" in found.sentence


@pytest.mark.parametrize("scale", [0.97, 1.1])
def test_a_scaled_curve_is_off_by_its_scale(scale):
    found = compare(_measured(), calculated(X, scale * Y, 0.001 * np.ones_like(X)))
    assert found.r_chi_percent == pytest.approx(100 * abs(1 - scale))
    assert 0 < found.r_chi_error < 0.1


def test_error_of_the_factor_is_its_scatter():
    generator = np.random.default_rng(0)
    sigma = np.full_like(X, 0.05)
    factors = [
        compare(_measured(), calculated(X, 1.1 * Y + generator.normal(scale=0.05, size=len(X)))).r_chi_percent
        for _ in range(300)
    ]
    assert compare(_measured(), calculated(X, 1.1 * Y, sigma)).r_chi_error == pytest.approx(np.std(factors), rel=0.15)


def test_chi_squared_is_one_for_errors_as_stated():
    generator = np.random.default_rng(1)
    noisy = Y + generator.normal(scale=0.1, size=len(X))
    found = compare(_measured(y=noisy, error=np.full_like(X, 0.1)), calculated(X, Y))
    assert found.chi2 == pytest.approx(1, abs=4 * np.sqrt(2 / len(X)))
    both = compare(_measured(y=noisy, error=np.full_like(X, 0.1)), calculated(X, Y, np.full_like(X, 0.1)))
    assert both.chi2 == pytest.approx(found.chi2 / 2)


def test_the_calculated_curve_is_seen_through_the_instrument():
    seen = broadened_in_r(X, Y, "T(r)", 25.0, "lorch")
    through = compare(_measured(y=seen, q_max=25.0, window="lorch"), calculated(X, Y))
    assert through.r_chi_percent == pytest.approx(0, abs=1e-9)
    assert through.broadening == "Q_max = 25 1/angstrom with the Lorch window"
    raw = compare(_measured(y=seen, q_max=25.0, window="lorch"), calculated(X, Y), broaden=False)
    assert raw.r_chi_percent > 0.5
    about = {"quantity": "S(Q)", "x_unit": "1/angstrom", "y_unit": "1", "resolution": 0.2}
    line = np.exp(-((X - 3) ** 2) / 0.05)
    sharp = compare(_measured(y=broadened_in_q(X, line, 0.2), **about), calculated(X, line))
    assert sharp.r_chi_percent == pytest.approx(0, abs=1e-9)
    assert "0.2 1/angstrom wide" in sharp.broadening


def test_the_range_is_what_both_cover_and_is_stated():
    ours = calculated(X[50:400] + 0.005, Y[50:400])
    found = compare(_measured(), ours)
    assert ours.x[0] <= found.x_min < ours.x[0] + 0.02
    assert ours.x[-1] - 0.02 < found.x_max <= ours.x[-1]
    narrow = compare(_measured(), ours, within=(2.0, 3.0))
    assert (narrow.x_min, narrow.x_max) == pytest.approx((2.0, 3.0), abs=0.021)
    assert "from 2 to 3 angstrom" in narrow.sentence


def test_what_cannot_be_compared_gives_a_sentence():
    with pytest.raises(InputError, match="0 measured points"):
        compare(_measured(), calculated(X + 20, Y))
    with pytest.raises(InputError, match="zero everywhere"):
        compare(_measured(y=np.zeros_like(X)), calculated(X, Y))
    with pytest.raises(InputError, match="columns of one length"):
        calculated([1, 2], [1])
    with pytest.raises(InputError, match="rising x"):
        calculated([2, 1], [1, 2])
