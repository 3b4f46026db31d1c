import numpy as np
import pytest
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.selection.kinds import kinds


def two_centres():
    """One P with two O at 1.5 angstrom, one across the border of the cell; one P with one O at 1.8 angstrom."""
    positions = [[0.2, 0, 0], [1.7, 0, 0], [10.7, 0, 0], [5, 6, 6], [6.8, 6, 6]]
    return Atoms("POOPO", positions=positions, cell=[12] * 3, pbc=True)


def test_what_a_frame_is_an_example_of():
    frames = FrameSet.from_atoms([two_centres()] * 2)
    expected = np.array([0.9, 9, 9, 0.3, 9, 0.1, 0, 0, np.nan, 0])
    found = kinds(frames, [{"temperature": 1000.0}, {}], expected, 500.0, {"P-O": 2.0, "V-O": 2.4})
    assert found == [
        {"composition": "O3P2", "temperature": "1000-1500 K", "P-O": "2"},
        {"composition": "O3P2", "P-O": "1"},
    ]
    assert kinds(frames, [{}, {}], expected, 500.0, {"P-O": 1.4})[0]["P-O"] == "0"
    assert "P-O" not in kinds(frames, [{}, {}], expected, 500.0, {})[0]


def test_lengths_are_checked():
    with pytest.raises(InputError, match="3 expected errors for 5 atoms"):
        kinds(FrameSet.from_atoms([two_centres()]), [{}], np.zeros(3), 500.0, {})
