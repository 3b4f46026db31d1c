from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import ATOMS_PER_CALL, AllegroMember, Answer, Committee
from aiida_nvp.uncertainty.last_layer import pool_features
from aiida_nvp.uncertainty.score import frame_scores
from aiida_nvp.uncertainty.spread import vector_std

CUTOFF = 4.0


@dataclass
class LennardJonesMember:
    """Exact pair energies through the same interface as a trained member."""

    epsilon: float

    def evaluate(self, graph):
        r2 = np.square(graph.vectors).sum(axis=1)
        sixth = (2.0**2 / r2) ** 3
        shift = (2.0 / CUTOFF) ** 12 - (2.0 / CUTOFF) ** 6
        pair = 4 * self.epsilon * (sixth**2 - sixth - shift)
        energy = 0.5 * np.bincount(graph.first, pair, len(graph.numbers))
        slope = 0.5 * 4 * self.epsilon * (-12 * sixth**2 + 6 * sixth) / r2
        near = np.linalg.norm(graph.vectors, axis=1)
        features = np.stack([np.bincount(graph.first, near**power, len(graph.numbers)) for power in (1, 2)], axis=1)
        return Answer(energy, slope[:, None] * graph.vectors, features)


def _frames(count, seed=0, sizes=(8, 16)):
    rng = np.random.default_rng(seed)
    frames = []
    for index in range(count):
        n_atoms = sizes[index % len(sizes)]
        side = int(np.ceil(n_atoms ** (1 / 3)))
        grid = np.stack(np.meshgrid(*[np.arange(side)] * 3), axis=-1).reshape(-1, 3)[:n_atoms] * 2.2
        positions = grid + rng.normal(0, 0.1, (n_atoms, 3)) + rng.normal(0, 9, 3)
        frames.append(Atoms("O" * n_atoms, positions=positions, cell=[side * 2.2] * 3, pbc=True))
    return FrameSet.from_atoms(frames)


@pytest.fixture
def committee():
    return Committee([LennardJonesMember(0.1), LennardJonesMember(0.2), LennardJonesMember(0.3)], CUTOFF, ["O"])


