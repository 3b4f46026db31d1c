"""G(r) and T(r) against exact shapes."""

import numpy as np
import pytest

from aiida_nvp.analysis.experiment.broadening import broadened_in_r
from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.pair_functions import as_measured, pair_functions
from aiida_nvp.analysis.structure.rdf import RadialDistribution
from aiida_nvp.analysis.structure.scattering import neutron_lengths
from aiida_nvp.common.errors import InputError


@pytest.mark.parametrize("window", ["none", "lorch"])
def test_a_sharp_distance_becomes_the_known_peak(window):
    # One neighbour at d: S - 1 = n sin(Qd) / (Qd), whose G(r) is n / d times the peak shape.
    q, r, d = np.linspace(0.01, 20, 4000), np.linspace(0.5, 6, 300), 2.0
    found = pair_functions(q, 1 + np.sinc(q * d / np.pi), r, 0.07, window)
    from aiida_nvp.analysis.experiment.broadening import peak_shape

    known = (peak_shape(r - d, 20, window) - peak_shape(r + d, 20, window)) / d
    assert found.big_g == pytest.approx(known, abs=2e-3 * known.max())
    assert found.t - found.big_g == pytest.approx(4 * np.pi * 0.07 * r)


@pytest.mark.parametrize("window", ["none", "lorch"])
def test_neutron_g_is_the_broadened_sum_of_partials(gas, window):
    frame = gas(0, cell=np.eye(3) * 16)
    numbers = np.array([15, 8] * 100)
    rng = np.random.default_rng(0)
    rdf = RadialDistribution(numbers)
    for _ in range(20):
        half = rng.random((100, 1, 3)) * 16
        bond = rng.normal(size=(100, 1, 3))
        bond *= 0.8 / np.linalg.norm(bond, axis=2, keepdims=True)
        rdf.add(Frame(numbers, np.concatenate([half - bond, half + bond], axis=1).reshape(-1, 3), frame.cell))
    result = rdf.result()
    measured = as_measured(result, numbers, "neutron", 15.0, window)
    phosphorus, oxygen = neutron_lengths([15, 8])
    # Like pairs have one atom less to find: the density that their g(r) stands for is (1 - 1/N_a) of the mean.
    like = 1 - 1 / 100
    weights = {"P-P": phosphorus**2 * like, "P-O": 2 * phosphorus * oxygen, "O-O": oxygen**2 * like}
    mixed = sum(w * (result.partials[name].g - 1) for name, w in weights.items()) / (phosphorus + oxygen) ** 2
    plain = 4 * np.pi * result.density * result.r * mixed
    expected = broadened_in_r(result.r, plain, "G(r)", 15.0, window)
    inside = result.r < 7
    assert measured.big_g[inside] == pytest.approx(expected[inside], abs=0.02 * expected.max())
    assert result.r[np.argmax(measured.big_g)] == pytest.approx(1.6, abs=0.03)


def test_bad_input_gives_a_sentence(gas):
    q = np.linspace(0.1, 20, 50)
    with pytest.raises(InputError, match=r"up to 0\.406 1/angstrom apart"):
        pair_functions(q, np.ones(50), np.linspace(1, 20, 10), 0.07)
    with pytest.raises(InputError, match="must be positive and rise"):
        pair_functions(q[::-1], np.ones(50), np.linspace(1, 2, 10), 0.07)
    rdf = RadialDistribution(gas(0).numbers, bin_width=0.2)
    rdf.add(gas(0))
    with pytest.raises(InputError, match="serves Q_max below"):
        as_measured(rdf.result(), gas(0).numbers, "neutron", 20.0)
    fine = RadialDistribution(gas(0).numbers)
    fine.add(gas(0))
    with pytest.raises(InputError, match="no table of form factors reaches 90"):
        as_measured(fine.result(), gas(0).numbers, "x-ray", 90.0)
