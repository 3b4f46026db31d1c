from __future__ import annotations

import pytest
from ase.formula import Formula

from aiida_nvp.labelling.outliers import NET_FORCE, unbalanced_forces, valence_outlier

V2O4 = list(Formula("V2O4"))


@pytest.mark.parametrize(
    ("symbols", "found"),
    [
        (V2O4, {0: 4, 1: 4}),
        (V2O4, {0: 5, 1: 3}),  # disproportionated, and still balanced
        (V2O4, {0: 5, 1: None}),
        (V2O4, {0: 5}),
        (V2O4, {}),
        (["Na", "O"], {0: 3}),
        (["Na", "P"], {}),
    ],
)
def test_what_balances_or_cannot_be_judged_is_no_outlier(symbols, found):
    assert valence_outlier(symbols, found) == ""


def test_a_sum_that_does_not_balance_is_told_with_each_site():
    said = valence_outlier(V2O4, {0: 5, 1: 4})
    assert said == "oxidation states of V add up to +9, charge balance asks +8 (V0 +5, V1 +4)"


def test_sites_are_found_among_other_elements():
    symbols = list(Formula("NaVPO5"))
    assert valence_outlier(symbols, {1: 4}) == ""
    assert "(V1 +5)" in valence_outlier(symbols, {1: 5})


@pytest.mark.parametrize("net", [None, 0.0, NET_FORCE])
def test_forces_that_cancel_or_are_not_known_are_no_outlier(net):
    assert unbalanced_forces(net) == ""


def test_forces_that_do_not_cancel_are_told_with_the_limit_and_what_to_do():
    said = unbalanced_forces(0.0712)
    assert said.startswith("forces add up to 0.071 eV/angstrom before pw.x takes the sum off, above 0.05: ")
