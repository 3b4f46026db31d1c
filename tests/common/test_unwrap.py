"""Unwrapping is the inverse of wrapping."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.unwrap import Unwrapper

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
    unwrapper = Unwrapper()
    for place, image, cell in zip(fractional, images, cells, strict=True):
        np.testing.assert_allclose(unwrapper.follow((place + image) @ cell, cell, ""), place @ cell, atol=1e-9)


def test_a_step_of_nearly_half_the_cell_is_refused_with_its_place():
    unwrapper, positions = Unwrapper(), np.zeros((3, 3))
    unwrapper.follow(positions, CELL, "frame 0")
    positions[1] = 0.45 * CELL[1]
    with pytest.raises(InputError, match=r"frame 1 of run.xyz: atom 1 is 0.45 of a cell vector"):
        unwrapper.follow(positions, CELL, "frame 1 of run.xyz")
