"""Frames with known answers, shared by the tests of all observables of structure."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_nvp.analysis.frame import Frame

TRICLINIC = np.array([[12.0, 0, 0], [3, 11, 0], [-2, 1, 13]])


@pytest.fixture
def gas():
    """Ideal gases: uniform positions of Na, P and O."""

    def make(seed, atoms=200, cell=TRICLINIC, species=(8, 11, 15)):
        rng = np.random.default_rng(seed)
        return Frame(rng.choice(species, atoms), rng.random((atoms, 3)) @ cell, np.asarray(cell, dtype=float))

    return make


@pytest.fixture
def frame():
    """A frame from plain lists."""

    def make(numbers, positions, cell):
        return Frame(np.asarray(numbers), np.asarray(positions, dtype=float), np.asarray(cell, dtype=float))

    return make


@pytest.fixture
def crystal():
    """A crystal of copper by the name of its lattice, repeated."""

    def make(name, a=4.0, repeat=1):
        atoms = bulk("Cu", name, a=a).repeat(repeat)
        return Frame(atoms.numbers, atoms.positions, atoms.cell.array)

    return make


@pytest.fixture
def glass():
    """The synthetic glass on which the kernels were measured: a jittered lattice of Na, V, P, O at 0.075 atoms/A^3."""

    def make(atoms=2000):
        edge, side = (atoms / 0.075) ** (1 / 3), int(np.ceil(atoms ** (1 / 3)))
        rng = np.random.default_rng(0)
        sites = np.stack(np.unravel_index(rng.permutation(side**3)[:atoms], (side,) * 3), axis=1)
        positions = (sites + 0.5 + rng.uniform(-0.28, 0.28, (atoms, 3))) * edge / side
        return Frame(rng.choice([11, 23, 15, 8], atoms, p=[0.15, 0.12, 0.15, 0.58]), positions, np.eye(3) * edge)

    return make


@pytest.fixture
def disguised():
    """The same matter seen otherwise: shifted, wrapped elsewhere, atoms in another order."""

    def make(frame, seed=0):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(frame.numbers))
        images = rng.integers(-2, 3, (len(order), 3)) @ frame.cell
        return Frame(frame.numbers[order], frame.positions[order] + images + rng.uniform(-9, 9, 3), frame.cell)

    return make
