"""g(r) against exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from vesin import NeighborList

from aiida_nvp.analysis.structure.rdf import perpendicular_widths, radial_distribution
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory

TRICLINIC = np.array([[12.0, 0, 0], [3, 11, 0], [-2, 1, 13]])


def make(positions, cell, numbers):
    positions = np.asarray(positions, dtype=np.float32)
    frames = len(positions)
    return Trajectory(
        numbers=np.asarray(numbers, dtype=np.int32),
        step=np.arange(frames),
        time_ps=np.arange(frames) * 0.1,
        positions=positions,
        cells=np.repeat(np.asarray(cell, dtype=float)[None], frames, axis=0),
        stage=np.zeros(frames, dtype=np.int32),
    )


def gas(seed, frames=1, atoms=200, cell=TRICLINIC):
    rng = np.random.default_rng(seed)
    return make(rng.random((frames, atoms, 3)) @ cell, cell, rng.choice([8, 11, 15], atoms))


def test_ideal_gas_is_one_within_the_counting_error():
    trajectory = gas(0, frames=60)
    rdf = radial_distribution(trajectory, 0.2)
    assert set(rdf.partials) == {"P-P", "P-Na", "P-O", "Na-Na", "Na-O", "O-O"}
    z = []
    for partial in rdf.partials.values():
        pairs = partial.pairs * len(trajectory)
        enough = pairs > 30
        z.append(((partial.g - 1) * np.sqrt(pairs))[enough])
    z = np.concatenate(z)
    assert np.abs(z).max() < 4.5
    assert 0.8 < z.std() < 1.2


def test_integral_is_the_number_of_pairs_of_a_neighbour_list():
    trajectory = gas(1, atoms=300)
    rdf = radial_distribution(trajectory, 0.1)
    (i,) = NeighborList(cutoff=rdf.r_max, full_list=False).compute(
        points=trajectory.positions[0].astype(float), box=TRICLINIC, periodic=True, quantities="i"
    )
    assert sum(partial.pairs.sum() for partial in rdf.partials.values()) == pytest.approx(len(i), abs=2)
    assert rdf.r_max <= perpendicular_widths(TRICLINIC[None]).min() / 2


def test_fcc_shells_hold_12_and_6_atoms():
    atoms = bulk("Cu", cubic=True, a=4.0).repeat(4)
    rdf = radial_distribution(make(atoms.positions[None], atoms.cell.array, atoms.numbers), 0.05)
    pairs = rdf.partials["Cu-Cu"].pairs
    assert pairs[np.abs(rdf.r - 4 / np.sqrt(2)) < 0.2].sum() == 12 * len(atoms) / 2
    assert pairs[np.abs(rdf.r - 4) < 0.2].sum() == 6 * len(atoms) / 2


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), shift=st.floats(-20, 20))
def test_invariant_under_translation_permutation_and_wrapping(seed, shift):
    trajectory = gas(seed, atoms=60)
    rng = np.random.default_rng(seed)
    order = rng.permutation(60)
    moved = trajectory.positions[:, order] + rng.integers(-2, 3, (1, 60, 3)) @ TRICLINIC + shift
    other = make(moved, TRICLINIC, trajectory.numbers[order])
    # Float32 positions may carry a pair over the edge of a bin, never further: cumulative counts differ by such pairs.
    ours, theirs = radial_distribution(trajectory, 0.5), radial_distribution(other, 0.5)
    for name, partial in ours.partials.items():
        difference = np.cumsum(partial.pairs) - np.cumsum(theirs.partials[name].pairs)
        assert np.abs(difference).max() <= 1


def test_single_atom_of_a_species_has_no_partial_with_itself():
    rdf = radial_distribution(make(np.array([[[0, 0, 0], [2, 2, 2]]] * 2), np.eye(3) * 8, [11, 8]))
    assert list(rdf.partials) == ["Na-O"]


@pytest.mark.parametrize("width", [0, -1, 50, float("nan")])
def test_bad_bin_width(width):
    with pytest.raises(InputError, match="bin_width must lie"):
        radial_distribution(gas(0), width)