def test_joined_systems_agree_with_each_system_alone_and_with_ase(committee):
    frames = _frames(2 * ATOMS_PER_CALL // 12 + 3)
    assert frames.offsets[-1] > ATOMS_PER_CALL
    prediction = committee.predict(frames)
    for index, atoms in enumerate(frames):
        for member, epsilon in enumerate((0.1, 0.2, 0.3)):
            if index % 17 == 0:
                atoms.calc = LennardJones(sigma=2.0, epsilon=epsilon, rc=CUTOFF)
                assert prediction.energy[member, index] == pytest.approx(atoms.get_potential_energy(), rel=1e-10)
                assert prediction.forces[member, frames.slice_of(index)] == pytest.approx(atoms.get_forces(), abs=1e-9)
    assert committee.drive(frames).forces == pytest.approx(prediction.forces[:1], abs=0)


def test_stress_is_that_of_ase(committee):
    frames = _frames(5)
    stress = committee.predict(frames).stress
    for index, atoms in enumerate(frames):
        atoms.calc = LennardJones(sigma=2.0, epsilon=0.2, rc=CUTOFF)
        assert stress[1, index] == pytest.approx(atoms.get_stress(voigt=False), abs=1e-10)
    assert committee.drive(frames).stress == pytest.approx(stress[:1], abs=0)


def test_vector_std_of_known_members(committee):
    # Forces are proportional to epsilon = 0.1, 0.2, 0.3, so their unbiased standard deviation is half the mean.
    forces = committee.predict(_frames(3)).forces
    assert vector_std(forces) == pytest.approx(0.5 * np.linalg.norm(forces.mean(axis=0), axis=1), rel=1e-9)


def test_equal_magnitudes_in_random_directions_are_disagreement():
    rng = np.random.default_rng(1)
    forces = rng.normal(size=(4, 8, 3))
    forces /= np.linalg.norm(forces, axis=2, keepdims=True)
    assert np.linalg.norm(forces, axis=2) == pytest.approx(np.ones((4, 8)))
    scores = frame_scores(_frames(1, sizes=(8,)), vector_std(forces))
    assert scores.score[0] > 0.5


def test_a_coordinate_or_member_without_number_is_infinitely_uncertain(committee):
    frames = _frames(2)
    frames.positions[3, 1] = np.nan
    prediction = committee.predict(frames)
    assert np.isnan(prediction.energy[:, 0]).all()
    assert np.isfinite(prediction.energy[:, 1]).all()
    sigma = vector_std(prediction.forces)
    assert np.isinf(sigma[frames.slice_of(0)]).all()
    assert np.isfinite(sigma[frames.slice_of(1)]).all()
    assert np.isnan(committee.drive(frames).features[frames.slice_of(0)]).all()


def test_one_member_cannot_disagree():
    with pytest.raises(InputError, match="two members"):
        vector_std(np.zeros((1, 4, 3)))
    with pytest.raises(InputError, match="at least one"):
        Committee([], CUTOFF, [])


def test_no_frames_no_predictions(committee):
    empty = FrameSet.from_atoms([])
    assert committee.predict(empty).forces.shape == (3, 0, 3)
    assert committee.predict(empty).features is None


def test_a_trained_committee_agrees_with_its_own_calculator(tiny_committee, morse_frames):
    from nequip.integrations.ase import NequIPCalculator

    frames = morse_frames(3, seed=9).without_labels()
    committee = Committee.load(tiny_committee)
    prediction = committee.predict(frames)
    calculator = NequIPCalculator._from_saved_model(tiny_committee[1], chemical_species_to_atom_type_map=True)
    for index, atoms in enumerate(frames):
        atoms.calc = calculator
        assert prediction.energy[1, index] == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
        assert prediction.forces[1, frames.slice_of(index)] == pytest.approx(atoms.get_forces(), abs=1e-4)
    assert (vector_std(prediction.forces) > 0).all()


def test_last_layer_features_give_the_energy_of_the_read_out(tiny_committee, morse_frames):
    # The model's own energy without shift and pair potential must be a linear function of the features.
    frames = morse_frames(12, seed=3)
    committee = Committee.load(tiny_committee[:1])
    member = committee.members[0]
    features = committee.drive(frames).features
    caught = []
    modules = dict(member.model.named_modules())
    name = next(n for n in modules if n.rsplit(".", 1)[-1] == "edge_eng_sum")
    handle = modules[name].register_forward_hook(
        lambda _m, _i, out: caught.append(out["atomic_energy"].detach().double().numpy().ravel())
    )
    committee.drive(frames)
    handle.remove()
    energy = np.concatenate(caught)
    weights, *_ = np.linalg.lstsq(features, energy, rcond=None)
    assert features @ weights == pytest.approx(energy, abs=1e-4 * np.abs(energy).max())


def test_the_driver_is_not_asked_twice(committee):
    frames = _frames(3)
    whole = committee.predict(frames)
    driven = committee.drive(frames)
    driven.energy[:] += 1.0
    completed = committee.predict(frames, driven)
    assert completed.energy[0] == pytest.approx(whole.energy[0] + 1.0)
    assert completed.forces == pytest.approx(whole.forces, abs=0)
    assert completed.features == pytest.approx(whole.features, abs=0)
    alone = Committee(committee.members[:1], CUTOFF, ["O"])
    assert alone.predict(frames, driven) is driven


def test_the_jacobian_is_the_derivative_of_the_summed_features(tiny_committee, morse_frames):
    frames = morse_frames(2, seed=4).without_labels()
    committee = Committee.load(tiny_committee[:1])
    jacobian = committee.jacobian(frames)
    step = 1e-3
    for atom, axis in ((0, 0), (5, 2), (int(frames.offsets[1]) + 3, 1)):
        total = []
        for sign in (1, -1):
            positions = frames.positions.copy()
            positions[atom, axis] += sign * step
            total.append(committee.drive(replace(frames, positions=positions)).features.sum(axis=0))
        slope = -(total[0] - total[1]) / (2 * step)
        assert jacobian[atom, axis] == pytest.approx(slope, abs=2e-2 * np.abs(jacobian).max())


def test_pooled_features_by_hand():
    frames = FrameSet.from_atoms([Atoms("NaO2", [[0, 0, 0], [2, 0, 0], [0, 2, 0]], cell=[9] * 3, pbc=True)])
    pooled = pool_features(frames, np.array([[5.0], [1.0], [3.0]]), ("Na", "V", "O"))
    assert pooled == pytest.approx(np.array([[5.0, 0.0, 0.0, 0.0, 2.0, 1.0]]))


def test_unknown_species_and_damaged_package_are_refused(tiny_committee, tmp_path):
    iron = FrameSet.from_atoms([Atoms("FeO", [[0, 0, 0], [2, 0, 0]], cell=[5] * 3, pbc=True)])
    with pytest.raises(InputError, match="also hold Fe"):
        Committee.load(tiny_committee[:1]).predict(iron)
    broken = tmp_path / "broken.nequip.zip"
    broken.write_bytes(tiny_committee[0].read_bytes()[:5000])
    for package in (broken, tmp_path / "absent.nequip.zip"):
        with pytest.raises(InputError, match=package.name.split(".")[0]):
            AllegroMember(package)
