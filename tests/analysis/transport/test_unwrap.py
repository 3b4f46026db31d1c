"""Unwrapping is the inverse of wrapping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.transport.unwrap import unwrap
from aiida_nvp.common.errors import InputError

CELL = np.array([[9.0, 0, 0], [3, 8, 0], [-2, 1, 10]])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.05))
def test_wrapped_paths_come_back(seed, breath):
    rng = np.random.default_rng(seed)
    cells = CELL * (1 + breath * np.sin(np.arange(40)))[:, None, None]
    fractional = rng.random((1, 7, 3)) + np.cumsum(rng.uniform(-0.39, 0.39, (40, 7, 3)), axis=0)
    fractional -= np.floor(fractional[0])
    images = rng.integers(-3, 4, fractional.shape)
    images[0] = 0
    np.testing.assert_allclose(unwrap((fractional + images) @ cells, cells), fractional @ cells, atol=1e-9)


def test_long_step_is_refused_with_the_place():
    positions = np.zeros((4, 3, 3))
    positions[2:, 1] = 0.45 * CELL[1]
    with pytest.raises(InputError, match=r"Na \(atom 1\) moves by 0.45 of the cell along b between frames 1 and 2"):
        unwrap(positions, np.repeat(CELL[None], 4, axis=0), np.array([8, 11, 8]))
    with pytest.raises(InputError, match="atom 1 moves"):
        unwrap(positions, np.repeat(CELL[None], 4, axis=0))


@pytest.mark.parametrize(("positions", "cells"), [((4, 3), (4, 3, 3)), ((4, 2, 3), (3, 3, 3)), ((4, 2, 2), (4, 3, 3))])
def test_shapes_must_fit(positions, cells):
    with pytest.raises(InputError, match="do not fit"):
        unwrap(np.zeros(positions), np.zeros(cells))
