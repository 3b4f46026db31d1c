import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.common.elements import CATIONS
from aiida_nvp.common.errors import InputError
from aiida_nvp.structures.composition import Composition, compose, formula_unit


def test_cell_with_all_vanadium_reduced():
    cell = compose({"Na2O": 1, "V2O5": 1, "P2O5": 1}, {"V": 1.0}, 8)
    assert dict(cell.counts) == {"Na": 1, "V": 1, "P": 1, "O": 5}
    assert dict(cell.reduced) == {"V": 1}
    assert cell.unpaired_electrons == 1
    assert cell.charge == 0
    assert cell.symbols == ["Na", "V", "P", "O", "O", "O", "O", "O"]


@pytest.mark.parametrize(
    ("oxides", "reduced", "formula"),
    [
        ({"V2O5": 1, "P2O5": 1}, {}, "VPO5"),
        ({"V2O5": 50, "P2O5": 50}, {"V": 0.5}, "V4P4O19"),
        ({"Na2O": 35, "V2O5": 25, "P2O5": 40}, {}, "Na7V5P8O36"),
        ({"Na2O": 1 / 3, "SiO2": 2 / 3}, {}, "Na2Si2O5"),
        ({"Fe2O3": 1}, {"Fe": 1.0}, "FeO"),
        ({"Na2O": 1, "V2O5": 0}, {}, "Na2O"),
    ],
)
def test_formula_unit(oxides, reduced, formula):
    unit = formula_unit(oxides, reduced)
    assert unit.formula == formula
    assert unit.charge == 0


@given(
    na=st.integers(0, 50),
    v=st.integers(1, 50),
    p=st.integers(1, 50),
    share=st.sampled_from([0.0, 0.1, 0.25, 0.352, 0.5, 1.0]),
    times=st.integers(1, 4),
)
def test_every_cell_is_neutral_and_keeps_the_ratios(na, v, p, share, times):
    unit = formula_unit({"Na2O": na, "V2O5": v, "P2O5": p}, {"V": share})
    cell = compose({"Na2O": na, "V2O5": v, "P2O5": p}, {"V": share}, unit.n_atoms * times)
    assert cell.n_atoms == unit.n_atoms * times
    assert cell.charge == 0
    assert cell.counts["P"] * v == cell.counts["V"] * p
    assert cell.counts.get("Na", 0) * v == cell.counts["V"] * na
    assert cell.reduced["V"] == pytest.approx(share * cell.counts["V"], abs=1e-9)
    # O = x + 5y + 5z - f y, with V = 2y
    y = cell.counts["V"] / 2
    assert cell.counts["O"] == pytest.approx(y * (na / v + 5 + 5 * p / v - share))
    assert math.gcd(*unit.counts.values(), *unit.reduced.values()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (({"Na2O": 1, "V2O5": 1, "P2O5": 1}, {"V": 1.0}, 13), "nearest: 8, 16, 24 atoms"),
        (({"Na2O": 1, "V2O5": 1, "P2O5": 1}, {"V": 1.0}, 27), "nearest: 24, 32, 40 atoms"),
        (({"VO2": 1}, {}, 6), "not neutral with V at \\+5"),
        (({"Na": 1}, {}, 6), "not an oxide"),
        (({"no formula!": 1}, {}, 6), "not a chemical formula"),
        (({"XeO3": 1}, {}, 4), "no oxide of `Xe`"),
        (({}, {}, 4), "at least one oxide"),
        (({"V2O5": -1}, {}, 7), "moles of V2O5"),
        (({"V2O5": 1}, {"V": 1.5}, 7), "0 to 1"),
        (({"V2O5": 1}, {"Fe": 0.5}, 7), "do not hold"),
        (({"Na2O": 1}, {"Na": 0.5}, 3), "no reduced state"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(arguments, words):
    with pytest.raises(InputError, match=words):
        compose(*arguments)


def test_charged_cell_is_refused():
    with pytest.raises(InputError, match=r"charge of \+1"):
        Composition({"Na": 1, "P": 1, "V": 1, "O": 5})


def test_densities_invert_each_other_and_match_a_measured_glass():
    cell = compose({"V2O5": 1, "P2O5": 1}, {}, 14)
    # 50 V2O5 - 50 P2O5: 2.82 g/cm3 is 0.0735 atoms per cubic angstrom
    assert cell.number_density(2.82) == pytest.approx(0.0735, abs=1e-4)
    assert cell.mass_density(cell.volume(2.82)) == pytest.approx(2.82, rel=1e-12)


def test_reduced_states_lie_one_electron_below():
    for element in CATIONS.values():
        assert element.reduced in (None, element.charge - 1)
