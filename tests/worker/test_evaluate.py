import json
import shutil

import numpy as np
import pytest

from aiida_nvp.uncertainty.committee import Committee, Prediction
from aiida_nvp.worker.evaluate import summary
from aiida_nvp.worker.main import run_stage


def _folder(folder, committee, frames, **content):
    frames.save(folder / "frames.npz")
    for index, package in enumerate(committee):
        shutil.copy(package, folder / f"member_{index}.nequip.zip")
    (folder / "input.json").write_text(json.dumps({"members": len(committee), **content}))
    return folder / "input.json"


def test_members_predictions_and_errors(tmp_path, tiny_committee, morse_frames):
    frames = morse_frames(5, seed=2)
    assert run_stage("evaluate", _folder(tmp_path, tiny_committee, frames)) == 0
    output = json.loads((tmp_path / "output.json").read_text())
    with np.load(tmp_path / "arrays.npz") as arrays:
        expected = Committee.load(tiny_committee).predict(frames)
        assert arrays["forces"] == pytest.approx(expected.forces, abs=1e-5)
        assert arrays["energy"].shape == (3, 5)
        assert list(arrays["offsets"]) == list(frames.offsets)
    rmse = np.sqrt(np.mean((expected.forces.mean(axis=0) - frames.forces) ** 2))
    assert output["errors"]["force_rmse"] == pytest.approx(rmse, rel=1e-4)
    assert set(output["errors"]["by_species"]) == {"Na", "V", "P", "O"}
    assert output["not_finite"] == 0


@pytest.mark.parametrize(("evidence", "rows"), [("energy", 8), ("force", 24)])
def test_information_of_the_most_uncertain_atoms(tmp_path, tiny_committee, morse_frames, evidence, rows):
    frames = morse_frames(3, seed=2)
    shutil.copy(tiny_committee[0].with_name("statistics.npz"), tmp_path)
    assert run_stage("evaluate", _folder(tmp_path, tiny_committee, frames, information=evidence)) == 0
    with np.load(tmp_path / "arrays.npz") as arrays:
        lengths = np.linalg.norm(arrays["information"], axis=2)
        last_layer = arrays["last_layer"].reshape(3, 8)
    assert lengths.shape == (3, rows)
    if evidence == "energy":
        # Every atom of these cells has its row, in another order.
        assert np.sort(lengths) == pytest.approx(np.sort(last_layer), rel=1e-4)
    else:
        assert (lengths > 0).any()


def test_without_statistics_there_is_no_information(tmp_path, tiny_committee, morse_frames):
    assert run_stage("evaluate", _folder(tmp_path, tiny_committee, morse_frames(1))) == 0
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert "information" not in arrays.files


def test_unlabelled_frames_give_no_errors_and_missing_numbers_are_counted(morse_frames):
    frames = morse_frames(3)
    prediction = Prediction(np.zeros((2, 3)), np.stack([frames.forces, frames.forces + np.array([3.0, 0, 0])]))
    report = summary(frames.without_labels(), prediction)
    assert "errors" not in report
    assert report["mean_spread"] == pytest.approx(3.0 / np.sqrt(2))
    prediction.energy[1, 2] = np.nan
    prediction.forces[1, frames.slice_of(2)] = np.nan
    partial = summary(frames, prediction)
    assert partial["not_finite"] == 1
    assert partial["errors"]["force_rmse"] == pytest.approx(1.5 / np.sqrt(3))
    prediction.energy[:] = np.nan
    assert summary(frames, prediction) == {"not_finite": 3}


def test_a_damaged_package_is_a_documented_error(tmp_path, tiny_committee, morse_frames):
    input_file = _folder(tmp_path, tiny_committee, morse_frames(1))
    (tmp_path / "member_1.nequip.zip").write_bytes(b"nothing")
    assert run_stage("evaluate", input_file) == 1
    error = json.loads((tmp_path / "error.json").read_text())
    assert error["code"] == "ERROR_WORKER_INPUT"
    assert "member_1" in error["message"]
