"""Ions whose neighbours are made to go with their mobility, or not."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_nvp.analysis.channels.environment import environment_correlations
from aiida_nvp.common.errors import InputError

NA, P, V = 11, 15, 23


def _run(trajectory, neighbours, widths, seed=0):
    """Each ion alone in a cube of 8 angstrom, with so many V beside it; P stands far off; each shakes by its width."""
    generator = np.random.default_rng(seed)
    count = len(neighbours)
    homes = np.stack(np.meshgrid(*[np.arange(4)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)[:count] * 8.0 + 4
    ring = [
        home + 2.0 * np.array([np.cos(angle), np.sin(angle), 0])
        for home, number in zip(homes, neighbours, strict=True)
        for angle in np.linspace(0, 2 * np.pi, number, endpoint=False)
    ]
    places = np.concatenate([homes, np.array(ring), homes + 3.9])
    frames = np.repeat(places[None], 60, axis=0)
    shake = generator.normal(size=(60, count, 3)) * np.asarray(widths)[None, :, None]
    frames[:, :count] += shake
    numbers = [NA] * count + [V] * len(ring) + [P] * count
    return trajectory(frames, cell=32.0, numbers=numbers)


def test_more_neighbours_less_motion(trajectory):
    neighbours = np.arange(40) % 6 + 1
    run = _run(trajectory, neighbours, 0.3 / neighbours)
    (found,) = environment_correlations(run, "Na", {"V": 3.5}, window=5)
    assert found.mean_neighbours == pytest.approx(neighbours.mean())
    assert found.spread == pytest.approx(neighbours.std())
    assert -1 <= found.spearman.low < found.spearman.value < found.spearman.high < -0.8
    assert "more V around them move less" in found.sentence
    (other,) = environment_correlations(_run(trajectory, neighbours, 0.04 * neighbours), "Na", {"V": 3.5}, window=5)
    assert "move more" in other.sentence


def test_no_effect_is_not_claimed(trajectory):
    neighbours = np.random.default_rng(8).integers(1, 6, 50)
    found = environment_correlations(_run(trajectory, neighbours, [0.1] * 50), "Na", {"V": 3.5, "P": 3.5}, window=5)
    assert found[0].spearman.low < 0 < found[0].spearman.high
    assert "no effect of V" in found[0].sentence
    assert found[1].mean_neighbours == 0
    assert found[1].spearman is None
    assert "same number of P" in found[1].sentence
    again = environment_correlations(_run(trajectory, neighbours, [0.1] * 50), "Na", {"V": 3.5, "P": 3.5}, window=5)
    assert again == found


@pytest.mark.parametrize(
    ("count", "cutoffs", "window", "sentence"),
    [
        (9, {"V": 3.0}, 5, "too few to correlate"),
        (12, {"V": 0.0}, 5, "cutoff to V must be positive"),
        (12, {"Te": 3.0}, 5, "'Te' is not in the trajectory"),
        (12, {"V": 3.0}, 60, "does not fit into 60"),
    ],
)
def test_bad_input_gives_a_sentence(trajectory, count, cutoffs, window, sentence):
    with pytest.raises(InputError, match=sentence):
        environment_correlations(_run(trajectory, [1] * count, [0.1] * count), "Na", cutoffs, window)
