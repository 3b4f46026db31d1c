"""Voronoi volumes fill the cell and are those of crystals."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.voronoi import VoronoiVolumes, voronoi_volumes
from aiida_nvp.common.errors import InputError


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000), atoms=st.sampled_from([1, 2, 7, 150]))
def test_volumes_fill_any_cell_and_do_not_depend_on_its_description(gas, disguised, seed, atoms):
    frame = gas(seed, atoms=atoms)
    volumes = voronoi_volumes(frame)
    assert volumes.sum() == pytest.approx(frame.volume, rel=1e-6)
    assert (volumes > 0).all()
    assert np.sort(voronoi_volumes(disguised(frame, seed))) == pytest.approx(np.sort(volumes), rel=1e-6)


@pytest.mark.parametrize(("lattice", "share"), [("fcc", 4), ("bcc", 2), ("sc", 1), ("diamond", 8)])
def test_crystals_share_equally(crystal, lattice, share):
    # A little noise breaks the ties of the perfect crystal, which qhull would have to break.
    frame = crystal(lattice, a=4.0, repeat=2)
    noise = np.random.default_rng(0).normal(scale=1e-5, size=frame.positions.shape)
    volumes = voronoi_volumes(Frame(frame.numbers, frame.positions + noise, frame.cell))
    assert volumes == pytest.approx(np.full(len(volumes), 64 / share), rel=1e-3)
    assert voronoi_volumes(frame) == pytest.approx(np.full(len(volumes), 64 / share), rel=1e-6)


def test_plane_between_two_atoms_halves_their_distance(frame):
    one = frame([15, 8], [[0, 0, 0], [4.0, 0, 0]], np.diag([10.0, 6, 6]))
    # Both have 2 to the near side, and 3 to the far one.
    assert voronoi_volumes(one) == pytest.approx([180, 180])


def test_a_large_hole_needs_more_images(frame):
    one = frame([8] * 3, [[1, 1, 1], [2, 1, 1], [1, 2.5, 1]], np.eye(3) * 40)
    assert voronoi_volumes(one).sum() == pytest.approx(64000, rel=1e-6)


def test_by_species(glass):
    small = glass(400)
    volumes = VoronoiVolumes(small.numbers)
    volumes.add(small)
    volumes.add(small)
    found = volumes.result()
    assert list(found) == ["V", "P", "Na", "O"]
    total = sum(
        found[name].mean.mean * (small.numbers == z).sum() for name, z in zip(found, (23, 15, 11, 8), strict=True)
    )
    assert total == pytest.approx(small.volume, rel=1e-6)
    assert found["O"].mean.error == pytest.approx(0, abs=1e-12)
    assert found["O"].spread.mean > 0.5


def test_two_atoms_on_one_point(frame):
    with pytest.raises(InputError, match="lie on one point"):
        voronoi_volumes(frame([8, 8, 8], [[1, 1, 1], [1, 1, 1], [3, 3, 3]], np.eye(3) * 8))
