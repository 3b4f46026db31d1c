"""Scattering lengths and form factors."""

import numpy as np
import pytest
from ase.data import atomic_numbers
from ase.utils.xrdebye import waasmaier

from aiida_nvp.analysis.structure.scattering import XRAY_Q_MAX, form_factors, neutron_lengths
from aiida_nvp.common.errors import InputError

NVPO = [23, 15, 11, 8]


def test_lengths_of_the_tables_of_sears():
    # Sears 1992, DOI 10.1080/10448639208218770: V scatters coherently by almost nothing.
    assert neutron_lengths(NVPO) == pytest.approx([-0.4, 5.13, 3.63, 5.803], abs=0.05)


def test_forward_scattering_is_by_all_electrons():
    assert form_factors(NVPO, np.zeros(1))[:, 0] == pytest.approx(NVPO, rel=2e-3)


@pytest.mark.parametrize("symbol", ["C", "N", "O", "P", "S", "Ni"])
def test_form_factors_are_those_of_waasmaier_and_kirfel(symbol):
    q = np.linspace(0, 30, 60)
    table = np.array(waasmaier[symbol])
    s2 = (q / 4 / np.pi) ** 2
    exact = table[10] + (table[0:10:2, None] * np.exp(-table[1:10:2, None] * s2)).sum(axis=0)
    assert form_factors([atomic_numbers[symbol]], q)[0] == pytest.approx(exact, rel=1e-3)


def test_ends_where_the_table_ends():
    values = form_factors(NVPO, np.array([XRAY_Q_MAX - 0.1, XRAY_Q_MAX + 0.1]))
    assert np.isfinite(values[:, 0]).all()
    assert np.isnan(values[:, 1]).all()


def test_unknown_element_gives_a_sentence():
    with pytest.raises(InputError, match="tabulated for Og"):
        neutron_lengths([118])
    with pytest.raises(InputError, match="tabulated for Og"):
        form_factors([118], np.ones(1))
