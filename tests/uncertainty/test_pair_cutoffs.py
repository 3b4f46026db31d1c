"""A model that looks less far for some pairs: our way to its forces and that of nequip's own calculator are one."""

import json

import numpy as np
import pytest
from ase.build import make_supercell
from nequip.integrations.ase import NequIPCalculator

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.uncertainty.committee import AllegroMember, Committee, pair_reach

pytestmark = pytest.mark.slow

PAIRS = {"O-O": 3.0, "Na-V": 2.5, "P-O": 2.8}
"""As in the fixture."""


def test_the_model_has_the_cutoffs_of_the_definition(pair_package):
    member = AllegroMember(pair_package)
    reach = pair_reach(member.model)
    sodium, vanadium, phosphorus, oxygen = (member.types.index(symbol) for symbol in ("Na", "V", "P", "O"))
    assert reach[oxygen, oxygen] == pytest.approx(3.0)
    assert reach[sodium, vanadium] == reach[vanadium, sodium] == pytest.approx(2.5)
    assert reach[phosphorus, oxygen] == pytest.approx(2.8)
    assert reach[sodium, oxygen] == member.cutoff == 4.0


def test_forces_energy_and_stress_are_those_of_nequip(pair_package, morse_frames):
    member = AllegroMember(pair_package)
    atoms = make_supercell(morse_frames(1).atoms(0), np.diag([2, 1, 1]))
    ours = Committee([member], member.cutoff, member.types).drive(FrameSet.from_atoms([atoms]))
    atoms.calc = NequIPCalculator._from_saved_model(str(pair_package), chemical_species_to_atom_type_map=True)
    np.testing.assert_allclose(ours.forces[0], atoms.get_forces(), atol=1e-5)
    np.testing.assert_allclose(ours.energy[0, 0], atoms.get_potential_energy(), rtol=1e-6)
    np.testing.assert_allclose(ours.stress[0, 0], atoms.get_stress(voigt=False), atol=1e-6)


def test_features_change_with_positions_as_their_jacobian_says(pair_package, morse_frames):
    member = AllegroMember(pair_package)
    committee = Committee([member], member.cutoff, member.types)
    atoms, step = morse_frames(1).atoms(0), 1e-3
    there, back = atoms.copy(), atoms.copy()
    there.positions[0, 1] += step
    back.positions[0, 1] -= step
    both = committee.drive(FrameSet.from_atoms([there, back])).features.reshape(2, len(atoms), -1).sum(axis=1)
    slope = -committee.jacobian(FrameSet.from_atoms([atoms]))[0, 1]
    np.testing.assert_allclose((both[0] - both[1]) / (2 * step), slope, atol=2e-3 * np.abs(slope).max() + 1e-4)


def test_a_warm_start_keeps_the_cutoffs_of_pairs(pair_package, tmp_path, tiny_definition, train_outside):
    (tmp_path / "frames.npz").write_bytes((pair_package.parent / "frames.npz").read_bytes())
    (tmp_path / "parent.nequip.zip").write_bytes(pair_package.read_bytes())
    (tmp_path / "input.json").write_text(json.dumps({"definition": tiny_definition.plain(), "seed": 2}))
    assert train_outside(tmp_path) != 0
    assert "other cutoffs of pairs" in json.loads((tmp_path / "error.json").read_text())["message"]
    definition = {**tiny_definition.plain(), "pair_cutoffs": PAIRS}
    (tmp_path / "input.json").write_text(json.dumps({"definition": definition, "seed": 2}))
    assert train_outside(tmp_path) == 0
    after = pair_reach(AllegroMember(tmp_path / "potential.nequip.zip").model)
    np.testing.assert_allclose(after, pair_reach(AllegroMember(pair_package).model))


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"O-O": 4.5}, "not above the cutoff of 4 angstrom"),
        ({"O-O": 0.5}, "has to lie above 1"),
        ({"Si-O": 3.0}, "names Si-O, but the species are Na, V, P, O"),
        ({"P-O": 3.0, "O-P": 3.0}, "twice, once in each direction"),
        ({"oxygen": 3.0}, "no pair of elements"),
    ],
)
def test_cutoffs_that_make_no_sense_are_refused(tiny_definition, pairs, words):
    with pytest.raises(ValueError, match=words):
        PotentialDefinition.model_validate({**tiny_definition.plain(), "pair_cutoffs": pairs})
