import json
from dataclasses import replace

import numpy as np
import pytest

from aiida_nvp.benchmark.parts import Parts
from aiida_nvp.benchmark.uncertainty import COMBINED, Measured, judge
from aiida_nvp.report.benchmark_page import HEADER, markdown, quality_rows, write_benchmark
from aiida_nvp.uncertainty.residuals import Residuals


@pytest.fixture
def measured():
    """Errors that follow spread and force size; the last layer knows nothing."""
    rng = np.random.default_rng(0)
    n_frames, size = 120, 10
    count = n_frames * size
    frame = np.repeat(np.arange(n_frames), size)
    sigma, predicted = rng.uniform(0.2, 2, count), rng.normal(size=(count, 3)) * rng.uniform(0.2, 3, (count, 1))
    force = np.linalg.norm(predicted, axis=1)
    width = sigma * np.sqrt(force + 0.05) * np.where(frame < 100, 1.0, 3.0)
    labelled = predicted - rng.normal(size=(count, 3)) * width[:, None] / np.sqrt(3)
    numbers = rng.choice([8, 23], count).astype(np.int32)
    residuals = Residuals(numbers, frame, sigma, predicted, labelled, rng.uniform(0.5, 2, count))
    noise = rng.uniform(0.5, 2, count)
    scores = {
        "committee": sigma,
        "last layer, energy": noise,
        "last layer, force": noise,
        "feature distance": residuals.distance,
        "force size": force,
    }
    return Measured(residuals, scores)


@pytest.fixture
def parts():
    return Parts(np.arange(20), np.arange(20, 100), np.arange(100, 120), np.arange(120))


def test_what_is_known_of_the_errors_is_found(measured, parts):
    result = judge(measured, parts, seed=1, divisions=20)
    inside, outside = result["calibrated"]["in"], result["calibrated"]["out"]
    # Conformal factors of forty structures lean to the safe side by about 1 / 40.
    assert inside[COMBINED]["coverage"]["0.9"]["mean"] == pytest.approx(0.91, abs=0.025)
    rank = {name: row["spearman"]["mean"] for name, row in inside.items()}
    assert rank[COMBINED] > max(rank["committee"], rank["force size"]) > 0.2
    assert abs(rank["last layer, force"]) < 0.1
    # Errors out there are three times larger than calibrated.
    assert outside[COMBINED]["coverage"]["0.9"]["mean"] < 0.6
    assert outside[COMBINED]["rms_z"]["mean"] == pytest.approx(3.0, rel=0.15)
    assert result["frames"] == {"train": 20, "in": 80, "out": 20}
    assert result["ranking"]["in"]["committee"]["V"]["n_atoms"] > 0
    json.dumps(result, allow_nan=False)


def test_equal_seeds_equal_numbers(measured, parts):
    assert judge(measured, parts, 3, 5) == judge(measured, parts, 3, 5)


def test_without_frames_out_there_that_half_is_absent(measured, parts, tmp_path):
    result = judge(measured, replace(parts, out=np.empty(0, dtype=int)), 1, 5)
    assert set(result["calibrated"]) == {"in"}
    about = {"name": "a.extxyz", "potential": "p", "members": 3, "seed": 1, "divisions": 5, "out_where": []}
    page = write_benchmark(result, about, tmp_path / "page.html").read_text()
    assert "out of distribution" not in page.split("What this does not say")[0].split("<h2>")[0]
    assert page.count("<svg") == 2


def test_tables_hold_every_measure(measured, parts, tmp_path):
    result = judge(measured, parts, 1, 5)
    rows = quality_rows(result["calibrated"]["in"])
    assert [row[0] for row in rows] == list(result["calibrated"]["in"])
    assert {len(row) for row in rows} == {len(HEADER) + 1}
    text = markdown(result)
    assert text.count("| combined |") == 2
    about = {"name": "a.extxyz", "potential": "p", "members": 3, "seed": 1, "divisions": 5, "out_where": ["t>1"]}
    page = write_benchmark(result, about, tmp_path / "page.html").read_text()
    assert "combined" in page
    assert "t&gt;1" in page
