import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from aiida_nvp.benchmark.parts import divide, matches, tags
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.labelling.extxyz import read_extxyz


def _frames(count=24, per_trajectory=2):
    atoms = [Atoms("NaO" if i % 2 else "Na2O2", cell=[5] * 3, pbc=True) for i in range(count)]
    info = [
        {"origin": {"temperature": 300.0 if i < count - 4 else 2500.0}, "trajectory": i // per_trajectory}
        for i in range(count)
    ]
    for index, entry in enumerate(atoms):
        entry.positions = np.random.default_rng(index).uniform(0, 5, (len(entry), 3))
    return FrameSet.from_atoms(atoms, info)


def test_what_can_be_asked_of_a_frame():
    first = tags(_frames())[0]
    assert first["temperature"] == 300.0
    assert first["trajectory"] == 0
    assert first["composition"] == "NaO"


def test_tags_of_a_foreign_file_can_be_asked_for(tmp_path):
    path = tmp_path / "foreign.extxyz"
    atoms = Atoms("NaO", [[0, 0, 0], [2, 0, 0]], cell=[5] * 3, pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.array([[1.0, 0, 0], [-1.0, 0, 0]]))
    atoms.info |= {"temperature": 2500, "trajectory": "run 7"}
    write(path, atoms)
    (row,) = tags(read_extxyz(path).frame_set("foreign"))
    assert matches([row], ["temperature>2000"]).all()
    assert row["trajectory"] == "run 7"


def test_conditions():
    rows = [{"t": 300, "name": "a"}, {"t": 2500, "name": "b"}, {"name": "a"}]
    assert list(matches(rows, ["t>1000"])) == [False, True, False]
    assert list(matches(rows, ["t <= 300", "name=b"])) == [True, True, False]
    assert list(matches(rows, ["name != a"])) == [False, True, False]
    assert list(matches(rows, [])) == [False] * 3
    with pytest.raises(InputError, match="KEY=VALUE"):
        matches(rows, ["nonsense"])
    with pytest.raises(InputError, match="no frame has `temp`; known are name, t"):
        matches(rows, ["temp>3"])
    with pytest.raises(InputError, match="compares numbers"):
        matches(rows, ["name>3"])


def test_parts_are_disjoint_and_trajectories_stay_whole():
    frames = _frames()
    parts = divide(frames, 1, [], ["temperature>1000"], 0.5)
    assert sorted([*parts.train, *parts.held, *parts.out]) == list(range(24))
    assert list(parts.out) == [20, 21, 22, 23]
    assert not set(parts.groups[parts.train]) & set(parts.groups[parts.held])
    calibrates, tests = parts.halves(np.random.default_rng(0))
    assert sorted([*calibrates, *tests]) == sorted(parts.held)
    assert not set(parts.groups[calibrates]) & set(parts.groups[tests])
    again = divide(frames, 1, [], ["temperature>1000"], 0.5)
    assert list(again.train) == list(parts.train)
    assert list(divide(frames, 2, [], ["temperature>1000"], 0.5).train) != list(parts.train)


def test_a_trajectory_that_was_learned_from_in_part_is_no_test():
    frames = _frames(per_trajectory=3)
    parts = divide(frames, 1, ["trajectory=0", "trajectory=1"], ["temperature>1000"], 0.5)
    assert list(parts.train) == list(range(6))
    assert list(parts.held) == list(range(6, 20))
    # Each trajectory of three holds both compositions, so that learning from one of them has seen every trajectory.
    with pytest.raises(InputError, match="0 of other trajectories"):
        divide(frames, 1, ["composition=NaO"], ["temperature>1000"], 0.5)


def test_too_little_is_refused():
    with pytest.raises(InputError, match="at least 12 labelled frames"):
        divide(_frames(8), 1, [], ["temperature>1000"], 0.5)
    with pytest.raises(InputError, match="frames to learn from"):
        divide(_frames(), 1, ["temperature=1"], ["temperature>1000"], 0.5)
