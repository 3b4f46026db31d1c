import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import PotentialDefinition, load_potential

BASE = {"name": "a-b_1", "description": "x", "species": ["Na", "O"], "cutoff": 5.0}


def write(folder, content):
    path = folder / "potential.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_file_and_folder_give_the_same_definition(tmp_path):
    path = write(tmp_path, BASE)
    assert load_potential(path) == load_potential(tmp_path) == PotentialDefinition(**BASE)


@given(st.floats(1.1, 12), st.permutations(["Na", "V", "P", "O"]), st.integers(3, 9), st.integers(0, 3))
def test_plain_form_survives_the_round_trip(cutoff, species, members, l_max):
    content = {
        **BASE,
        "cutoff": cutoff,
        "species": species,
        "committee": {"members": members},
        "allegro": {"l_max": l_max},
    }
    definition = PotentialDefinition.model_validate(content)
    assert PotentialDefinition.model_validate(definition.plain()) == definition
    assert definition.species == tuple(species)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"species": ["Na", "Xx"]}, "species: .*not chemical symbols: Xx"),
        ({"species": ["Na", "Na"]}, "species: .*each once"),
        ({"species": []}, "species"),
        ({"cutoff": 0.5}, "cutoff"),
        ({"cutof": 5.0}, "cutof: Extra inputs"),
        ({"name": "With Space"}, "name"),
        ({"training": {"stress_weight": -1}}, "training.stress_weight"),
        ({"training": {"validation_fraction": 0.5}}, "training.validation_fraction"),
        ({"training": {"patience": 0}}, "training.patience"),
        ({"training": {"patience": 5, "keep": "last"}}, "goes with `keep: best`, not with `keep: last`"),
        ({"training": {"species_forces_weights": {"V": 2.0}}}, "names V, which is not among the species .Na, O"),
        ({"training": {"species_forces_weights": {"O": 0.0}}}, "training.species_forces_weights.O"),
        ({"committee": {"members": 2}}, "committee.members: Input should be greater than or equal to 3"),
    ],
)
def test_faults_are_named_with_file_and_key(tmp_path, change, message):
    path = write(tmp_path, {**BASE, **change})
    with pytest.raises(InputError, match=message) as caught:
        load_potential(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_broken_yaml_have_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no potential definition at"):
        load_potential(tmp_path / "absent")
    with pytest.raises(InputError, match="is not YAML"):
        load_potential(write(tmp_path, "name: [unclosed"))


def test_definition_is_frozen():
    definition = PotentialDefinition(**BASE)
    with pytest.raises(ValidationError):
        definition.cutoff = 6.0
