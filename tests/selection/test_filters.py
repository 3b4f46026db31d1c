import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.selection.filters import shortest_distances, too_close


def dimer(distance, edge=10.0):
    return Atoms("PO", positions=[[0.1, 0, 0], [0.1 + distance, 0, 0]], cell=[edge] * 3, pbc=True)


def test_threshold_lies_at_the_scaled_radii():
    limit = 0.6 * (covalent_radii[15] + covalent_radii[8])
    frames = FrameSet.from_atoms([dimer(limit - 1e-3), dimer(limit + 1e-3)])
    assert too_close(frames, 0.6).tolist() == [True, False]


def test_images_count():
    frames = FrameSet.from_atoms([dimer(5.0, edge=6.0)])
    assert shortest_distances(frames, 0) == pytest.approx({"O-P": 1.0})
    assert too_close(frames, 0.6).tolist() == [True]


def test_shortest_of_each_pair():
    atoms = Atoms("OPO", positions=[[0, 0, 0], [1.5, 0, 0], [1.5, 1.6, 0]], cell=[12] * 3, pbc=True)
    assert shortest_distances(FrameSet.from_atoms([atoms]), 0) == pytest.approx({"O-O": np.hypot(1.5, 1.6), "O-P": 1.5})


def test_no_frame():
    assert too_close(FrameSet.from_atoms([]), 0.6).shape == (0,)
