"""Whether forces balance, read from what a real pw.x printed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aiida_nvp.common.units import BOHR_ANGSTROM, RYDBERG_EV
from aiida_nvp.labelling.pw_forces import balance_of, force_balances

FOLDER = Path(__file__).parents[1] / "fixtures" / "pw"
TEXT = (FOLDER / "na3vo4-forces-atomic-7.2.out").read_text()
UNIT = RYDBERG_EV / BOHR_ANGSTROM


def test_the_net_force_of_each_geometry_is_the_sum_of_its_contributions():
    """The reference is added up by hand from the columns of the first block, in Ry/bohr."""
    first, second = force_balances(TEXT)
    assert first.net == pytest.approx(UNIT * np.linalg.norm([1.1634e-4, -5.625e-5, 2.4748e-4]), rel=1e-6)
    assert first.scf_correction == pytest.approx(UNIT * 0.000917, rel=1e-9)
    assert second.net == pytest.approx(UNIT * np.linalg.norm([1.78922e-3, -2.78e-6, 6.0513e-4]), rel=1e-6)
    np.testing.assert_allclose(first.forces[3], UNIT * np.array([0.03451686, -0.00001446, 0.01783935]))
    np.testing.assert_allclose(first.forces.sum(axis=0), 0, atol=1e-5)
    assert first.plain() == {"net_force": round(first.net, 6), "scf_force_correction": round(first.scf_correction, 6)}


def only_totals(text):
    """As at low verbosity: no contribution is printed."""
    lines = text.splitlines(keepends=True)
    skipped, kept = False, []
    for line in lines:
        skipped = (skipped or "contrib" in line or "correction term" in line) and "Total force" not in line
        kept += [] if skipped else [line]
    return "".join(kept)


@pytest.mark.parametrize(
    "text",
    [
        only_totals(TEXT),
        TEXT.replace("7.71992488", "7.72992488"),
        TEXT.replace("     The ionic contribution  to forces", "     The ionic contribution  to forces\n     and more"),
        TEXT.replace("atom    8 type  3   force =     0.02945962", "atom    8 type  3   force = **************"),
    ],
    ids=["low verbosity", "another sum", "a heading more", "a number that did not fit"],
)
def test_contributions_that_are_not_all_of_the_printed_forces_tell_nothing(text):
    balance = force_balances(text)[0]
    known = "and more" in text
    assert (balance.net is not None) == known
    assert balance.scf_correction is not None


def test_an_output_that_was_cut_off_in_its_forces_tells_nothing():
    cut = TEXT[: TEXT.index("The local contribution")]
    (balance,) = force_balances(cut)
    assert (balance.net, balance.scf_correction, balance.plain()) == (None, None, {})
    assert force_balances("") == []
    assert force_balances("Forces acting on atoms")[0].forces.shape == (0, 3)


def test_a_step_finds_its_own_geometry_alone():
    balances = force_balances(TEXT)
    forces = balances[0].forces
    assert balance_of(balances, 0, forces + 1e-5) is balances[0]
    assert balance_of(balances, 1, forces) is None
    assert balance_of(balances, 2, forces) is None
    assert balance_of(balances, 0, forces[:3]) is None
