"""The canonical form and identity of a frame."""

import io

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from hypothesis import example, given
from hypothesis import strategies as st

from aiida_nvp.common.frame import RESOLUTION_ANGSTROM, canonical, frame_id

CELL = np.array([[5.0, 0.0, 0.0], [0.7, 6.0, 0.0], [-0.4, 0.3, 7.0]])
fractional = st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=9, max_size=9)


def frame(values):
    return Atoms("NaPO", scaled_positions=np.reshape(values, (3, 3)), cell=CELL, pbc=True)


@given(fractional)
@example([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3689618634411913, 0.8401346026792346])
def test_canonical_is_idempotent(values):
    once = canonical(frame(values))
    twice = canonical(once)
    assert (once.positions == twice.positions).all()
    assert (once.cell.array == twice.cell.array).all()


@given(fractional, st.integers(-3, 3), st.integers(-3, 3), st.integers(-3, 3))
def test_whole_cell_shifts_do_not_change_the_id(values, a, b, c):
    once = canonical(frame(values))
    shifted = once.copy()
    shifted.positions += np.array([a, b, c]) @ once.cell.array
    assert frame_id(shifted) == frame_id(once)


@given(fractional)
def test_id_survives_a_text_round_trip(values):
    atoms = canonical(frame(values))
    text = io.StringIO()
    write(text, atoms, format="extxyz")
    text.seek(0)
    assert frame_id(read(text, format="extxyz")) == frame_id(atoms)


def test_atom_on_the_upper_face_is_the_atom_on_the_lower_face():
    cell = np.diag([4.0, 4.0, 4.0])
    below = Atoms("O", positions=[[4.0 - 1e-9, 1.0, 1.0]], cell=cell, pbc=True)
    on = Atoms("O", positions=[[0.0, 1.0, 1.0]], cell=cell, pbc=True)
    assert frame_id(below) == frame_id(on)


@pytest.mark.parametrize("change", ["position", "cell", "species", "order", "pbc"])
def test_what_matters_changes_the_id(change):
    atoms = Atoms("NaPO", positions=[[0, 0, 0], [1, 1, 1], [2, 2, 2]], cell=CELL, pbc=True)
    other = atoms.copy()
    if change == "position":
        other.positions[0, 0] += 2 * RESOLUTION_ANGSTROM
    elif change == "cell":
        other.cell[0, 0] += 2 * RESOLUTION_ANGSTROM
    elif change == "species":
        other.numbers[0] = 3
    elif change == "order":
        other = other[[1, 0, 2]]
    else:
        other.pbc = (True, True, False)
    assert frame_id(other) != frame_id(atoms)


def test_momenta_and_labels_do_not_change_the_id():
    atoms = bulk("Cu", cubic=True)
    moving = atoms.copy()
    moving.set_momenta(np.ones((4, 3)))
    assert frame_id(moving) == frame_id(atoms)


def test_no_cell_is_refused():
    with pytest.raises(ValueError, match="cell with a volume"):
        frame_id(Atoms("O", positions=[[0, 0, 0]]))
