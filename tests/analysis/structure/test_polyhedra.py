"""Shapes of ideal, turned and distorted polyhedra."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.polyhedra import Polyhedra
from aiida_nvp.common.errors import InputError

X, Y, Z = np.eye(3)
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
TRIANGLE = [X, -X / 2 + Y * np.sqrt(3) / 2, -X / 2 - Y * np.sqrt(3) / 2]
TILT = np.radians(104.5)
IDEAL = {
    "trigonal plane": TRIANGLE,
    "trigonal pyramid": TETRAHEDRON[:3],
    "tetrahedron": TETRAHEDRON,
    "square plane": [X, -X, Y, -Y],
    "seesaw": [Z, -Z, *TRIANGLE[:2]],
    "square pyramid": [Z, *(np.sin(TILT) * side + np.cos(TILT) * Z for side in (X, -X, Y, -Y))],
    "trigonal bipyramid": [Z, -Z, *TRIANGLE],
    "octahedron": [X, -X, Y, -Y, Z, -Z],
    "trigonal prism": [*(np.array(TRIANGLE) / np.sqrt(3) + Z / 2), *(np.array(TRIANGLE) / np.sqrt(3) - Z / 2)],
}


def look(*stars, edge=12.0, **options):
    """Look at one V after the other along x, each with its own ligands."""
    positions, numbers = [], []
    for place, star in enumerate(stars):
        centre = np.array([edge * (place + 0.5), edge / 2, edge / 2])
        positions += [centre, *(centre + np.asarray(star))]
        numbers += [23] + [8] * len(star)
    cell = np.diag([edge * len(stars), edge, edge])
    frame = Frame(np.array(numbers), np.array(positions), cell)
    rules = BondRules(frame.numbers, {"V-O": 2.4})
    polyhedra = Polyhedra(rules, "V-O", **options)
    polyhedra.add(Environment.of(frame, rules))
    return polyhedra.result()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6))
@pytest.mark.parametrize("name", IDEAL)
def test_ideal_shapes_are_found_however_they_are_turned_and_stretched(name, seed):
    rng = np.random.default_rng(seed)
    unit = np.array(IDEAL[name]) / np.linalg.norm(IDEAL[name], axis=1, keepdims=True)
    star = Rotation.random(rng=rng).apply(unit * rng.uniform(1.5, 2.3, (len(unit), 1)))
    found = look(star)
    assert {shape: share.mean for shape, share in found.shares.items()} == {name: 1}
    assert found.deviation_deg[name].mean == pytest.approx(0, abs=1e-4)


def test_single_numbers_at_their_ends():
    assert look(2 * TETRAHEDRON).tau4.mean == pytest.approx(1, abs=1e-3)
    assert look(2 * TETRAHEDRON).tetrahedral_order.mean == pytest.approx(1)
    assert look(2 * np.array(IDEAL["square plane"])).tau4.mean == pytest.approx(0, abs=1e-6)
    assert look(2 * np.array(IDEAL["square pyramid"])).tau5.mean == pytest.approx(0, abs=1e-6)
    bipyramid = look(2 * np.array(IDEAL["trigonal bipyramid"]))
    assert bipyramid.tau5.mean == pytest.approx(1)
    assert bipyramid.tau5_density.mean[-1] == 20
    # Vacant octahedron: V in the plane of its base.
    assert set(look(2 * np.array(IDEAL["octahedron"][1:])).shares) == {"square pyramid"}


def test_random_directions_have_no_tetrahedral_order():
    rng = np.random.default_rng(0)
    unit = rng.normal(size=(3000, 4, 3))
    found = look(*(2 * unit / np.linalg.norm(unit, axis=2, keepdims=True)), edge=8.0)
    assert found.tetrahedral_order.mean == pytest.approx(0, abs=0.02)
    assert found.shares["irregular"].mean > 0.3


def test_mixture_adds_up_and_lengths_are_by_number():
    found = look(2 * TETRAHEDRON, 2.2 * np.array(IDEAL["octahedron"]), [2 * X], 1.8 * np.array(IDEAL["square pyramid"]))
    shares = {name: share.mean for name, share in found.shares.items()}
    assert shares == {"tetrahedron": 0.25, "square pyramid": 0.25, "octahedron": 0.25, "other number": 0.25}
    assert {n: length.mean for n, length in found.length.items()} == pytest.approx({4: 2.0, 5: 1.8, 6: 2.2})
    assert found.tau5.mean == pytest.approx(0, abs=1e-6)


def test_limit_tells_irregular_from_distorted():
    bent = 2 * TETRAHEDRON + np.random.default_rng(1).normal(scale=0.15, size=(4, 3))
    assert set(look(bent).shares) == {"tetrahedron"}
    assert set(look(bent, limit_deg=1.0).shares) == {"irregular"}


def test_bad_input_gives_a_sentence(gas):
    rules = BondRules(gas(0).numbers, {"P-O": 2.0})
    with pytest.raises(InputError, match="polyhedra of Na-O need"):
        Polyhedra(rules, "Na-O")
    with pytest.raises(InputError, match="must be positive"):
        Polyhedra(rules, "P-O", limit_deg=0)
