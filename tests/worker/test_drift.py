import json

import numpy as np
import pytest

from aiida_nvp.worker.drift import WINDOW_PS, Drift


def test_slope_of_a_ramp_under_a_vibration():
    drift = Drift()
    times = np.arange(0, 1.001, 0.001)
    # Ten periods in a window, which leave a trace of their own of less than a tenth of the slope.
    energies = 0.03 * times + 1e-4 * np.sin(2 * np.pi * times / 0.025)
    slopes = [s for t, e in zip(times, energies, strict=True) if (s := drift.add(0, float(t), float(e))) is not None]
    assert len(slopes) == drift.windows == int(1.0 / (WINDOW_PS + 0.001))
    assert slopes == pytest.approx([0.03] * len(slopes), rel=0.1)
    assert drift.summary() == pytest.approx(1000 * max(slopes), abs=1e-3)


def test_windows_do_not_reach_across_stages_nor_across_a_rewind():
    drift = Drift()
    for step in range(400):
        assert drift.add(step // 100, step * 0.001, float(step // 100)) is None
    for step in range(200):
        drift.add(9, step * 0.001, 0.0)
    drift.forget()
    assert drift.add(9, 0.3, 5.0) is None
    assert drift.summary() is None


def test_what_is_no_number_is_the_largest_drift():
    drift = Drift()
    drift.add(0, 0.0, 0.0)
    assert np.isnan(drift.add(0, 1.0, float("nan")))
    assert drift.summary() is None


def test_it_survives_json():
    drift = Drift()
    for step in range(300):
        drift.add(0, step * 0.001, step * 1e-6)
    assert Drift.of(json.loads(json.dumps(drift.plain()))) == drift
