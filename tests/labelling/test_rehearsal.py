from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import make_supercell
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress
from ase.md.langevin import Langevin
from ase.neighborlist import neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.rehearsal import RehearsalPotential, load_parameters

EDGE = 4.67232873
POSITIONS = [
    [4.26747290, 3.95729380, 3.23671932],
    [0.02974739, 1.82305372, 0.84555725],
    [2.21712364, 1.62417541, 3.22398593],
    [3.00805339, 1.85329687, 4.64946254],
    [1.53827249, 1.13383134, 1.80536644],
    [0.89982382, 1.27229250, 3.96571857],
    [3.68114671, 1.65848851, 2.43486790],
    [1.89163365, 3.18244125, 3.02806496],
]


@pytest.fixture
def glass():
    """One formula unit in a skewed cell smaller than the cutoff."""
    cell = [[EDGE, 0, 0], [0.3, EDGE, 0], [0.2, -0.3, EDGE]]
    atoms = Atoms("NaVPO5", positions=POSITIONS, cell=cell, pbc=True)
    atoms.calc = RehearsalPotential()
    return atoms


def test_forces_are_the_derivative_of_the_energy(glass):
    numerical = calculate_numerical_forces(glass, eps=1e-4)
    np.testing.assert_allclose(glass.get_forces(), numerical, rtol=0, atol=1e-5 * np.abs(numerical).max())
    np.testing.assert_allclose(glass.get_forces().sum(axis=0), 0, atol=1e-10)


def test_stress_is_the_strain_derivative_of_the_energy(glass):
    numerical = calculate_numerical_stress(glass, eps=1e-5)
    np.testing.assert_allclose(glass.get_stress(), numerical, rtol=0, atol=1e-5 * np.abs(numerical).max())


def test_nothing_jumps_where_a_pair_enters_the_cutoff():
    """Energy and force of one pair vanish at the cutoff and the curve has no step anywhere."""
    cutoff = load_parameters().cutoff
    separations = np.linspace(1.5, cutoff + 0.2, 400)
    energies, forces = [], []
    for separation in separations:
        pair = Atoms("PO", positions=[[0, 0, 0], [separation, 0, 0]], cell=[30] * 3, pbc=True)
        pair.calc = RehearsalPotential()
        energies.append(pair.get_potential_energy())
        forces.append(pair.get_forces()[1, 0])
    energies, forces = np.array(energies), np.array(forces)
    assert energies[separations > cutoff] == pytest.approx(0, abs=0)
    assert abs(forces[separations < cutoff][-1]) < 1e-2
    slope = np.gradient(energies, separations)
    np.testing.assert_allclose(slope[1:-1], -forces[1:-1], atol=2e-2)


def test_a_supercell_has_the_same_energy_forces_and_stress(glass):
    big = make_supercell(glass, [[2, 0, 0], [0, 1, 1], [0, -1, 1]])
    big.calc = RehearsalPotential()
    assert big.get_potential_energy() == pytest.approx(4 * glass.get_potential_energy(), rel=1e-12)
    np.testing.assert_allclose(big.get_stress(), glass.get_stress(), atol=1e-12)
    norms = np.sort(np.linalg.norm(big.get_forces(), axis=1))
    np.testing.assert_allclose(norms, np.sort(np.repeat(np.linalg.norm(glass.get_forces(), axis=1), 4)), atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_translation_rotation_wrapping_and_order_change_nothing(seed):
    rng = np.random.default_rng(seed)
    atoms = Atoms("NaVPO5", positions=POSITIONS, cell=[EDGE] * 3, pbc=True)
    atoms.calc = RehearsalPotential()
    moved = atoms[rng.permutation(len(atoms))]
    moved.positions += rng.normal(size=3) + EDGE * rng.integers(-3, 4, size=(len(atoms), 3))
    moved.rotate(float(rng.uniform(0, 360)), rng.normal(size=3), rotate_cell=True)
    moved.calc = RehearsalPotential()
    assert moved.get_potential_energy() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)


def test_a_glass_keeps_its_phosphate_tetrahedra_in_hot_md(glass):
    atoms = glass.repeat((2, 2, 1))
    atoms.calc = RehearsalPotential()
    rng = np.random.default_rng(5)
    for temperature in (300, 2000):
        Langevin(atoms, units.fs, temperature_K=temperature, friction=0.05 / units.fs, fixcm=False, rng=rng).run(250)
    first, second, distance = neighbor_list("ijd", atoms, 2.2)
    bonds = (atoms.symbols[first] == "P") & (atoms.symbols[second] == "O")
    counts = np.bincount(first[bonds], minlength=len(atoms))[atoms.symbols == "P"]
    assert set(counts) <= {4, 5}
    assert counts.mean() < 4.5
    assert 1.45 < distance[bonds].mean() < 1.65
    assert neighbor_list("d", atoms, 3.0).min() > 1.1


def test_unknown_species_are_named():
    atoms = Atoms("SiO", positions=[[0, 0, 0], [1.6, 0, 0]], cell=[8] * 3, pbc=True, calculator=RehearsalPotential())
    with pytest.raises(InputError, match=r"knows Na, V, P, O, not Si"):
        atoms.get_potential_energy()
