import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aiida_nvp.selection.duplicates import near_duplicates, nearest, repeated_ids, standardise


def test_repeated_and_known_ids():
    assert repeated_ids(["a", "b", "a", "c"], {"c"}).tolist() == [False, False, True, True]


def test_standardised_distance_is_about_one():
    rng = np.random.default_rng(0)
    raw = np.column_stack([rng.normal(5, 100, 4000), rng.normal(0, 1e-3, 4000), np.full(4000, 7.0)])
    scaled = standardise(raw, raw)
    assert not scaled[:, 2].any()
    squares = np.square(scaled[:2000] - scaled[2000:]).sum(axis=1)
    assert squares.mean() == pytest.approx(1.0, rel=0.1)


@given(
    features=arrays(float, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(-5, 5)),
    tolerance=st.floats(0.01, 3.0),
)
def test_kept_frames_lie_apart_and_marked_ones_near_a_kept_one(features, tolerance):
    marked = near_duplicates(features, range(len(features)), tolerance)
    assert not marked[0]
    kept = features[~marked]
    apart = np.linalg.norm(kept[:, None] - kept[None], axis=2) + np.eye(len(kept)) * 1e9
    assert (apart >= tolerance * (1 - 1e-6) - 1e-6).all()
    if marked.any():
        assert (nearest(features[marked], kept) < tolerance + 1e-6).all()


def test_known_frames_mark_and_outsiders_do_not_compete():
    features = np.array([[0.0], [0.01], [5.0], [5.01]])
    assert near_duplicates(features, [1, 3], 0.1).tolist() == [False] * 4
    assert near_duplicates(features, [0, 1, 2, 3], 0.1).tolist() == [False, True, False, True]
    assert near_duplicates(features, [0, 2], 0.1, np.array([[0.02]])).tolist() == [True, False, False, False]
    assert not near_duplicates(features, [0, 1, 2, 3], 0.0).any()


def test_nearest_of_nothing_is_infinite():
    assert np.isinf(nearest(np.zeros((2, 3)), np.empty((0, 3)))).all()
    assert nearest(np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 0]])) == pytest.approx([0.0, 5.0])
