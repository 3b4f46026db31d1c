"""The train stage: what it refuses, what it leaves behind, how it stops and goes on."""

import json
import os
import signal
import subprocess
import sysconfig
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError, WorkerError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.worker.job import Job
from aiida_nvp.worker.train import read_metrics, read_task

WORKER = Path(sysconfig.get_path("scripts")) / "nvp-worker"


def trained(definition, **training):
    return definition.model_copy(update={"training": definition.training.model_copy(update=training)})


@pytest.fixture
def job_folder(tmp_path, morse_frames, tiny_definition, tiny_shifts):
    """Return a function that makes the folder of one job."""

    def _make(name="job", frames=None, definition=tiny_definition, **inputs):
        folder = tmp_path / name
        folder.mkdir()
        (frames if frames is not None else morse_frames(12)).save(folder / "frames.npz")
        content = {"definition": definition.plain(), "seed": 0, "shifts": tiny_shifts, **inputs}
        (folder / "input.json").write_text(json.dumps(content))
        return folder

    return _make


def task_of(folder):
    return read_task(Job(folder, json.loads((folder / "input.json").read_text())))


def start(folder):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [WORKER, "train", "input.json"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def progress(folder):
    path = folder / "progress.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def error_of(folder):
    return json.loads((folder / "error.json").read_text())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda frames: frames.subset([]), "the data set is empty"),
        (lambda frames: frames.without_labels(), "no labels"),
        (lambda frames: frames.subset([0]), "at least two different frames"),
    ],
)
def test_unusable_frames_are_refused(job_folder, morse_frames, spoil, message):
    with pytest.raises(InputError, match=message):
        task_of(job_folder(frames=spoil(morse_frames(3))))


def test_species_outside_the_definition_is_refused(job_folder, morse_frames):
    with pytest.raises(InputError, match="holds Li, which potential `tiny-test` does not know"):
        task_of(job_folder(frames=morse_frames(3, symbols=["LiVPO5"])))


def test_stress_weight_needs_stress_labels(job_folder, tiny_definition, morse_frames):
    complete = morse_frames(3)
    stress = complete.stress.copy()
    stress[1] = np.nan
    folder = job_folder("complete", frames=complete, definition=trained(tiny_definition, stress_weight=1.0))
    assert task_of(folder).definition.training.stress_weight == 1.0
    fields = {name: getattr(complete, name) for name in FrameSet.__dataclass_fields__}
    FrameSet(**{**fields, "stress": stress}).save(folder / "frames.npz")
    with pytest.raises(InputError, match="not every frame has a stress label"):
        task_of(folder)


def test_invalid_definition_is_refused(job_folder, tiny_definition):
    with pytest.raises(InputError, match="definition is not valid"):
        task_of(job_folder(definition=tiny_definition.model_copy(update={"cutoff": -1.0})))


