"""Every format gives the same trajectory; what a file lacks gets a sentence."""

import numpy as np
import pytest
from ase import Atoms
from ase.io import write

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import TrajectoryWriter, read_trajectory
from aiida_nvp.common.trajectory_files import ReadSettings, convert

CELL = np.diag([5.0, 6.0, 7.0])
INTERVAL = ReadSettings(interval_ps=0.5)


@pytest.fixture
def paths():
    rng = np.random.default_rng(2)
    return rng.random((4, 3)) * 5 + np.cumsum(rng.normal(scale=0.35, size=(20, 4, 3)), axis=0)


@pytest.fixture
def frames(paths):
    return [Atoms("NaVPO", positions=places, cell=CELL, pbc=True) for places in paths]


@pytest.fixture
def read(tmp_path):
    def _read(files, settings=INTERVAL):
        convert(files, tmp_path / "out.h5", settings)
        return read_trajectory(tmp_path / "out.h5")

    return _read


@pytest.mark.parametrize("name", ["run.extxyz", "run.xyz", "run.traj", "XDATCAR"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_formats_agree(tmp_path, frames, paths, read, name, wrapped):
    for atoms in frames:
        atoms.wrap() if wrapped else None
    kind = {"XDATCAR": "vasp-xdatcar", "run.traj": "traj"}.get(name, "extxyz")
    write(tmp_path / name, frames, format=kind)
    found = read([tmp_path / name])
    assert found.symbols == ["Na", "V", "P", "O"]
    np.testing.assert_allclose(np.diff(found.positions, axis=0), np.diff(paths, axis=0), atol=2e-5)
    np.testing.assert_allclose(found.time_ps, 0.5 * np.arange(20))


def test_parts_of_one_run_are_joined_and_thinned(tmp_path, frames, read):
    write(tmp_path / "a.extxyz", frames[:10])
    write(tmp_path / "b.extxyz", frames[10:])
    settings = ReadSettings(interval_ps=0.5, skip=1, every=3)
    found = read([tmp_path / "a.extxyz", tmp_path / "b.extxyz"], settings)
    assert len(found) == 6
    np.testing.assert_allclose(np.diff(found.time_ps), 1.5)


def test_a_file_of_this_project_comes_back_as_it_is(tmp_path, frames, read):
    write(tmp_path / "a.extxyz", frames)
    once = read([tmp_path / "a.extxyz"])
    (tmp_path / "out.h5").rename(tmp_path / "in.h5")
    again = read([tmp_path / "in.h5"], ReadSettings())
    np.testing.assert_array_equal(again.positions, once.positions)
    np.testing.assert_array_equal(again.time_ps, once.time_ps)


def test_stages_of_a_file_of_this_project_survive_thinning(tmp_path, paths, read):
    with TrajectoryWriter(tmp_path / "in.h5", [11, 23, 15, 8]) as writer:
        for step, places in enumerate(np.tile(paths, (2, 1, 1))):
            writer.write(step=step, time_ps=0.5 * step, positions=places, cell=CELL, stage=step // 20)
    found = read([tmp_path / "in.h5"], ReadSettings(skip=2, every=3))
    assert found.time_ps.tolist() == [0.5 * step for step in range(2, 40, 3)]
    assert found.stage.tolist() == [step // 20 for step in range(2, 40, 3)]


def test_a_time_in_the_file_is_taken(tmp_path, frames, read):
    for index, atoms in enumerate(frames):
        atoms.info["time_ps"] = 0.25 * index
    write(tmp_path / "a.extxyz", frames)
    assert read([tmp_path / "a.extxyz"], ReadSettings()).time_ps[-1] == pytest.approx(4.75)


@pytest.mark.parametrize(
    ("change", "settings", "sentence"),
    [
        (list, ReadSettings(), "states no time; give `interval_ps`"),
        (lambda f: f[3].set_cell(None), INTERVAL, "frame 3 of a.extxyz has no periodic cell"),
        (lambda f: f[3].append("O"), INTERVAL, "frame 3 of a.extxyz has 5 atoms, the first frame 4"),
        (lambda f: f[3].set_atomic_numbers([23, 11, 15, 8]), INTERVAL, "atoms in another order"),
        (lambda f: f[3].translate([2.2, 0, 0]), INTERVAL, "path is ambiguous"),
        (list, ReadSettings(interval_ps=1.0, skip=50), "no frame is left"),
    ],
)
def test_what_is_wrong_gets_a_sentence(tmp_path, frames, read, change, settings, sentence):
    frames = [Atoms("NaVPO", positions=frames[0].positions, cell=CELL, pbc=True) for _ in range(5)]
    change(frames)
    write(tmp_path / "a.extxyz", frames)
    with pytest.raises(InputError, match=sentence):
        read([tmp_path / "a.extxyz"], settings)


def test_unknown_missing_and_damaged_files(tmp_path, read):
    with pytest.raises(InputError, match="there is no trajectory file"):
        read([tmp_path / "none.xyz"])
    (tmp_path / "a.pdb").write_text("HEADER")
    with pytest.raises(InputError, match="of no format that is read here"):
        read([tmp_path / "a.pdb"])
    (tmp_path / "a.xyz").write_text('3\nLattice="5 0 0 0 5 0 0 0 5"\nNa 0 0\n')
    with pytest.raises(InputError, match=r"frame 0 of a\.xyz cannot be read"):
        read([tmp_path / "a.xyz"])
