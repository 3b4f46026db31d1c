import numpy as np
import pytest
from aiida import orm

from aiida_nvp.calculations.calibrate import ERROR_CALIBRATION, calibrate
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.uncertainty.suspects import suspect_ids

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def _predictions(labels, seed=0):
    rng = np.random.default_rng(seed)
    node = orm.ArrayData()
    node.set_array("forces", labels.forces + rng.normal(0, 0.2, (3, *labels.forces.shape)))
    node.set_array("energy", labels.energy + rng.normal(0, 0.01, (3, len(labels))))
    return node


def test_two_rounds(morse_frames):
    parameters = orm.Dict({"target_force_error": 0.3})
    labels = morse_frames(8)
    chosen = DatasetData(labels.without_labels())
    first = calibrate(_predictions(labels), chosen, DatasetData(labels.subset([0, 1, 2, 3, 4])), parameters)
    assert (first["n_frames"], first["n_unlabelled"]) == (5, 3)
    assert first["thresholds"] == pytest.approx({"lower": 0.3, "upper": 1.8, "break": 3.6})
    assert set(first["scales"]) == {"Na", "V", "P", "O"}
    fresh = morse_frames(8, seed=4)
    unlabelled, labelled = DatasetData(fresh.without_labels()), DatasetData(fresh)
    second = calibrate(_predictions(fresh, 1), unlabelled, labelled, parameters, previous=first)
    assert 0.5 < second["coverage"]["all"] <= 1.0
    assert [row["frame"] for row in second["audit"]] == fresh.ids()


def test_a_label_that_the_members_agree_against_is_suspect(morse_frames):
    labels = morse_frames(8)
    predictions = _predictions(labels)
    forces = predictions.get_array("forces")
    forces[:, 0] = labels.forces[0] + 40.0
    predictions.set_array("forces", forces)
    parameters = orm.Dict({"target_force_error": 0.3})
    result = calibrate(predictions, DatasetData(labels.without_labels()), DatasetData(labels), parameters)
    assert labels.ids()[0] in suspect_ids(result.get_dict())


def test_no_common_frame_is_a_sentence(morse_frames):
    labels = morse_frames(3)
    _, node = calibrate.run_get_node(
        _predictions(labels),
        DatasetData(labels.without_labels()),
        DatasetData(morse_frames(3, seed=50)),
        orm.Dict({"target_force_error": 0.3}),
    )
    assert node.exit_status == ERROR_CALIBRATION
    assert "none of the predicted frames has a label" in node.exit_message
