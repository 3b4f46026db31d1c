"""Red flags that are there, and such that only look like it."""

import numpy as np
import pytest

from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.flags import Flags
from aiida_nvp.common.errors import InputError


def look(frame, lengths=None, **options):
    rules = BondRules(frame.numbers, lengths or {"P-O": 1.9, "V-O": 2.2}, formers=["P", "V"])
    flags = Flags(rules, **options)
    flags.add(Environment.of(frame, rules, flags.reach))
    return flags.result()


def test_bonds_between_formers_and_between_oxygen(frame):
    one = frame(
        [15, 15, 23, 15, 8, 8],
        [[1, 1, 1], [3.2, 1, 1], [9, 9, 9], [9, 9, 11.5], [1, 6, 6], [1, 7.4, 6]],
        np.eye(3) * 16,
    )  # fmt: skip
    found = look(one)
    assert {name: number.mean for name, number in found.wrong_bonds.items()} == {
        "V-V": 0, "V-P": 1, "P-P": 1, "O-O": 1,
    }  # fmt: skip
    assert found.limits["P-P"] == pytest.approx(2.354)


def test_a_bond_through_the_face_counts_and_formers_with_a_shared_ligand_do_not(frame):
    through = frame([15, 15, 23, 8], [[0.5, 5, 5], [11.0, 5, 5], [5, 1, 1], [5, 8, 8]], np.eye(3) * 12)
    assert look(through).wrong_bonds["P-P"].mean == 1
    # V-V of 2.8 across a shared edge is near, but no bond.
    edge = frame([23, 23, 8, 8, 15], [[2, 5, 5], [4.8, 5, 5], [3.4, 6.3, 5], [3.4, 3.7, 5], [9, 9, 9]], np.eye(3) * 12)
    assert look(edge).wrong_bonds["V-V"].mean == 0
    apart = frame([23, 23, 8, 8, 15], [[2, 5, 5], [4.8, 5, 5], [3.4, 9, 5], [3.4, 1, 5], [9, 9, 9]], np.eye(3) * 12)
    assert look(apart).wrong_bonds["V-V"].mean == 1


def test_tetrahedra_that_share_an_edge(frame):
    # Two P on x, two O between them, two more O on the outside of each.
    shared = [[0, 1.2, 0], [0, -1.2, 0]]
    outer = [[2.0, 0, 1.2], [2.0, 0, -1.2], [-2.0, 0, 1.2], [-2.0, 0, -1.2]]
    positions = np.array([[1.1, 0, 0], [-1.1, 0, 0], *shared, *outer, [6, 6, 6]]) + 5
    one = frame([15, 15] + [8] * 6 + [23], positions, np.eye(3) * 16)
    found = look(one)
    assert {name: number.mean for name, number in found.edge_sharing_tetrahedra.items()} == {
        "V-O-V": 0, "V-O-P": 0, "P-O-P": 1,
    }  # fmt: skip
    # With one more ligand one of them is no tetrahedron.
    fivefold = frame([15, 15] + [8] * 7 + [23], [*positions[:-1], [7.6, 5, 5], positions[-1]], np.eye(3) * 16)
    assert look(fivefold).edge_sharing_tetrahedra["P-O-P"].mean == 0


def test_own_limits(frame, gas):
    one = frame([15, 15, 23, 8], [[1, 1, 1], [4, 1, 1], [9, 9, 9], [5, 5, 5]], np.eye(3) * 12)
    assert look(one, limits={"P-P": 3.1}).wrong_bonds["P-P"].mean == 1
    assert list(look(one, limits={}).wrong_bonds) == []
    with pytest.raises(InputError, match="wrong bond of P-P must be positive"):
        look(one, limits={"P-P": 0})
    # A pair that is said to bond is none of the wrong ones.
    assert "P-P" not in look(one, {"P-O": 1.9, "V-O": 2.2, "P-P": 2.3}).wrong_bonds
