from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from ase import Atoms

from aiida_nvp.labelling.label_state import label_state
from aiida_nvp.labelling.settings import LabelSettings

FOLDER = Path(__file__).parents[1] / "fixtures" / "pw"
SETTINGS = LabelSettings(hubbard={"projectors": "atomic", "terms": {"V": {"u_ev": 3.25}}})


def content(crystal):
    return (FOLDER / f"{crystal}-atomic-7.2.xml").read_bytes()


def symbols(xml):
    return [
        atom.get("name")[: 1 + atom.get("name")[1:].islower()]
        for atom in ET.fromstring(xml).find("output").iter("atom")
    ]


@pytest.mark.parametrize("crystal", ["na3vo4", "vopo4", "v2o5", "na2vop2o7", "navo2", "v2o3"])
def test_crystals_whose_valences_balance_are_not_flagged(crystal):
    xml = content(crystal)
    found = label_state(xml, SETTINGS, Atoms(symbols(xml)))
    assert found.info["oxidation_states"]
    assert (found.fault, found.last_fault, found.flag) == ("", "", "")


def test_a_state_that_does_not_balance_the_cell_is_flagged_and_kept():
    """The density of a V5+ crystal in a cell that lacks an oxygen: charge balance asks V3+ there."""
    found = label_state(content("na3vo4"), SETTINGS, Atoms("Na3VO3"))
    assert found.fault == ""
    assert found.flag == "oxidation states of V add up to +5, charge balance asks +3 (V3 +5)"


def test_a_shared_electron_is_undecided_and_not_flagged():
    found = label_state(content("navpo5"), SETTINGS, Atoms("NaVPO5"))
    assert found.info["oxidation_states"] == {"1": None}
    assert found.flag == ""


def test_a_run_without_the_u_that_was_asked_for_is_no_label():
    xml = (FOLDER / "na3vo4-without-u-7.2.xml").read_bytes()
    assert "ran without the U that was asked for on V" in label_state(xml, SETTINGS, Atoms("Na3VO4")).fault
