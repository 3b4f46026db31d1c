"""Derived seeds."""

from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.common.seeds import derive_seed


@given(st.integers(0, 2**31 - 1), st.text(max_size=8), st.integers(0, 50))
def test_seed_fits_and_repeats(seed, label, number):
    value = derive_seed(seed, label, number)
    assert 0 <= value < 2**31
    assert value == derive_seed(seed, label, number)


def test_seeds_differ_by_purpose():
    values = {derive_seed(1, stage, n) for stage in ("train", "explore", "select") for n in range(100)}
    assert len(values) == 300
