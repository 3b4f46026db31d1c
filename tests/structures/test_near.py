import numpy as np
import pytest

from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.structures.near import SKIN, NearPairs
from aiida_nvp.structures.toy import Bonds, Table, assign_bonds, energy_and_gradient

SYMBOLS = ["Na", "V", "P", *["O"] * 5] * 60
EDGE = 19.0
TABLE = Table.of(SYMBOLS, {})


def _expected(positions):
    pairs = find_pairs(positions, np.eye(3) * EDGE, float(TABLE.contact.max()), half=True)
    touch = pairs.distance < TABLE.contact[TABLE.kinds[pairs.first], TABLE.kinds[pairs.second]]
    return sorted(zip(*np.sort([pairs.first[touch], pairs.second[touch]], axis=0), strict=True))


def test_kept_pairs_are_those_of_a_fresh_search_however_far_the_atoms_go():
    rng = np.random.default_rng(0)
    positions = rng.random((len(SYMBOLS), 3)) * 3 * EDGE - EDGE
    near = NearPairs(EDGE, TABLE.kinds, TABLE.contact)
    for _ in range(12):
        first, second, apart, contact = near.touching(positions)
        assert sorted(zip(*np.sort([first, second], axis=0), strict=True)) == _expected(positions)
        assert (np.linalg.norm(apart, axis=1) < contact).all()
        positions = positions + rng.normal(0, 0.1 * SKIN, positions.shape)


@pytest.mark.parametrize("bonded", [False, True])
def test_energy_and_gradient_are_the_same_with_kept_pairs(bonded):
    rng = np.random.default_rng(1)
    positions, cell = rng.random((len(SYMBOLS), 3)) * EDGE, np.eye(3) * EDGE
    bonds = assign_bonds(positions, cell, SYMBOLS, 2.0) if bonded else Bonds.none()
    near = NearPairs(EDGE, TABLE.kinds, TABLE.contact)
    energy, gradient = energy_and_gradient(positions, cell, TABLE, bonds)
    kept, kept_gradient = energy_and_gradient(positions, cell, TABLE, bonds, near)
    assert kept == pytest.approx(energy, rel=1e-12)
    assert kept_gradient == pytest.approx(gradient, abs=1e-9)
