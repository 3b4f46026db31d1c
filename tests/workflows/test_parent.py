"""The parent of a campaign: found by label or UUID, refused in one sentence where it does not fit."""

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_nvp.calculations.import_potential import import_potential
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.package import read_architecture
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.workflows.parent import find_parent, refuse_parent

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]


@pytest.fixture
def take_in(tiny_committee):
    """Return a function that imports a package under a label."""

    def _take_in(label="foundation", member=0):
        file = orm.SinglefileData(tiny_committee[member])
        made, node = import_potential.run_get_node(file=file, statement=orm.Dict({"trusted": True}))
        assert node.is_finished_ok, node.exit_message
        made.label = label
        return made

    return _take_in


def test_a_parent_is_found_by_label_uuid_and_pk(take_in):
    node = take_in()
    assert {find_parent(name).uuid for name in ("foundation", node.uuid, str(node.pk))} == {node.uuid}


def test_what_is_not_one_potential_is_refused(take_in):
    with pytest.raises(InputError, match="no single potential `nothing` in this profile"):
        find_parent("nothing")
    with pytest.raises(InputError, match="is a Int, not a potential"):
        find_parent(orm.Int(1).store().uuid)
    both = take_in(), take_in(member=1)
    with pytest.raises(InputError, match="2 potentials carry the label `foundation`; give the UUID") as refused:
        find_parent("foundation")
    assert all(node.uuid in str(refused.value) for node in both)


def test_a_package_tells_its_architecture(tiny_committee, tiny_definition):
    assert read_architecture(tiny_committee[0]) == tiny_definition.allegro.model_dump()


def test_a_parent_that_fits_is_taken(take_in, tiny_definition):
    refuse_parent(take_in(), tiny_definition)
    fewer = tiny_definition.model_copy(update={"species": ("O", "P")})
    refuse_parent(take_in("again"), fewer)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"species": ("Na", "Si", "O")}, "knows Na, V, P, O but not Si, which `tiny-test` names"),
        ({"cutoff": 5.0}, "has a cutoff of 4 angstrom but `tiny-test` names 5"),
        ({"num_layers": 2, "readout_width": 16}, r"\(num_layers 1 instead of 2, readout_width 8 instead of 16\)"),
    ],
)
def test_a_parent_that_does_not_fit_is_refused(take_in, tiny_definition, change, words):
    inner = set(change) <= set(tiny_definition.allegro.model_dump())
    allegro = tiny_definition.allegro.model_copy(update=change)
    wanted = tiny_definition.model_copy(update={"allegro": allegro} if inner else change)
    with pytest.raises(InputError, match=words):
        refuse_parent(take_in(), wanted)


def test_a_foreign_parent_tells_its_cutoffs_of_pairs(pair_package, tiny_definition):
    parent = PotentialData(pair_package, types=tiny_definition.species, cutoff=tiny_definition.cutoff, seed=None)
    known = {"O-O": 3.0, "V-Na": 2.5, "O-P": 2.8}
    refuse_parent(parent, tiny_definition.model_copy(update={"pair_cutoffs": known}))
    refuse_parent(parent, tiny_definition.model_copy(update={"pair_cutoffs": known | {"V-O": 4.0}}))
    for other in ({}, {"O-O": 3.0}, known | {"V-O": 3.0}):
        with pytest.raises(InputError, match=r"pair_cutoffs .* instead of"):
            refuse_parent(parent, tiny_definition.model_copy(update={"pair_cutoffs": other}))


def test_a_parent_without_cutoffs_of_pairs_gets_none(take_in, tiny_definition):
    with pytest.raises(InputError, match=r"pair_cutoffs {} instead of"):
        refuse_parent(take_in(), tiny_definition.model_copy(update={"pair_cutoffs": {"P-O": 3.0}}))


def test_a_pair_may_be_named_either_way_round(tiny_committee, tiny_definition):
    def definition(pair, cutoff):
        return tiny_definition.model_copy(update={"pair_cutoffs": {pair: cutoff}})

    training = orm.CalcFunctionNode()
    stated = orm.Dict(definition("P-O", 3.0).plain()).store()
    training.base.links.add_incoming(stated, LinkType.INPUT_CALC, "definition")
    training.store()
    parent = PotentialData(tiny_committee[0], types=tiny_definition.species, cutoff=tiny_definition.cutoff, seed=1)
    parent.base.links.add_incoming(training, LinkType.CREATE, "potential")
    parent.store()
    refuse_parent(parent, definition("O-P", 3.0))
    with pytest.raises(InputError, match="pair_cutoffs"):
        refuse_parent(parent, definition("O-P", 3.5))


def test_a_package_that_is_none_says_no_architecture(tiny_committee, tmp_path):
    broken = tmp_path / "potential.nequip.zip"
    broken.write_bytes(tiny_committee[0].read_bytes()[:1000])
    with pytest.raises(InputError, match="damaged"):
        read_architecture(broken)
