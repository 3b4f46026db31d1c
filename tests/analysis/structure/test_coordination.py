"""Coordination of crystals and Q^n of small molecules."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk

from aiida_nvp.analysis.structure.coordination import bonding
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory


def make(positions, cell, numbers, frames=3):
    return Trajectory(
        numbers=np.asarray(numbers, dtype=np.int32),
        step=np.arange(frames),
        time_ps=np.arange(frames) * 0.1,
        positions=np.repeat(np.asarray(positions, dtype=np.float32)[None], frames, axis=0),
        cells=np.repeat(np.asarray(cell, dtype=float)[None], frames, axis=0),
        stage=np.zeros(frames, dtype=np.int32),
    )


@pytest.mark.parametrize(
    ("crystal", "cutoff", "expected"),
    [("fcc", 3.4, 12), ("fcc", 4.2, 18), ("bcc", 3.7, 8), ("bcc", 4.2, 14), ("sc", 4.2, 6), ("diamond", 2.0, 4)],
)
def test_crystals(crystal, cutoff, expected):
    atoms = bulk("Cu", crystal, a=4.0)
    found = bonding(make(atoms.positions, atoms.cell.array, atoms.numbers), {"Cu-Cu": cutoff}).coordination["Cu-Cu"]
    assert found.mean == expected
    assert found.error == 0
    assert found.shares == {expected: (1.0, 0.0)}


def _chain(length):
    """A chain of PO3 units closed at its ends by one more O: P at even, bridging O at odd places along x."""
    positions, numbers = [], []
    for unit in range(length):
        x = 3.0 * unit
        positions += [[x, 0, 0], [x, 1.5, 0], [x, -1.5, 0], [x + 1.5, 0, 0]]
        numbers += [15, 8, 8, 8]
    return [[-1.5, 0, 0], *positions], [8, *numbers]


@pytest.mark.parametrize(("length", "mean"), [(1, 0.0), (2, 1.0), (3, 4 / 3)])
def test_q_of_isolated_groups(length, mean):
    positions, numbers = _chain(length)
    bonds = bonding(make(positions, np.eye(3) * 30, numbers), {"P-O": 1.9})
    assert bonds.coordination["P-O"].shares == {4: (1.0, 0.0)}
    assert bonds.bridging["P-O"].mean == pytest.approx(mean)


def test_infinite_chain_is_q2():
    positions, numbers = _chain(4)
    bonds = bonding(make(positions[1:], np.diag([12, 20, 20]), numbers[1:]), {"P-O": 1.9, "O-P": 1.9})
    assert bonds.bridging["P-O"].shares == {2: (1.0, 0.0)}
    assert {n: share for n, (share, _) in bonds.coordination["O-P"].shares.items()} == pytest.approx(
        {1: 2 / 3, 2: 1 / 3}
    )


def test_shortest_distances_and_forbidden_pairs():
    bonds = bonding(make([[0, 0, 0], [9.5, 0, 0], [5, 5, 5]], np.eye(3) * 10, [15, 8, 11]), {"P-O": 2.0})
    assert bonds.shortest["P-O"] == pytest.approx(0.5)
    assert bonds.shortest["P-Na"] is None
    assert bonds.short_pairs == (1.0, 0.0)


@pytest.mark.parametrize("pair", ["V-O", "P", "P-O-P", "X-O", "Xx-O"])
def test_unknown_pairs(pair):
    with pytest.raises(InputError, match="not two species of the trajectory, which has O, P"):
        bonding(make([[0, 0, 0], [1, 0, 0]], np.eye(3) * 9, [15, 8]), {pair: 2.0})


def test_bad_cutoff():
    with pytest.raises(InputError, match="must be positive"):
        bonding(make([[0, 0, 0], [1, 0, 0]], np.eye(3) * 9, [15, 8]), {"P-O": 0})
