"""The stage `analyse` as a program."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aiida_nvp.common.trajectory import TrajectoryWriter
from aiida_nvp.worker.main import run_stage

PARAMETERS = {
    "stages": [{"index": 1, "name": "hold 900 K", "temperature": 900}],
    "pairs": {"P-O": 2.2, "Na-O": 3.1},
    "mobile": "Na",
    "bin_width": 0.1,
}


def write_gas(path, frames=30, atoms=60):
    rng = np.random.default_rng(0)
    numbers = rng.choice([8, 11, 15], atoms)
    positions = rng.random((atoms, 3)) * 9
    with TrajectoryWriter(path, numbers) as writer:
        for step in range(frames):
            positions = positions + rng.normal(scale=0.3, size=(atoms, 3))
            cell = np.eye(3) * 9
            writer.write(step=step, time_ps=step * 0.1, positions=positions, cell=cell, stage=int(step >= frames // 2))


def run(folder, parameters):
    (folder / "input.json").write_text(json.dumps(parameters))
    status = run_stage("analyse", folder / "input.json")
    return status, json.loads((folder / ("error.json" if status else "output.json")).read_text())


def test_results_and_curves(tmp_path):
    write_gas(tmp_path / "trajectory.h5")
    status, output = run(tmp_path, PARAMETERS)
    assert status == 0
    (stage,) = output["stages"]
    assert (stage["name"], stage["n_frames"]) == ("hold 900 K", 15)
    assert set(stage["coordination"]) == {"P-O", "Na-O"}
    assert sum(share["share"] for share in stage["coordination"]["P-O"]["shares"].values()) == pytest.approx(1)
    assert stage["msd"]["Na"]["diffusive"]
    assert output["units"]["diffusivity"] == "m^2/s"
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert len(arrays["stage_1_r"]) == len(arrays["stage_1_g_Na_O"]) == 45
        assert arrays["stage_1_msd_axes_Na"].shape == (15, 3)


@pytest.mark.parametrize("parameters", [{**PARAMETERS, "mobile": None}, {"stages": [{"index": 1}], "pairs": {}}])
def test_without_a_mobile_species_nothing_percolates(tmp_path, parameters):
    write_gas(tmp_path / "trajectory.h5")
    status, output = run(tmp_path, parameters)
    assert status == 0
    assert "percolation" not in output["stages"][0]
    assert set(output["stages"][0]["msd"]) == {"Na", "O", "P"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"stages": [{"index": 5}]}, "no frame of stage 5; its stages are 0, 1"),
        ({"stages": []}, "needs at least one entry"),
        ({"stages": [{"name": "hold"}]}, "`index`"),
        ({"pairs": {"V-O": 2.5}}, "pair 'V-O' is not two species"),
        ({"mobile": "V"}, "mobile species 'V' is not in the trajectory"),
        ({"bin_width": 100}, "bin_width must lie between"),
        ({"colour": "red"}, "unknown parameter 'colour'"),
    ],
)
def test_bad_parameters_give_a_sentence(tmp_path, change, sentence):
    write_gas(tmp_path / "trajectory.h5", frames=10)
    status, error = run(tmp_path, {**PARAMETERS, **change})
    assert status == 1
    assert error["code"] == "ERROR_WORKER_INPUT"
    assert sentence in error["message"]


def test_too_few_frames_and_damaged_file(tmp_path):
    write_gas(tmp_path / "trajectory.h5", frames=6)
    assert "stage 1: 3 frames are too few" in run(tmp_path, PARAMETERS)[1]["message"]
    (tmp_path / "trajectory.h5").write_bytes(b"junk")
    assert "trajectory.h5 is not a readable" in run(tmp_path, PARAMETERS)[1]["message"]
