import numpy as np
import pytest
from ase import Atoms
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.score import frame_scores, shell_mean


def _glass(n_atoms, seed):
    rng = np.random.default_rng(seed)
    symbols = (["O"] * 5 + ["Na", "V", "P"]) * (n_atoms // 8)
    side = int(np.ceil(n_atoms ** (1 / 3)))
    grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:n_atoms] * 2.2
    return Atoms(symbols, positions=grid + rng.normal(0, 0.1, (n_atoms, 3)), cell=[side * 2.2] * 3, pbc=True)


def _set(*frames):
    return FrameSet.from_atoms(list(frames))


def test_shell_mean_of_a_chain_by_hand():
    # O-P-O along x in a wide cell: P sees both O, each O sees P alone.
    atoms = Atoms("OPO", positions=[[0, 5, 5], [1.5, 5, 5], [3.0, 5, 5]], cell=[12] * 3, pbc=True)
    values = np.array([1.0, 4.0, 7.0])
    mean = shell_mean(atoms.numbers.astype(np.int32), atoms.positions, atoms.cell.array, values)
    assert mean == pytest.approx([2.5, 4.0, 5.5], abs=0, rel=1e-14)
    scores = frame_scores(_set(atoms), values)
    assert scores.score == pytest.approx([5.5])
    assert scores.raw_max == pytest.approx([7.0])
    assert scores.species["P"] == pytest.approx([4.0])
    assert scores.species["O"] == pytest.approx([7.0])


def test_one_bad_atom_of_two_hundred_is_flagged():
    atoms = _glass(200, 0)
    sigma = np.full(200, 0.1)
    quiet = frame_scores(_set(atoms), sigma).score[0]
    sigma[117] = 5.0
    loud = frame_scores(_set(atoms), sigma).score[0]
    assert quiet == pytest.approx(0.1)
    # The frame's mean rises to 0.12 only: an average over the frame would have missed the atom.
    assert loud > 0.5


def test_one_noisy_atom_counts_less_than_a_bad_neighbourhood():
    atoms = _glass(200, 1)
    numbers, positions, cell = atoms.numbers.astype(np.int32), atoms.positions, atoms.cell.array
    lone = np.full(200, 0.1)
    lone[117] = 1.0
    neighbourhood = np.where(shell_mean(numbers, positions, cell, (lone > 0.5).astype(float)) > 0, 1.0, 0.1)
    assert frame_scores(_set(atoms), neighbourhood).score[0] > 1.5 * frame_scores(_set(atoms), lone).score[0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_permutation_translation_and_supercell_leave_the_score(seed):
    rng = np.random.default_rng(seed)
    atoms, sigma = _glass(16, seed), rng.gamma(2.0, 0.2, 16)
    reference = frame_scores(_set(atoms), sigma)
    order = rng.permutation(16)
    moved = atoms[order]
    moved.translate(rng.normal(0, 5, 3))
    other = frame_scores(_set(moved), sigma[order])
    large = frame_scores(_set(atoms.repeat((2, 1, 1))), np.tile(sigma, 2))
    for scores in (other, large):
        assert scores.score == pytest.approx(reference.score, rel=1e-12)
        assert scores.raw_max == pytest.approx(reference.raw_max, rel=1e-12)
        assert {k: v[0] for k, v in scores.species.items()} == {k: v[0] for k, v in reference.species.items()}
    assert reference.score[0] <= reference.raw_max[0]


def test_not_a_number_is_infinite_and_absent_species_is_nan():
    plain, mixed = Atoms("O2", [[0, 0, 0], [1, 0, 0]], cell=[9] * 3, pbc=True), _glass(8, 3)
    sigma = np.full(10, 0.2)
    sigma[3] = np.nan
    scores = frame_scores(_set(plain, mixed), sigma)
    assert scores.score[0] == pytest.approx(0.2)
    assert np.isinf(scores.score[1])
    assert np.isinf(scores.raw_max[1])
    assert np.isnan(scores.species["V"][0])
    assert scores.species["V"][1] == pytest.approx(0.2)


@pytest.mark.parametrize(("sigma", "word"), [(np.zeros(7), "8 atoms"), (np.full(8, -1.0), "negative")])
def test_wrong_uncertainties_are_refused(sigma, word):
    with pytest.raises(InputError, match=word):
        frame_scores(_set(_glass(8, 0)), sigma)


def test_no_frames_give_no_scores():
    scores = frame_scores(_set(), np.empty(0))
    assert scores.score.shape == (0,)
    assert scores.species == {}
