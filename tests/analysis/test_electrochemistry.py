"""Capacities that are in every textbook, and voltages of energies made up for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.analysis.electrochemistry import (
    Energies,
    Redox,
    average_voltage,
    capacity_mah_g,
    electrons_per_redox,
    mean_valence,
    theoretical_capacity,
)
from aiida_nvp.common.errors import InputError

NASICON = {"Na": 3, "V": 2, "P": 3, "O": 12}
NAVOPO4 = {"Na": 1, "V": 1, "P": 1, "O": 5}
KAKENHI = {"Na": 90, "V": 90, "P": 20, "O": 45 + 225 + 50}


def test_na3v2po43_two_sodium():
    found = theoretical_capacity(NASICON, Redox(highest=4))
    assert found.valence == pytest.approx(3)
    assert found.removable == pytest.approx(1)
    assert found.removable_mah_g == pytest.approx(117.6, abs=0.05)
    assert found.limited_by == "V4+"
    assert found.insertable == pytest.approx(0)
    further = theoretical_capacity(NASICON)
    assert further.removable == pytest.approx(1.5)
    assert further.limited_by == "Na in the glass"
    assert further.removable_mah_g == pytest.approx(1.5 * 117.61, abs=0.05)


def test_navopo4_and_vopo4():
    found = theoretical_capacity(NAVOPO4)
    assert found.valence == pytest.approx(4)
    assert found.removable_mah_g == pytest.approx(144.9, abs=0.1)
    assert found.insertable_mah_g == pytest.approx(found.removable_mah_g)
    assert found.reversible_mah_g == pytest.approx(2 * found.per_electron_mah_g)
    empty = theoretical_capacity({"V": 1, "P": 1, "O": 5})
    assert (empty.valence, empty.removable) == (pytest.approx(5), 0)
    assert empty.insertable_mah_g == pytest.approx(2 * 26801.48 / 161.9, rel=1e-3)


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"V": 100, "P": 100, "O": 500}, 165.5),
        ({"V": 100, "P": 100, "O": 500 - 17.6}, 168.5),
        ({"Na": 70, "V": 50, "P": 80, "O": 35 + 125 + 200}, 108.1),
        (KAKENHI, 194.6),
    ],
)
def test_one_electron_for_each_vanadium_of_the_glasses(counts, expected):
    assert theoretical_capacity(counts).per_electron_mah_g == pytest.approx(expected, abs=0.06)


def test_measured_capacity_in_electrons():
    assert electrons_per_redox(258, KAKENHI) == pytest.approx(1.33, abs=0.005)
    assert mean_valence({"V": 100, "P": 100, "O": 500 - 17.6}, "V") == pytest.approx(5 - 0.352)
    assert capacity_mah_g(1, 22.98976928) == pytest.approx(1165.8, abs=0.1)


@given(scale=st.floats(0.01, 1e4), sodium=st.floats(0, 3))
def test_capacity_does_not_depend_on_the_size_of_the_formula(scale, sodium):
    counts = {"Na": sodium, "V": 2.0, "P": 1.0, "O": 0.5 * sodium + 4.2 + 2.5}
    one = theoretical_capacity(counts)
    other = theoretical_capacity({symbol: number * scale for symbol, number in counts.items()})
    assert one.valence == pytest.approx(4.2)
    assert other.reversible_mah_g == pytest.approx(one.reversible_mah_g)
    assert one.removable <= min(0.8, sodium / 2) + 1e-9


def test_voltage_is_what_the_energies_were_made_of():
    """Hosts of 2 V at -50 eV; each Na binds with 3.4 eV and brings the energy of its metal."""
    metal = -1.3
    low = Energies({"Na": 1, "V": 2, "P": 3, "O": 12}, [-50.0 - 1 * (3.4 - metal)])
    high = Energies({"Na": 6, "V": 4, "P": 6, "O": 24}, [2 * (-50.0 - 3 * (3.4 - metal))])
    found = average_voltage(low, high, metal)
    assert found.volts == pytest.approx(3.4)
    assert (found.low, found.high) == (0.5, 1.5)
    assert found.error is None
    assert any("one structure" in caveat for caveat in found.caveats)
    assert any("entropy" in caveat for caveat in found.caveats)


def test_error_of_a_voltage_is_the_scatter_of_the_structures():
    generator = np.random.default_rng(0)
    host = {"V": 4, "P": 4, "O": 20}

    def draw():
        return average_voltage(
            Energies(host, generator.normal(-200, 0.4, size=6)),
            Energies({**host, "Na": 4}, generator.normal(-218, 0.4, size=6)),
            -1.3,
        )

    draws = [draw() for _ in range(400)]
    assert np.mean([each.volts for each in draws]) == pytest.approx(18 / 4 - 1.3, abs=0.02)
    rms = np.sqrt(np.mean([each.error**2 for each in draws]))
    assert rms == pytest.approx(np.std([each.volts for each in draws]), rel=0.1)
    assert not any("one structure" in caveat for caveat in draws[0].caveats)


def test_host_without_the_redox_element():
    found = average_voltage(Energies({"Ti": 1, "O": 2}, [-10.0]), Energies({"Na": 1, "Ti": 1, "O": 2}, [-13.0]), -1.0)
    assert found.volts == pytest.approx(2.0)
    assert found.high == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda: mean_valence({"P": 1, "O": 2}, "V"), "no V in P1O2"),
        (lambda: mean_valence({"V": 1, "O": 5}, "V"), r"\+10 in V1O5; 0 to \+5"),
        (lambda: mean_valence({"V": 1, "O": 1, "Xe": 1}, "V"), "no oxide of `Xe`"),
        (lambda: theoretical_capacity({"V": 2, "O": 2}), r"\+2 in V2O2, outside of 3 to 5"),
        (lambda: Redox(lowest=5, highest=3), "cannot go from 5 up to 3"),
        (lambda: capacity_mah_g(1, 0), "must be positive"),
        (lambda: electrons_per_redox(1, {"P": 1}), "no V in P1"),
        (lambda: electrons_per_redox(1, {"V": 1, "Qq": 1}), "'Qq' is no element"),
        (lambda: Energies({"V": 1}, []), "at least one energy"),
        (lambda: Energies({"V": 1}, [np.nan]), "all of them finite"),
        (
            lambda: average_voltage(Energies({"V": 1}, [0.0]), Energies({"V": 1, "P": 1, "Na": 1}, [0.0]), 0.0),
            "differ in more than Na",
        ),
        (
            lambda: average_voltage(Energies({"V": 1, "Na": 1}, [0.0]), Energies({"V": 1}, [0.0]), 0.0),
            "must hold more Na",
        ),
        (lambda: average_voltage(Energies({"Na": 1}, [0.0]), Energies({"Na": 2}, [0.0]), 0.0), "only mobile ions"),
        (
            lambda: average_voltage(Energies({"V": 1}, [0.0]), Energies({"V": 1, "Na": 1}, [0.0]), np.inf),
            "energy of Na metal",
        ),
    ],
)
def test_bad_input_gives_a_sentence(act, sentence):
    with pytest.raises(InputError, match=sentence):
        act()
