"""Frames as structures: kinds by valence, Hubbard terms on every atom of an element."""

import numpy as np
import pytest
from aiida_quantumespresso.data.hubbard_structure import HubbardStructureData
from aiida_quantumespresso.utils.hubbard import HubbardUtils

from aiida_nvp.calculations.structure import to_structure
from aiida_nvp.common.frame import canonical, frame_id
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.packing import pack

pytestmark = pytest.mark.usefixtures("aiida_profile")


@pytest.fixture(scope="module")
def mixed():
    """Half of the vanadium V5+, half V4+."""
    oxides = {"Na2O": 1, "V2O5": 1, "P2O5": 1}
    return canonical(pack(compose(oxides, {"V": 0.5}, 33), 2.9, seed=3))


def test_without_settings_an_element_is_a_kind(mixed):
    structure = to_structure(mixed)
    assert sorted(structure.get_kind_names()) == ["Na", "O", "P", "V"]
    assert frame_id(structure.get_ase()) == frame_id(mixed)


def test_valences_are_kinds_of_their_own_and_the_order_stays(mixed):
    structure = to_structure(mixed, LabelSettings(start="valence"))
    names = [site.kind_name for site in structure.sites]
    assert sorted(set(names)) == ["Na", "O", "P", "V4", "V5"]
    assert names.count("V4") == names.count("V5") == 2
    assert [structure.get_kind(name).symbol for name in names] == mixed.get_chemical_symbols()
    assert frame_id(structure.get_ase()) == frame_id(mixed)


@pytest.mark.parametrize(("start", "kinds"), [("species", ["V"]), ("valence", ["V4", "V5"])])
def test_every_vanadium_has_the_same_u(mixed, start, kinds):
    settings = LabelSettings(start=start, hubbard={"projectors": "atomic", "terms": {"V": {"u_ev": 3.25}}})
    structure = to_structure(mixed, settings)
    assert isinstance(structure, HubbardStructureData)
    card = HubbardUtils(structure).get_hubbard_card().split("\n")
    assert card[0].split() == ["HUBBARD", "atomic"]
    assert sorted(line.split() for line in card[1:] if line.strip()) == [["U", f"{kind}-3d", "3.25"] for kind in kinds]
    np.testing.assert_array_equal([site.position for site in structure.sites], mixed.positions)


def test_a_cell_without_the_element_needs_no_terms():
    sodium = canonical(pack(compose({"Na2O": 1, "P2O5": 1}, {}, 10), 2.6, seed=1))
    structure = to_structure(sodium, LabelSettings(hubbard={"terms": {"V": {"u_ev": 3.25}}}))
    assert not isinstance(structure, HubbardStructureData)
