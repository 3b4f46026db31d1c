"""Short runs in a few numbers, on structures whose numbers are known."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_nvp.analysis.observables import observe
from aiida_nvp.analysis.watched import BIN_WIDTH, Watched
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory


def still(atoms, frames=6, drift=None):
    """A run in which nothing moves, except what ``drift`` (N, 3) moves a frame."""
    moved = np.zeros((len(atoms), 3)) if drift is None else drift
    return Trajectory(
        numbers=atoms.numbers,
        step=np.arange(frames) * 10,
        time_ps=np.arange(frames) * 0.01,
        positions=np.stack([atoms.positions + frame * moved for frame in range(frames)]).astype(np.float32),
        cells=np.stack([atoms.cell.array] * frames),
        stage=np.zeros(frames, dtype=np.int64),
    )


@pytest.fixture
def salt():
    return bulk("NaCl", "rocksalt", a=5.64, cubic=True)


def test_rock_salt(salt):
    found = observe(still(salt), Watched({"Na-Cl": 3.0, "P-O": 2.2}, mobile="Na"))
    assert found["density"] == pytest.approx(2.165, abs=0.01)  # handbook: 2.165 g/cm3
    assert found["Na-Cl coordination"] == 6
    assert found["MSD slope Na"] == pytest.approx(0, abs=1e-9)
    curve = np.array(found["g(Na-Cl)"])
    assert not curve[: int(2.5 / BIN_WIDTH)].any()
    assert "P-O coordination" not in found


def test_a_drifting_ion_has_a_slope(salt):
    drift = np.zeros((len(salt), 3))
    drift[salt.numbers == 11] = [0.1, 0, 0]
    drift[salt.numbers == 17] = [-0.1 * 22.98976928 / 35.45, 0, 0]  # the centre of mass stays
    lags = 0.01 * np.arange(1, 3)
    slope = np.polyfit(lags, (0.1 * lags / 0.01) ** 2, 1)[0]
    assert observe(still(salt, drift=drift), Watched(mobile="Na"))["MSD slope Na"] == pytest.approx(slope, rel=1e-3)


def test_chains_bridge_twice():
    """P-O chains along x: each P holds two bridging O and nothing else."""
    atoms = bulk("Cu", "sc", a=4.0).repeat((2, 1, 1))
    atoms.set_chemical_symbols(["P", "P"])
    atoms += bulk("Cu", "sc", a=4.0).repeat((2, 1, 1))
    atoms.set_chemical_symbols(["P", "P", "O", "O"])
    atoms.positions[2:, 0] += 2.0
    found = observe(still(atoms), Watched({"P-O": 2.2}, formers=("P",)))
    assert [found[f"Q{n}(P)"] for n in range(5)] == [0, 0, 1, 0, 0]
    assert found["P-O coordination"] == 2


def test_few_frames_have_no_slope(salt):
    assert "MSD slope Na" not in observe(still(salt, frames=3), Watched(mobile="Na"))
    assert observe(still(salt, frames=1), Watched({"Na-Cl": 3.0}))["Na-Cl coordination"] == 6


def test_what_is_watched_has_to_make_sense():
    with pytest.raises(InputError, match="one pair `P-O"):
        Watched({"V-O": 2.5}, formers=("P",))
    with pytest.raises(InputError, match="pairs are"):
        Watched.read({"pairs": {"P-O": "long"}})
    assert Watched.read({"pairs": {"P-O": 2}, "formers": ["P"], "mobile": None}) == Watched({"P-O": 2.0}, ("P",))
