"""Counts on a grid, their blur and their file."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from ase import Atoms
from ase.io.cube import read_cube
from ase.units import Bohr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from aiida_nvp.analysis.channels.density import DensityGrid, density_parts, host_frame, species_density
from aiida_nvp.common.errors import InputError

SKEW = np.array([[9.0, 0.0, 0.0], [3.0, 8.0, 0.0], [-2.0, 1.0, 10.0]])


def test_every_ion_counts_once_and_the_parts_add_up(trajectory):
    positions = np.random.default_rng(0).normal(scale=50, size=(7, 5, 3))
    grid = species_density(trajectory(positions), "Na")
    assert grid.counts.shape == (16, 16, 16)
    assert (grid.frames, grid.counts.sum()) == (7, 35)
    assert grid.density().sum() * grid.voxel_volume == pytest.approx(5)
    first, second, third = density_parts(trajectory(positions), "Na", 0.5, 3)
    assert (first.frames, second.frames, third.frames) == (3, 2, 2)
    assert ((first + second + third).counts == grid.counts).all()
    with pytest.raises(InputError, match="mobile species 'V'"):
        species_density(trajectory(positions), "V")
    with pytest.raises(InputError, match="in 9 parts needs as many frames"):
        density_parts(trajectory(positions), "Na", 0.5, 9)


def test_memory_does_not_grow_with_the_frames():
    grid, positions = DensityGrid((24, 24, 24)), np.random.default_rng(0).random((50, 3)) * 12
    grid.add(positions, np.eye(3) * 12)
    tracemalloc.start()
    grid.add(positions, np.eye(3) * 12)
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(500):
        grid.add(positions, np.eye(3) * 12)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 4096
    assert grid.counts.sum() == 502 * 50


def test_grid_moves_with_a_cell_that_breathes():
    grid = DensityGrid((4, 4, 4))
    for scale in (0.9, 1.0, 1.1):
        grid.add(np.array([[0.3, 0.55, -0.1]]) @ SKEW * scale, SKEW * scale)
    assert grid.counts[1, 2, 3] == 3
    assert grid.cell == pytest.approx(SKEW)
    assert grid.voxel_volume == pytest.approx(np.linalg.det(SKEW) / 64)


def test_drift_of_the_host_is_taken_off(trajectory):
    """One sodium at rest in a host of unequal masses that drifts through the cell with it."""
    drift = np.arange(40)[:, None, None] * np.array([0.21, -0.1, 0.05])
    positions = np.array([[1.2, 1.2, 1.2], [4.0, 4.0, 4.0], [6.0, 2.0, 5.0]]) + drift
    run = trajectory(positions, numbers=[11, 15, 8])
    assert (species_density(run, "Na").counts > 0).sum() == 1
    still = np.stack(list(host_frame(run, "Na")))
    assert still == pytest.approx(np.broadcast_to(still[0], still.shape), abs=1e-6)


def test_blur_is_round_in_a_skew_cell_and_keeps_the_ions():
    grid = DensityGrid((36, 32, 40))
    grid.add(np.array([[0.51, 0.52, 0.505]]) @ SKEW, SKEW)
    smooth = grid.density(0.8)
    assert smooth.sum() * grid.voxel_volume == pytest.approx(1)
    index = np.stack(np.indices(smooth.shape), axis=-1).reshape(-1, 3)
    offset = (index - np.array(np.unravel_index(smooth.argmax(), smooth.shape))) / np.array(smooth.shape) @ SKEW
    weights = smooth.reshape(-1) / smooth.sum()
    covariance = np.einsum("i,ia,ib->ab", weights, offset, offset)
    # What is left of the variance of a Gaussian that ends at three widths.
    left = chi2.cdf(9, 5) / chi2.cdf(9, 3)
    assert covariance == pytest.approx(np.eye(3) * 0.8**2 * left, abs=0.003)
    distance = np.linalg.norm(offset, axis=1)
    assert distance[smooth.reshape(-1) > 0].max() <= 2.4 + 1e-9
    assert (smooth.reshape(-1)[distance < 2.3] > 0).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), blur=st.floats(0.1, 6.0))
def test_blur_keeps_the_number_of_ions_in_the_smallest_cells(seed, blur):
    generator = np.random.default_rng(seed)
    grid = DensityGrid((3, 4, 5))
    for _ in range(4):
        grid.add(generator.random((6, 3)) @ SKEW / 3, SKEW / 3)
    smooth = grid.density(blur)
    assert smooth.sum() * grid.voxel_volume == pytest.approx(6)
    assert smooth.min() >= 0


def test_cube_file_comes_back(tmp_path):
    grid = DensityGrid((3, 4, 5))
    grid.add(np.random.default_rng(1).random((9, 3)) @ SKEW, SKEW)
    values = grid.density()
    atoms = Atoms("PO", positions=[[1, 2, 3], [2, 3, 4]])
    grid.write_cube(tmp_path / "na.cube", values, atoms)
    with (tmp_path / "na.cube").open() as file:
        assert "1/angstrom^3" in file.readline()
        file.seek(0)
        back = read_cube(file)
    assert back["data"] == pytest.approx(values, rel=1e-5)
    assert np.array(back["atoms"].cell) == pytest.approx(SKEW, abs=1e-4)
    assert back["atoms"].positions == pytest.approx(atoms.positions, abs=1e-5)
    assert np.array(back["origin"]) == pytest.approx(np.array([1 / 6, 1 / 8, 1 / 10]) @ SKEW, abs=1e-5)
    grid.write_cube(tmp_path / "alone.cube", values)
    assert float((tmp_path / "alone.cube").read_text().splitlines()[3].split()[1]) == pytest.approx(
        SKEW[0, 0] / 3 / Bohr, abs=1e-5
    )
    with pytest.raises(InputError, match="not on this grid"):
        grid.write_cube(tmp_path / "bad.cube", values[1:])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DensityGrid((0, 1, 1)), "three positive numbers"),
        (lambda: DensityGrid.for_cell(np.eye(3), 0.0), "must be positive"),
        (lambda: DensityGrid((1, 1, 1)).cell, "no frame yet"),
        (lambda: DensityGrid((1, 1, 1)) + DensityGrid((1, 1, 2)), "do not add up"),
        (lambda: DensityGrid((1, 1, 1)).add([[np.nan, 0, 0]], np.eye(3)), "not finite"),
    ],
)
def test_bad_input_gives_a_sentence(make, sentence):
    with pytest.raises(InputError, match=sentence):
        make()
