import numpy as np
import pytest

from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.structures.toy import Bonds, Table, assign_bonds, energy_and_gradient, relax

SYMBOLS = ["Na", "V", "P", *["O"] * 5]


@pytest.mark.parametrize("edge", [3.0, 4.7, 9.0])
def test_gradient_is_the_derivative_of_the_energy(edge):
    rng = np.random.default_rng(0)
    cell = np.eye(3) * edge
    positions = rng.random((8, 3)) * edge
    table = Table.of(SYMBOLS, {})
    bonds = assign_bonds(positions, cell, SYMBOLS, 2.6)
    assert len(bonds.first)
    _, gradient = energy_and_gradient(positions, cell, table, bonds)
    step = 1e-6
    for atom, axis in [(0, 0), (1, 1), (2, 2), (5, 0)]:
        energies = []
        for sign in (1, -1):
            moved = positions.copy()
            moved[atom, axis] += sign * step
            energies.append(energy_and_gradient(moved, cell, table, bonds)[0])
        assert gradient[atom, axis] == pytest.approx((energies[0] - energies[1]) / (2 * step), rel=1e-5, abs=1e-5)
    assert gradient.sum(axis=0) == pytest.approx(np.zeros(3), abs=1e-9)


def test_a_lone_bond_relaxes_to_its_length():
    cell = np.eye(3) * 20.0
    positions = np.array([[0.0, 0, 0], [2.3, 0, 0]])
    bonds = assign_bonds(positions, cell, ["P", "O"], 2.0)
    relaxed, energy = relax(positions, cell, Table.of(["P", "O"], {}), bonds, 100)
    assert np.linalg.norm(relaxed[1] - relaxed[0]) == pytest.approx(1.54, abs=1e-3)
    assert energy == pytest.approx(0.0, abs=1e-4)


def test_oxygen_accepts_no_more_valence_than_it_has():
    rng = np.random.default_rng(1)
    symbols = [*["P"] * 4, *["O"] * 4]
    bonds = assign_bonds(rng.random((8, 3)) * 3.0, np.eye(3) * 12.0, symbols, 4.0)
    oxygens = np.where(bonds.first >= 4, bonds.first, bonds.second)
    assert np.bincount(oxygens, minlength=8)[4:].tolist() == [2, 2, 2, 2]


def test_no_oxygen_no_bond():
    assert len(assign_bonds(np.zeros((1, 3)), np.eye(3) * 5.0, ["P"], 2.0).first) == len(Bonds.none().first) == 0


def test_minimum_distances_are_symmetric_and_overlaps_are_seen():
    table = Table.of(["P", "O"], {"O-P": 1.45})
    assert table.floor[0, 1] == table.floor[1, 0] == 1.45
    cell = np.eye(3) * 10.0
    assert table.overlaps(find_pairs(np.array([[0.0, 0, 0], [1.44, 0, 0]]), cell, 2.0))
    assert not table.overlaps(find_pairs(np.array([[0.0, 0, 0], [1.46, 0, 0]]), cell, 2.0))
