"""Block errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.analysis.statistics import RunningBlocks, block_average, ratio
from aiida_nvp.common.errors import InputError


def test_error_of_independent_samples_is_the_standard_error():
    samples = np.random.default_rng(0).normal(loc=2, size=(1000, 400))
    mean, error = block_average(samples)
    np.testing.assert_allclose(mean, samples.mean(axis=0))
    assert abs(np.sqrt((error**2).mean()) * np.sqrt(1000) - 1) < 0.06


def test_one_sample_has_no_error():
    mean, error = block_average(np.array([3.0]))
    assert mean == 3
    assert np.isnan(error)


def stream(samples, blocks=5):
    running = RunningBlocks(blocks)
    for sample in samples:
        running.add(sample)
    return running


@given(length=st.sampled_from([1, 2, 4, 8]), count=st.integers(5, 9), seed=st.integers(0, 99))
def test_stream_equals_blocks_of_the_same_number(length, count, seed):
    samples = np.random.default_rng(seed).normal(size=(length * count, 3)).cumsum(axis=0)
    curve = stream(samples).curve()
    mean, error = block_average(samples, count)
    np.testing.assert_allclose(curve.mean, mean, rtol=1e-12)
    np.testing.assert_allclose(curve.error, error, rtol=1e-9)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 7, 10, 11, 23, 1001])
def test_mean_is_exact_for_any_number_of_frames_and_memory_is_bounded(frames):
    samples = np.random.default_rng(1).normal(size=(frames, 2))
    running = stream(samples)
    np.testing.assert_allclose(running.curve().mean, samples.mean(axis=0), rtol=1e-12)
    assert running.samples == frames
    assert len(running._whole) < 10
    assert np.isnan(running.curve().error).all() == (frames == 1)


def test_error_of_correlated_samples_is_larger_and_right():
    # An autoregressive series of memory a has 2 tau = (1 + a) / (1 - a) times the variance of independent samples.
    rng, memory = np.random.default_rng(2), 0.8
    series = np.zeros((4096, 300))
    for step in range(1, len(series)):
        series[step] = memory * series[step - 1] + rng.normal(size=300)
    error = stream(series).curve().error
    expected = np.sqrt((1 + memory) / (1 - memory) / (1 - memory**2) / len(series))
    assert np.sqrt((error**2).mean()) == pytest.approx(expected, rel=0.1)


def test_error_of_a_ratio_knows_the_correlation():
    base = np.random.default_rng(3).uniform(1, 2, 80)
    running = stream(np.stack([3 * base, base], axis=1))
    number = running.number(lambda pair: ratio(pair[0], pair[1]))
    assert number.mean == pytest.approx(3)
    assert number.error == pytest.approx(0, abs=1e-12)


def test_ratio_to_nothing_is_not_a_number():
    np.testing.assert_array_equal(ratio([1, 0], [2, 0]), [0.5, np.nan])


def test_no_sample_is_a_sentence():
    with pytest.raises(InputError, match="at least one frame"):
        RunningBlocks().curve()
