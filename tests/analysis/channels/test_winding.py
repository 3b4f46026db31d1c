"""The lattice of winding vectors, against exact integer arithmetic."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.channels.winding import find, hermite, insert, join, make_forest, pack, rank, unpack

vectors = st.lists(st.tuples(*[st.integers(-6, 6)] * 3), min_size=1, max_size=5)


def lattice(rows):
    basis = np.zeros((3, 3), dtype=np.int64)
    for row in rows:
        insert(basis, np.array(row, dtype=np.int64))
    return basis


def test_packed_vectors_add_up():
    generator = np.random.default_rng(0)
    steps = generator.integers(-1000, 1000, size=(50, 3))
    assert unpack(sum(pack(*step) for step in steps.tolist())).tolist() == steps.sum(axis=0).tolist()


@settings(deadline=None)
@given(rows=vectors, seed=st.integers(0, 100))
def test_basis_does_not_depend_on_the_order_and_has_the_rank(rows, seed):
    basis = lattice(rows)
    shuffled = np.random.default_rng(seed).permutation(np.array(rows))
    assert rank(basis) == np.linalg.matrix_rank(np.array(rows))
    assert (hermite(lattice(shuffled)) == hermite(basis)).all()


@settings(deadline=None)
@given(rows=vectors)
def test_basis_spans_every_vector_and_nothing_finer(rows):
    basis = hermite(lattice(rows))
    again = lattice([*rows, *rows, *basis.tolist()])
    assert (hermite(again) == basis).all()
    square = np.array(rows, dtype=np.int64)
    if square.shape == (3, 3):
        assert round(abs(np.linalg.det(square))) == round(abs(np.linalg.det(basis)))


def test_two_and_three_cells_make_one():
    assert hermite(lattice([(2, 0, 0), (3, 0, 0)]))[0].tolist() == [1, 0, 0]
    assert hermite(lattice([(2, 0, 0), (4, 0, 0)]))[0].tolist() == [2, 0, 0]
    assert hermite(lattice([(0, -1, 3), (0, 0, -2)])).tolist() == [[0, 0, 0], [0, 1, 1], [0, 0, 2]]


def test_a_chain_through_the_cell_winds_once_it_is_closed():
    forest = make_forest(4)
    for node in range(3):
        join(forest, node, node + 1, pack(0, 0, 0))
    root, _ = find(forest, 0)
    assert rank(forest.basis[root]) == 0
    assert join(forest, 3, 0, pack(1, -2, 0)) == (root, -1)
    assert forest.basis[root, 0].tolist() == [1, -2, 0]
    assert forest.size[root] == 4


def test_displacements_survive_unions_in_any_order():
    generator = np.random.default_rng(3)
    images = generator.integers(-5, 6, size=(30, 3))
    forest = make_forest(30)
    for a, b in generator.integers(30, size=(80, 2)):
        join(forest, a, b, pack(*(images[b] - images[a]).tolist()))
    for node in range(30):
        root, away = find(forest, node)
        assert unpack(away).tolist() == (images[node] - images[root]).tolist()
        assert rank(forest.basis[root]) == 0
