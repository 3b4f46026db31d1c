"""Ratios of learning curves whose ratio is known."""

import numpy as np
import pytest

from aiida_nvp.benchmark.curves import labels_ratio

LABELS = (16, 32, 64, 128)


def rows(scale, seeds=5, noise=0.0):
    """Return curves that fall as the square root; `scale` is how many labels fewer a strategy needs."""
    rng = np.random.default_rng(0)
    found = []
    for strategy, factor in {"random": 1.0, "ours": scale}.items():
        for seed in range(seeds):
            for labels in LABELS:
                error = float((labels * factor) ** -0.5 * np.exp(rng.normal(scale=noise)))
                errors = {"in": {"force_rmse": error, "worst": 3 * error}}
                found.append({"strategy": strategy, "seed": seed, "labels": labels, "errors": errors})
    return found


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.5])
def test_exact_curves_give_their_ratio(scale):
    found = labels_ratio(rows(scale), "in", "force_rmse", 1)
    assert found["ours"]["ratio"] == pytest.approx(scale)
    assert found["ours"]["interval"] == pytest.approx([scale, scale])
    assert found["random"]["ratio"] == pytest.approx(1)


def test_noise_widens_the_interval_and_equal_seeds_give_equal_intervals():
    first = labels_ratio(rows(1.5, seeds=12, noise=0.1), "in", "worst", 1)["ours"]
    low, high = first["interval"]
    assert low < 1.5 < high
    assert high - low > 0.05
    assert labels_ratio(rows(1.5, seeds=12, noise=0.1), "in", "worst", 1)["ours"] == first


def test_two_repetitions_have_no_interval_and_unequal_curves_do_not_count():
    two = labels_ratio(rows(2.0, seeds=2), "in", "force_rmse", 1)
    assert two["ours"]["interval"] is None
    # The time was used up: the last point of one strategy is missing in one repetition.
    short = [row for row in rows(2.0) if (row["strategy"], row["seed"], row["labels"]) != ("ours", 4, 128)]
    assert labels_ratio(short, "in", "force_rmse", 1)["ours"]["seeds"] == 4
    assert labels_ratio(short, "out", "force_rmse", 1) == {}
