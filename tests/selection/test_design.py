import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.selection.design import FarthestPoint, LogDet


def greedy(design, count, steps):
    open_ = np.ones(count, dtype=bool)
    found = []
    for _ in range(steps):
        index, gain = design.best(open_)
        design.take(index)
        open_[index] = False
        found.append((index, gain))
    return found


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 200), rows=st.integers(1, 6), width=st.integers(1, 5), seed=st.integers(0, 20))
def test_lazy_steps_are_those_of_plain_greedy(count, rows, width, seed):
    rng = np.random.default_rng(seed)
    information, cost = rng.normal(size=(count, rows, width)), rng.uniform(0.5, 2.0, count)
    steps = min(count, 12)
    design = LogDet(information, cost)
    found = greedy(design, count, steps)
    matrix, taken = np.eye(width), []
    for index, gain in found:
        gains = np.array([np.linalg.slogdet(matrix + r.T @ r)[1] - np.linalg.slogdet(matrix)[1] for r in information])
        assert gain == pytest.approx(gains[index], rel=1e-9, abs=1e-9)
        worth = gains / cost
        worth[taken] = -np.inf
        assert worth[index] == pytest.approx(worth.max(), rel=1e-9, abs=1e-9)
        matrix = matrix + information[index].T @ information[index]
        taken.append(index)
    assert design.total == pytest.approx(np.linalg.slogdet(matrix)[1], rel=1e-9)
    assert sum(gain for _, gain in found) == pytest.approx(design.total, rel=1e-9)


def test_rows_that_say_nothing_add_nothing():
    design = LogDet(np.zeros((3, 2, 4), dtype=np.float32))
    assert design.best(np.array([False, True, True])) == (1, 0.0)
    assert design.best(np.zeros(3, dtype=bool)) is None


def test_what_cannot_be_weighed_is_refused():
    with pytest.raises(InputError, match="not finite"):
        LogDet(np.full((1, 1, 1), np.nan))
    with pytest.raises(InputError, match="must be positive"):
        LogDet(np.ones((1, 1, 1)), np.zeros(1))


def test_farthest_points_on_a_line():
    features = np.array([[0.0], [1.0], [4.0], [10.0]])
    assert greedy(FarthestPoint(features, np.array([[0.0]])), 4, 3) == [(3, 10.0), (2, 4.0), (1, 1.0)]
    assert FarthestPoint(features).best(np.array([False, True, True, True])) == (1, np.inf)
