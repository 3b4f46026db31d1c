"""Ways to choose, each on candidates of which the best choice is known, and one small benchmark with real trainings."""

import gzip
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from click.testing import CliRunner

from aiida_nvp.benchmark.selection import Budget, Sight, Strategy, curve_errors, pick
from aiida_nvp.cli.benchmark import selection
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet

HERE = Path(__file__).parents[2]


@pytest.fixture
def frames():
    rng = np.random.default_rng(0)
    return FrameSet.from_atoms([Atoms("NaO", rng.uniform(0, 5, (2, 3)), cell=[5] * 3, pbc=True) for _ in range(12)])


@pytest.fixture
def sight():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(12, 3))
    features[7] = [30, 0, 0]
    information = rng.normal(scale=0.01, size=(12, 2, 3)).astype(np.float32)
    information[4] = 5.0
    largest, mean = rng.uniform(0.1, 0.2, 12), rng.uniform(0.1, 0.2, 12)
    largest[2], mean[9] = 3.0, 2.0
    return Sight(largest, mean, largest, features, rng.normal(size=(4, 3)), information)


@pytest.mark.parametrize(
    ("strategy", "first"),
    [(Strategy.LARGEST, 2), (Strategy.MEAN, 9), (Strategy.FARTHEST, 7), (Strategy.LOG_DET, 4)],
)
def test_each_takes_first_what_it_is_after(strategy, first, frames, sight):
    taken = pick(strategy, sight, frames, 4, np.random.default_rng(0))
    assert taken[0] == first
    assert len(set(taken)) == 4


def test_a_single_bad_atom_escapes_the_mean_and_not_ours(frames, sight):
    for seed in range(5):
        assert 2 in pick(Strategy.OURS, sight, frames, 6, np.random.default_rng(seed))
    lowest = replace(sight, mean=np.where(np.arange(12) == 2, 0.0, sight.mean))
    assert 2 not in pick(Strategy.MEAN, lowest, frames, 6, np.random.default_rng(0))


def test_random_is_seeded_and_full(frames):
    first = pick(Strategy.RANDOM, None, frames, 12, np.random.default_rng(3))
    assert sorted(first) == list(range(12))
    assert first == pick(Strategy.RANDOM, None, frames, 12, np.random.default_rng(3))


def test_errors_are_those_of_the_components_and_of_the_worst_atoms(frames):
    labelled = replace(frames, energy=np.zeros(12), forces=np.zeros((24, 3)), level_of_theory="x" * 64)
    predicted = np.zeros((24, 3))
    predicted[::2, 0] = 3.0
    found = curve_errors(labelled, np.stack([predicted] * 2))
    assert found["force_rmse"] == pytest.approx(np.sqrt(9 / 6))
    assert found["worst"] == pytest.approx(3.0)
    assert found["by_species"]["O"]["force_rmse"] == 0
    assert found["by_species"]["Na"]["force_rmse"] == pytest.approx(np.sqrt(3))
    with pytest.raises(InputError, match="no forces"):
        curve_errors(frames, np.stack([predicted] * 2))


def test_a_budget_without_a_round_is_refused():
    with pytest.raises(InputError, match="at least one round must fit"):
        Budget(start=16, batch=4, labels=16, seeds=1)


@pytest.mark.slow
def test_the_command_compares_trains_and_goes_on(tmp_path):
    data = tmp_path / "melts.extxyz"
    with gzip.open(HERE / "benchmarks" / "data" / "melts.extxyz.gz") as packed, data.open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    potential, out = HERE / "potentials" / "nvp-tiny", tmp_path / "out"
    words = [str(data), "--potential", str(potential), "--out", str(out), "--ood", "temperature>2000", "--epochs", "2"]
    words += ["--start", "8", "--batch", "4", "--labels", "12", "--seeds", "1", "--strategy", "ours"]
    first = CliRunner().invoke(selection, words, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    results = json.loads((out / "results.json").read_text())
    assert [(row["strategy"], row["labels"]) for row in results["rows"]] == [
        ("random", 8), ("ours", 8), ("random", 12), ("ours", 12),
    ]  # fmt: skip
    assert results["rows"][0]["errors"] == results["rows"][1]["errors"]
    assert results["rows"][2]["errors"] != results["rows"][3]["errors"]
    assert (out / "selection.html").read_text().count("<svg") == 2
    assert len(list((out / "trainings").iterdir())) == 3
    stamps = {path: path.stat().st_mtime for path in out.rglob("*.nequip.zip")}
    again = CliRunner().invoke(selection, words, catch_exceptions=False)
    assert json.loads((out / "results.json").read_text()) == results
    assert {path: path.stat().st_mtime for path in out.rglob("*.nequip.zip")} == stamps
    assert "the time is used up" not in again.output
    late = CliRunner().invoke(selection, [*words, "--labels", "16", "--minutes", "1e-9"], catch_exceptions=False)
    assert "the time is used up" in late.output
