"""The same glass, written differently, and another glass."""

from __future__ import annotations

import pytest

from aiida_nvp.analysis.experiment.composition import difference, glass
from aiida_nvp.common.errors import InputError


def test_cation_shares_and_label():
    found = glass({"Na2O": 35, "V2O5": 25, "P2O5": 40})
    assert found.cations == pytest.approx({"Na": 0.35, "V": 0.25, "P": 0.40})
    assert found.label == "35Na2O-25V2O5-40P2O5"
    assert glass({"Na2O": 1, "SiO2": 2}).cations == pytest.approx({"Na": 0.5, "Si": 0.5})


def test_scale_and_lower_oxides_do_not_matter_but_cations_do():
    one = glass({"V2O5": 50, "P2O5": 50}, {"V": 0.35})
    assert difference(one, glass({"V2O5": 1, "P2O5": 1})) is None
    assert difference(one, glass({"VO2": 2, "P2O5": 1})) is None
    assert difference(one, glass({"V2O5": 51, "P2O5": 49})) is None
    far = difference(one, glass({"V2O5": 53, "P2O5": 47}))
    assert far == "P is 50 % of the cations here and 47 % there"
    assert "Na is 0 %" in difference(one, glass({"V2O5": 45, "P2O5": 45, "Na2O": 10}))
    assert difference(one, glass({"V2O5": 53, "P2O5": 47}), tolerance=0.05) is None


def test_reduced_shares_count_where_both_are_known():
    one = glass({"V2O5": 1}, {"V": 0.35})
    assert difference(one, glass({"V2O5": 1}, {"V": 0.38})) is None
    assert "35 % of V is reduced here and 10 % there" in difference(one, glass({"V2O5": 1}, {"V": 0.1}))


@pytest.mark.parametrize(
    ("oxides", "reduced", "sentence"),
    [
        ({"Xx2O": 1}, {}, "not a chemical formula"),
        ({"NaCl": 1}, {}, "not an oxide"),
        ({"O2": 1}, {}, "not an oxide"),
        ({"Na2O": 0}, {}, "at least one oxide"),
        ({"Na2O": -1}, {}, "greater than or equal to 0"),
        ({"V2O5": 1}, {"V": 2}, "less than or equal to 1"),
    ],
)
def test_bad_compositions_give_a_sentence(oxides, reduced, sentence):
    with pytest.raises(InputError, match=sentence):
        glass(oxides, reduced)
