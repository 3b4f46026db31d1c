"""Paths of ions, from memory and from a file."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from ase.data import atomic_masses

from aiida_nvp.analysis.transport.paths import FilePaths, MemoryPaths, frames_per_slab
from aiida_nvp.common.errors import InputError


@pytest.fixture
def glass(gas):
    rng = np.random.default_rng(5)
    numbers = rng.choice([8, 11, 15], 23)
    positions = np.cumsum(rng.normal(size=(90, 23, 3)), axis=0)
    return dataclasses.replace(gas.make(positions, numbers), stage=(np.arange(90) >= 40).astype(np.int32))


def test_centre_of_mass_rests(glass):
    paths = MemoryPaths(glass)
    every = paths.block(np.arange(23))
    centre = np.einsum("n,tna->ta", atomic_masses[glass.numbers], every) / atomic_masses[glass.numbers].sum()
    np.testing.assert_allclose(centre - centre[0], 0, atol=1e-12)
    np.testing.assert_array_equal(every[0], glass.positions[0])


def test_reference_may_be_some_species_or_none(glass):
    every = MemoryPaths(glass, rest=("P", "O")).block(np.arange(23))
    host = np.isin(glass.numbers, [8, 15])
    centre = np.einsum("n,tna->ta", atomic_masses[glass.numbers[host]], every[:, host])
    np.testing.assert_allclose(centre - centre[0], 0, atol=1e-10)
    np.testing.assert_array_equal(MemoryPaths(glass, rest=()).block(np.arange(23)), glass.positions)


def test_blocks_cover_the_ions_in_order(glass):
    paths = MemoryPaths(glass)
    ions = paths.ions("O")
    parts = list(paths.blocks(ions, size=3))
    assert [part.shape[1] for part in parts[:-1]] == [3] * (len(parts) - 1)
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), paths.block(ions))


@pytest.mark.parametrize("memory", [1, 20_000, 10**9])
@pytest.mark.parametrize("stage", [None, 0, 1])
def test_file_and_memory_agree(gas, glass, tmp_path, stage, memory):
    file = gas.write(tmp_path / "trajectory.h5", glass)
    kept = glass if stage is None else glass.at_stage(stage)
    stored, held = FilePaths(file, stage, memory_bytes=memory), MemoryPaths(kept)
    assert (stored.n_frames, stored.interval_ps) == (held.n_frames, held.interval_ps)
    ions = held.ions("O")
    np.testing.assert_allclose(stored.block(ions[::2]), held.block(ions[::2]), atol=1e-12)
    parts = list(stored.blocks(ions, size=2))
    assert {part.shape[1] for part in parts[:-1]} == {2}
    np.testing.assert_allclose(np.concatenate(parts, axis=1), held.block(ions), atol=1e-12)


def test_file_is_read_once_for_as_many_ions_as_fit(gas, glass, tmp_path, monkeypatch):
    stored = FilePaths(gas.write(tmp_path / "trajectory.h5", glass), rest=(), memory_bytes=12 * 90 * 4)
    passes = []
    read = stored._slabs
    monkeypatch.setattr(stored, "_slabs", lambda: passes.append(1) or read())
    assert sum(part.shape[1] for part in stored.blocks(np.arange(10), size=2)) == 10
    assert len(passes) == 3


def test_slabs_are_whole_chunks_of_bounded_size():
    assert frames_per_slab(10**9) == 16
    assert frames_per_slab(1000) % 16 == 0
    assert frames_per_slab(1000) * 12_000 <= 16_000_000


def test_breathing_cell_moves_no_atom(gas):
    """Atoms that only follow the cell do not move, however far from the origin; a step is scaled to the mean cell."""
    scale = 1 + 0.02 * np.sin(np.arange(50))
    cells = scale[:, None, None] * np.array([[9.0, 0, 0], [2, 8, 0], [-1, 1, 10]])
    fractional = np.random.default_rng(0).uniform(-40, 40, (1, 12, 3)).repeat(50, axis=0)
    fractional[25:, 0, 0] += 0.25
    paths = MemoryPaths(gas.make(fractional @ cells, [8] * 12, cells=cells), rest=())
    every = paths.block(np.arange(12))
    np.testing.assert_allclose(every[:, 1:] - every[0, 1:], 0, atol=2e-4)
    np.testing.assert_allclose(every[-1, 0] - every[0, 0], 0.25 * paths.cell[0], atol=2e-4)
    assert paths.volume == pytest.approx(abs(np.linalg.det(cells.mean(axis=0))))


def test_compression_is_refused(gas):
    cells = np.linspace(1, 0.6, 20)[:, None, None] * np.eye(3) * 10
    with pytest.raises(InputError, match="departs from its mean by 2"):
        MemoryPaths(gas.make(np.zeros((20, 2, 3)), [8, 8], cells=cells))


@pytest.mark.parametrize(
    ("frames", "times", "sentence"),
    [(3, None, "3 frames are too few"), (5, [0, 1, 2, 3, 9], "not equally spaced"), (5, [0] * 5, "not equally")],
)
def test_frames_that_give_no_displacement(gas, frames, times, sentence):
    with pytest.raises(InputError, match=sentence):
        MemoryPaths(gas.make(np.zeros((frames, 2, 3)), [11, 11], times))


def test_unknown_species_stage_and_file(gas, glass, tmp_path):
    with pytest.raises(InputError, match="species 'V' is not in the trajectory, which has Na, O, P"):
        MemoryPaths(glass).ions("V")
    file = gas.write(tmp_path / "trajectory.h5", glass)
    with pytest.raises(InputError, match="no frame of stage 7; its stages are 0, 1"):
        FilePaths(file, stage=7)
    with pytest.raises(InputError, match="there is no trajectory file none"):
        FilePaths(tmp_path / "none.h5")