def test_sparse_rows_of_one_epoch_are_merged(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(
        "epoch,step,train_loss_epoch/forces_mse,train_loss_step/forces_mse,val0_epoch/forces_rmse\n"
        "0,9,,,0.5\n0,9,4.0,,\n1,19,,,0.25\n1,19,1.0,7.0,\n2,29,0.5,,\n"
    )
    metrics = read_metrics(path)
    assert set(metrics) == {"epoch", "train_loss_forces_mse", "validation_forces_rmse"}
    assert metrics["epoch"].tolist() == [1, 2, 3]
    assert metrics["train_loss_forces_mse"].tolist() == [4.0, 1.0, 0.5]
    np.testing.assert_array_equal(metrics["validation_forces_rmse"], [0.5, 0.25, np.nan])


def test_finished_job_tells_all(tiny_committee, tiny_definition):
    folder = tiny_committee[0].parent
    output = json.loads((folder / "output.json").read_text())
    assert output["epochs"] == tiny_definition.training.epochs
    assert output["n_train"] + output["n_validation"] + output["n_out_of_bag"] == 12
    assert (output["types"], output["cutoff"], output["seed"]) == (["Na", "V", "P", "O"], 4.0, 0)
    assert output["versions"]["nequip"]
    assert output["accelerator"] in ("cpu", "cuda")
    frames = FrameSet.load(folder / "frames.npz")
    assert output["force_rms"] == pytest.approx(np.sqrt(np.mean(frames.forces**2)))
    with np.load(folder / "arrays.npz") as arrays:
        errors = arrays["validation_forces_rmse"]
        assert arrays["epoch"].tolist() == [1, 2]
    # The package carries the averaged weights of the best epoch: its error, measured anew, is that epoch's.
    assert output["best_epoch"] == np.argmin(errors) + 1
    assert output["errors"]["validation"]["force_rmse"] == pytest.approx(errors.min(), rel=1e-4)
    reported = [line["validation_force_rmse"] for line in progress(folder) if "epoch" in line]
    assert reported == pytest.approx(errors)


def test_members_differ(tiny_committee):
    outputs = [json.loads((path.parent / "output.json").read_text()) for path in tiny_committee]
    assert len({output["errors"]["train"]["force_rmse"] for output in outputs}) == len(outputs)


def test_damaged_or_foreign_parent_is_named(tiny_committee, tiny_definition, tmp_path):
    from aiida_nvp.worker.training_run import check_parent

    check_parent(tiny_committee[0], tiny_definition)
    damaged = tmp_path / "damaged.nequip.zip"
    content = bytearray(tiny_committee[0].read_bytes())
    content[len(content) // 2] ^= 0xFF
    damaged.write_bytes(content)
    text = tmp_path / "text.nequip.zip"
    text.write_text("not a package")
    for path, message in ((damaged, "damaged|cannot be read"), (text, "cannot be read")):
        with pytest.raises(WorkerError, match=message) as caught:
            check_parent(path, tiny_definition)
        assert caught.value.code == "ERROR_PARENT_PACKAGE"
    other = tiny_definition.model_copy(update={"species": ("Na", "V", "Fe", "O")})
    with pytest.raises(WorkerError, match="but not Fe, which `tiny-test` names; a training cannot add species"):
        check_parent(tiny_committee[0], other)
    fewer = tiny_definition.model_copy(update={"species": ("O", "V")})
    assert check_parent(tiny_committee[0], fewer) == tiny_definition.species
    nearer = tiny_definition.model_copy(update={"cutoff": tiny_definition.cutoff - 0.5})
    with pytest.raises(WorkerError, match="a warm start keeps the cutoff"):
        check_parent(tiny_committee[0], nearer)


def test_warm_start_begins_where_the_parent_ended(job_folder, tiny_committee, tiny_definition):
    gentle = trained(tiny_definition, warm_learning_rate=1e-6, warm_epochs=1)
    folder = job_folder(definition=gentle)
    (folder / "parent.nequip.zip").write_bytes(tiny_committee[0].read_bytes())
    assert start(folder).wait(120) == 0
    output = json.loads((folder / "output.json").read_text())
    parent = json.loads((tiny_committee[0].parent / "output.json").read_text())
    assert output["warm_start"] is True
    for part in ("train", "validation"):
        assert output["errors"][part]["force_rmse"] == pytest.approx(parent["errors"][part]["force_rmse"], rel=1e-3)


def test_a_parent_of_another_energy_zero_gets_shifts_that_fit(
    job_folder, tiny_committee, tiny_definition, morse_frames
):
    """Labels with another energy a species: a network cannot learn thousands of eV in one gentle epoch, shifts can."""
    from ase.data import atomic_numbers

    frames = morse_frames(12)
    zero = {"Na": -1300.0, "V": -1900.0, "P": -190.0, "O": -440.0}
    each = np.zeros(100)
    each[[atomic_numbers[symbol] for symbol in zero]] = list(zero.values())
    moved = replace(frames, energy=frames.energy + np.add.reduceat(each[frames.numbers], frames.offsets[:-1]))
    gentle = trained(tiny_definition, warm_learning_rate=1e-6, warm_epochs=1)
    # Fewer species than the parent knows would do; another order is taken from the parent.
    gentle = gentle.model_copy(update={"species": ("O", "P", "V", "Na")})
    outputs = {}
    for name, refit in (("stays", False), ("fits", True)):
        folder = job_folder(name, frames=moved, definition=gentle, refit_shifts=refit)
        (folder / "parent.nequip.zip").write_bytes(tiny_committee[0].read_bytes())
        assert start(folder).wait(120) == 0, error_of(folder)
        outputs[name] = json.loads((folder / "output.json").read_text())
    assert outputs["stays"]["refitted_shifts"] == {}
    assert outputs["stays"]["errors"]["train"]["energy_rmse_per_atom"] > 100
    # Within what compositions do not explain of the Morse energies.
    scatter = np.std(frames.energy / 8)
    for part in ("train", "validation", "out_of_bag"):
        assert outputs["fits"]["errors"][part]["energy_rmse_per_atom"] < max(scatter, 0.2)
    assert outputs["fits"]["errors"]["train"]["force_rmse"] == pytest.approx(
        outputs["stays"]["errors"]["train"]["force_rmse"], rel=1e-3
    )
    assert outputs["fits"]["types"] == ["Na", "V", "P", "O"]
    assert set(outputs["fits"]["refitted_shifts"]) == set(zero)


def test_divergence_has_its_code(job_folder, tiny_definition):
    wild = trained(tiny_definition, learning_rate=1e6, epochs=50)
    folder = job_folder(definition=wild)
    assert start(folder).wait(120) == 1
    assert error_of(folder)["code"] == "ERROR_TRAINING_DIVERGED"
    assert not (folder / "potential.nequip.zip").exists()


def test_stopped_training_goes_on_from_its_checkpoint(job_folder, tiny_definition):
    folder = job_folder("first", definition=trained(tiny_definition, epochs=100_000))
    process = start(folder)
    limit = time.monotonic() + 60
    while not progress(folder) and time.monotonic() < limit:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 1
    assert error_of(folder)["code"] == "ERROR_TRAINING_STOPPED"
    (reached,) = [line["checkpoint"] for line in progress(folder) if "checkpoint" in line]

    second = job_folder("second", definition=trained(tiny_definition, epochs=reached + 2))
    for name in ("last.ckpt", "best.ckpt"):
        (second / name).write_bytes((folder / name).read_bytes())
    assert start(second).wait(120) == 0
    assert [line["epoch"] for line in progress(second)] == [reached + 1, reached + 2]
    before = min(line["validation_force_rmse"] for line in progress(folder) if "epoch" in line)
    after = json.loads((second / "output.json").read_text())["errors"]["validation"]["force_rmse"]
    assert after <= before * 1.001


@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_package_has_the_weights_that_were_asked_for(job_folder, tiny_definition, keep):
    """So large a rate that the first epoch is the best one."""
    wild = trained(tiny_definition, keep=keep, epochs=4, learning_rate=0.3, ema_decay=0.1)
    folder = job_folder(definition=wild)
    assert start(folder).wait(120) == 0, error_of(folder)
    output = json.loads((folder / "output.json").read_text())
    with np.load(folder / "arrays.npz") as arrays:
        errors = arrays["validation_forces_rmse"]
    best = int(np.argmin(errors)) + 1
    assert best < output["epochs"] == len(errors) == 4
    kept = best if keep == "best" else output["epochs"]
    assert output["best_epoch"] == kept
    # Measured anew with what was packaged.
    assert output["errors"]["validation"]["force_rmse"] == pytest.approx(errors[kept - 1], rel=1e-3)


def test_patience_ends_a_training_early(job_folder, tiny_definition):
    """So large a rate that the first epoch is the best one."""
    wild = trained(tiny_definition, patience=2, epochs=50, learning_rate=0.3, ema_decay=0.1)
    folder = job_folder(definition=wild)
    assert start(folder).wait(120) == 0, error_of(folder)
    output = json.loads((folder / "output.json").read_text())
    assert output["stopped_early"] is True
    assert output["epochs"] == output["best_epoch"] + 2 < 50


def test_errors_on_the_frozen_test_are_reported(job_folder, tiny_definition):
    committee = tiny_definition.committee.model_copy(update={"test_fraction": 0.3})
    folder = job_folder(definition=tiny_definition.model_copy(update={"committee": committee}))
    task = task_of(folder)
    assert start(folder).wait(120) == 0, error_of(folder)
    output = json.loads((folder / "output.json").read_text())
    assert output["n_test"] == len(task.split.test) > 0
    assert output["errors"]["test"]["force_rmse"] > 0
    with np.load(folder / "arrays.npz") as arrays:
        assert np.flatnonzero(arrays["split"] == 3).tolist() == list(task.split.test)
        assert len(arrays["split"]) == 12


def test_a_training_is_reproducible(job_folder, tiny_committee):
    """One seed and one thread on a CPU: the errors agree exactly; the bytes of a package do not (it holds times)."""
    folder = job_folder()
    assert start(folder).wait(120) == 0, error_of(folder)
    first, again = (json.loads((path / "output.json").read_text()) for path in (tiny_committee[0].parent, folder))
    print("same bytes:", (folder / "potential.nequip.zip").read_bytes() == tiny_committee[0].read_bytes())
    assert again["errors"] == first["errors"]
