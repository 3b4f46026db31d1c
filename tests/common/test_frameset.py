"""Ragged sets of frames and their files."""

import io
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import canonical
from aiida_nvp.common.frameset import FrameSet, concatenate


def labelled(atoms):
    atoms = canonical(atoms)
    atoms.calc = EMT()
    return atoms


@pytest.fixture
def frames():
    copper = bulk("Cu", cubic=True)
    copper.rattle(0.1, seed=1)
    gold = bulk("Au") * (1, 1, 2)
    gold.rattle(0.1, seed=2)
    return [copper, gold]


@pytest.fixture
def labels(frames):
    return FrameSet.from_atoms([labelled(a) for a in frames], level_of_theory="emt", info=[{"n": 0}, {"n": 1}])


def test_labels_come_back_with_units_and_sign(frames, labels):
    for atoms, stored in zip(frames, labels, strict=True):
        reference = labelled(Atoms(stored.numbers, stored.positions, cell=stored.cell, pbc=True))
        assert stored.get_potential_energy() == pytest.approx(reference.get_potential_energy(), rel=1e-6)
        np.testing.assert_allclose(stored.get_forces(), reference.get_forces(), atol=1e-4)
        np.testing.assert_allclose(stored.get_stress(), reference.get_stress(), atol=1e-6)
        assert len(stored) == len(atoms)


def test_equal_sets_have_equal_bytes(labels):
    again = FrameSet.load(io.BytesIO(labels.to_bytes()))
    assert again.to_bytes() == labels.to_bytes()
    assert again.content_hash == labels.content_hash
    assert again.info == labels.info


def test_any_change_of_a_label_changes_the_hash(labels):
    changed = replace(labels, energy=labels.energy + np.array([0.0, 1e-9]))
    assert changed.content_hash != labels.content_hash


def test_subset_and_concatenate_are_inverse(labels):
    parts = [labels.subset([0]), labels.subset([1])]
    assert concatenate(parts).content_hash == labels.content_hash
    assert concatenate([parts[1], parts[0]]).subset([1, 0]).content_hash == labels.content_hash


def test_mixed_levels_are_refused(labels):
    other = replace(labels, level_of_theory="other")
    with pytest.raises(InputError, match="different levels of theory"):
        concatenate([labels, other])
    with pytest.raises(InputError, match="different levels of theory"):
        concatenate([labels, labels.without_labels()])


def test_labels_that_are_missing_are_named(frames):
    with pytest.raises(InputError, match="frame 1 has no energy"):
        FrameSet.from_atoms([labelled(frames[0]), frames[1]], level_of_theory="emt")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("positions", np.zeros((3, 3)), "`positions` has shape"),
        ("offsets", np.array([0, 6, 4]), "must rise"),
        ("forces", None, "come together"),
        ("level_of_theory", None, "level of theory"),
        ("energy", np.array([1.0, np.nan]), "not finite"),
    ],
)
def test_broken_sets_are_refused(labels, field, value, message):
    with pytest.raises(InputError, match=message):
        replace(labels, **{field: value})


def test_damaged_file_is_one_sentence(labels, tmp_path):
    path = tmp_path / "frames.npz"
    labels.save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match="not a readable frame set"):
        FrameSet.load(path)


def test_empty_set_round_trips():
    empty = FrameSet.from_atoms([])
    assert len(FrameSet.load(io.BytesIO(empty.to_bytes()))) == 0
    assert concatenate([empty, empty]).content_hash == empty.content_hash
