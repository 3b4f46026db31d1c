import numpy as np
import pytest
from ase import Atoms

from aiida_nvp.benchmark.rehearsal import LARGEST_FORCE, Cell, Walk, label, walk
from aiida_nvp.labelling.rehearsal import RehearsalPotential

CELL = Cell({"Na2O": 1, "P2O5": 1}, 10, 2.8)


def test_a_cell_is_what_was_asked_for():
    atoms = CELL.packed(1)
    assert atoms.get_chemical_formula() == "Na2O6P2"
    grams = atoms.get_masses().sum() * 1.66053907
    assert grams / atoms.get_volume() == pytest.approx(2.8, rel=1e-6)
    assert np.array_equal(CELL.packed(1).positions, atoms.positions)
    assert not np.array_equal(CELL.packed(2).positions, atoms.positions)


def test_relaxation_lowers_the_energy():
    before, after = CELL.packed(1), CELL.relaxed(1, 20)
    before.calc = RehearsalPotential()
    assert after.get_potential_energy() < before.get_potential_energy()


def test_a_walk_is_seeded_labelled_and_leaves_its_start():
    start = CELL.relaxed(1, 20)
    positions = start.positions.copy()
    how = Walk(settle_steps=5, stride=4, frames=3)
    frames = list(walk(start, 600.0, how, 7))
    assert len(frames) == 3
    assert np.array_equal(start.positions, positions)
    again, other = list(walk(start, 600.0, how, 7)), list(walk(start, 600.0, how, 8))
    assert all(np.array_equal(one.positions, two.positions) for one, two in zip(frames, again, strict=True))
    assert not np.allclose(frames[-1].positions, other[-1].positions)
    for frame in frames:
        known = frame.get_forces()
        frame.calc = RehearsalPotential()
        np.testing.assert_allclose(known, frame.get_forces(), atol=1e-12)


def test_a_frame_of_too_large_forces_has_no_label():
    good = CELL.relaxed(1, 20)
    near = Atoms("PO", [[0, 0, 0], [0.4, 0, 0]], cell=[8] * 3, pbc=True, calculator=RehearsalPotential())
    assert np.abs(near.get_forces()).max() > LARGEST_FORCE
    found = label([near, good], [{"name": "near"}, {"name": "good"}])
    assert [entry["name"] for entry in found.info] == ["good"]
    assert found.labelled
    np.testing.assert_allclose(found.forces, good.get_forces(), atol=1e-4)
