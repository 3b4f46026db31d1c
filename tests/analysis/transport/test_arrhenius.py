"""Planted activation energies."""

import numpy as np
import pytest

from aiida_nvp.analysis.transport.arrhenius import Point, arrhenius
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import BOLTZMANN_EV_K


def planted(temperature, energy=0.5, prefactor=2e-8):
    return prefactor * np.exp(-energy / (BOLTZMANN_EV_K * temperature))


def test_exact_points_give_energy_and_prefactor():
    line = arrhenius([Point(t, planted(t), 0.05 * planted(t)) for t in (600, 800, 1000, 1200)])
    assert line.activation_ev == pytest.approx(0.5, rel=1e-10)
    assert line.prefactor == pytest.approx(2e-8, rel=1e-9, abs=0)
    assert line.at(298.0).value == pytest.approx(planted(298.0), rel=1e-8, abs=0)
    assert line.chi2_reduced == pytest.approx(0, abs=1e-12)


def test_energy_and_extrapolation_lie_within_their_errors():
    rng = np.random.default_rng(0)
    temperatures = (500, 600, 700, 850, 1000)
    energies, held = [], 0
    for _ in range(300):
        values = [planted(t) * np.exp(rng.normal(scale=0.1)) for t in temperatures]
        line = arrhenius([Point(t, v, 0.1 * v) for t, v in zip(temperatures, values, strict=True)])
        energies.append((line.activation_ev - 0.5) / line.activation_error_ev)
        room = line.at(298.0)
        held += room.low < planted(298.0) < room.high
    assert abs(np.mean(energies)) < 0.2
    # Errors that are only ever widened by the scatter hold a little too often.
    assert 0.66 < held / 300 < 0.84


def test_points_of_the_melt_are_left_out_where_enough_remain():
    points = [Point(t, planted(t), 0.1 * planted(t)) for t in (500, 600, 700)]
    hot = Point(1500, 100 * planted(1500), 10 * planted(1500))
    line = arrhenius([*points, hot], glass_transition=800.0)
    assert line.activation_ev == pytest.approx(0.5)
    assert line.above_tg == (1500,)
    assert "1500 K lie above the glass transition at 800 K and are left out" in line.sentence
    few = arrhenius([points[0], hot], glass_transition=800.0)
    assert few.used == (500, 1500)
    assert few.chi2_reduced is None
    assert "tell of the melt" in few.sentence


def test_scatter_beyond_the_errors_widens_them():
    values = {500: 2.0, 700: 0.5, 900: 2.0}
    tight = arrhenius([Point(t, f * planted(t), 0.01 * planted(t)) for t, f in values.items()])
    assert tight.chi2_reduced > 100
    exact = arrhenius([Point(t, planted(t), 0.01 * planted(t)) for t in values])
    assert tight.activation_error_ev > 10 * exact.activation_error_ev


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        ([Point(500, 1.0, 0.1)], "needs two temperatures"),
        ([Point(500, 1.0, 0.1), Point(500, 2.0, 0.1)], "needs two temperatures"),
        ([Point(500, 1.0, 0.1), Point(600, -1.0, 0.1)], "at 600 K value and error must be positive"),
    ],
)
def test_bad_input(points, sentence):
    with pytest.raises(InputError, match=sentence):
        arrhenius(points)
