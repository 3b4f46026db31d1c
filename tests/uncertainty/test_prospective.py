import json

import numpy as np
import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import SelectionReason
from aiida_nvp.uncertainty.prospective import FEWEST_RANDOM_FRAMES, Predictions, calibration_report
from aiida_nvp.uncertainty.suspects import suspect_ids
from aiida_nvp.uncertainty.thresholds import Tolerance


def _made(labels, random=2, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    reasons = [SelectionReason.RANDOM] * random + [SelectionReason.UNCERTAIN] * (len(labels) - random)
    origins = [{"origin": {"reason": reason.value, "temperature": 300.0 + 50 * i}} for i, reason in enumerate(reasons)]
    frames = type(labels).from_atoms(list(labels.without_labels()), info=origins)
    forces = labels.forces + rng.normal(0, noise, (3, *labels.forces.shape))
    return Predictions(frames, forces, labels.energy + rng.normal(0, 0.01, (3, len(labels))))


def test_failed_labels_and_predictions_are_left_out_and_order_does_not_matter(morse_frames):
    labels = morse_frames(12)
    made = _made(labels)
    full = calibration_report(made, labels, Tolerance(0.3), {})
    shuffled = calibration_report(made, labels.subset([5, 3, 1, 0, 2, 4, 7, 6, 9, 8, 11, 10]), Tolerance(0.3), {})
    assert shuffled == full
    made.energy[1, 4] = np.nan
    made.forces[1, made.frames.slice_of(4)] = np.nan
    part = calibration_report(made, labels.subset([0, 1, 2, 4, 5]), Tolerance(0.3), {})
    assert (part["n_frames"], part["n_unlabelled"]) == (4, 8)
    json.dumps(part, allow_nan=False)


def test_errors_are_those_of_the_mean_and_of_the_driver(morse_frames):
    labels = morse_frames(12)
    made = _made(labels)
    report = calibration_report(made, labels, Tolerance(0.3), {})["prospective"]
    mean = made.forces.mean(axis=0) - labels.forces
    assert report["force_rmse"] == pytest.approx(np.sqrt(np.mean(mean**2)))
    assert report["driver_force_rmse"] == pytest.approx(np.sqrt(np.mean((made.forces[0] - labels.forces) ** 2)))
    atoms = slice(0, int(labels.offsets[2]))
    assert report["random"]["force_rmse"] == pytest.approx(np.sqrt(np.mean(mean[atoms] ** 2)))
    assert report["random"]["n_frames"] == 2
    assert set(report["by_temperature"]) == {"0-500", "500-1000"}


def test_the_earlier_calibration_is_tested_on_fresh_frames(morse_frames):
    first = calibration_report(_made(morse_frames(12)), morse_frames(12), Tolerance(0.3), {})
    assert first["coverage"] is None
    fresh = morse_frames(12, seed=5)
    good = calibration_report(_made(fresh, seed=5), fresh, Tolerance(0.3), first)["coverage"]["all"]
    assert good > 0.75
    # Members that share an error do not see it: the old interval no longer covers.
    shifted = _made(fresh, seed=5)
    shifted.forces[:] += 3.0
    assert calibration_report(shifted, fresh, Tolerance(0.3), first)["coverage"]["all"] < 0.3


def test_the_random_share_calibrates_alone_once_it_is_large_enough(morse_frames):
    labels = morse_frames(24)
    made = _made(labels, random=FEWEST_RANDOM_FRAMES)
    made.forces[:, int(labels.offsets[FEWEST_RANDOM_FRAMES]) :] += 5.0
    report = calibration_report(made, labels, Tolerance(0.3), {})
    assert report["calibrated_on"] == "random share"
    mixed = calibration_report(_made(labels, random=FEWEST_RANDOM_FRAMES - 1), labels, Tolerance(0.3), {})
    assert mixed["calibrated_on"] == "all chosen frames"
    assert max(report["scales"].values()) < 2.0


def test_each_label_has_its_row_in_the_audit(morse_frames):
    labels = morse_frames(12)
    made = _made(labels, noise=0.05)
    atom = int(labels.offsets[7])
    made.forces[:, atom] = labels.forces[atom] + 9.0
    made.energy[2, 3] = np.nan
    report = calibration_report(made, labels, Tolerance(0.05), {})
    ids = labels.ids()
    assert [row["frame"] for row in report["audit"]] == [*ids[:3], *ids[4:]]
    (row,) = [row for row in report["audit"] if row["quantity"] == "forces" and row["class"] != "explained"]
    assert (row["frame"], row["class"], row["atom"], row["sigma"]) == (ids[7], "suspect label", 0, 0.0)
    assert row["residual"] == pytest.approx(9.0 * 3**0.5)
    assert ids[7] in suspect_ids(report)


def test_labels_of_other_frames_are_refused(morse_frames):
    with pytest.raises(InputError, match="none of the predicted"):
        calibration_report(_made(morse_frames(3)), morse_frames(3, seed=99), Tolerance(0.3), {})
    labels = morse_frames(3)
    with pytest.raises(InputError, match="predicted forces"):
        Predictions(labels, np.zeros((2, 5, 3)), np.zeros((2, 3)))
