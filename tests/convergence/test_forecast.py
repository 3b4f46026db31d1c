"""Learning curves that are known, extrapolated."""

import numpy as np
import pytest

from aiida_nvp.convergence.evidence import CycleEvidence
from aiida_nvp.convergence.forecast import forecast


def history(errors, batch=20, cost=0.5):
    return [
        CycleEvidence(100, 5, 0, chosen=batch, labelled=batch, force_error=error, core_hours=cost) for error in errors
    ]


def power_law(labels):
    return 2.0 * np.asarray(labels, dtype=float) ** -0.5


def test_a_power_law_is_found_again():
    trained_on = [40, 60, 80, 100]
    found = forecast(history(power_law(trained_on)), labels=120)
    assert found.labels == 20
    assert found.core_hours == 0.5
    assert found.force_error == pytest.approx(power_law(140))
    assert found.gain == pytest.approx(power_law(120) - power_law(140))
    assert found.low == pytest.approx(found.high)
    assert "20 labels and 0.5 core hours" in found.sentence


def test_noise_makes_the_interval():
    """Nine times of ten the next error lies inside."""
    rng = np.random.default_rng(3)
    trained_on = np.array([40, 60, 80, 100, 120])
    inside = 0
    for _ in range(300):
        noisy = power_law(trained_on) * np.exp(rng.normal(0, 0.05, 5))
        found = forecast(history(noisy), labels=140)
        inside += found.low < power_law(160) * np.exp(rng.normal(0, 0.05)) < found.high
    assert 0.84 * 300 < inside < 0.95 * 300


def test_two_errors_give_no_interval():
    found = forecast(history(power_law([40, 60])), labels=80)
    assert found.force_error == pytest.approx(power_law(100))
    assert found.low is None
    assert "third cycle" in found.sentence


@pytest.mark.parametrize("errors", [[0.4], [None, 0.4], [None, None]])
def test_one_error_gives_no_forecast(errors):
    found = forecast(history(errors), labels=100)
    assert found.force_error is None
    assert found.labels == 20
    assert "not known yet" in found.sentence


def test_nothing_labelled_gives_no_forecast():
    found = forecast(history([None, None], batch=0, cost=None), labels=100)
    assert (found.labels, found.core_hours, found.force_error) == (0, None, None)
