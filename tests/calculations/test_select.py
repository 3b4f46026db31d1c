import re

import numpy as np
import pytest
from aiida import orm
from ase import Atoms

from aiida_nvp.calculations.select import select
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import SelectionReason
from aiida_nvp.data.dataset import DatasetData

pytestmark = pytest.mark.usefixtures("aiida_profile")

PARAMETERS = {"budget": 2, "random_share": 0.0, "lower": 0.1, "upper": 1.0, "max_per_replica": 4}


def dimers(distances):
    return [Atoms("PO", positions=[[0, 0, 0], [d, 0, 0]], cell=[8] * 3, pbc=True) for d in distances]


@pytest.fixture
def inputs():
    """Six dimers: known, too close, quiet, two in the window, one above it; the first shell is the pair itself."""
    distances, sigmas = [1.5, 0.5, 1.6, 1.7, 1.8, 1.9], [0.5, 0.5, 0.05, 0.3, 0.5, 3.0]
    info = [
        {"origin": {"kind": "exploration", "replica": r, "step": 20 * r, "stream": "stride", "temperature": 900.0}}
        for r in range(6)
    ]
    sources = [{"explore": f"uuid-{index}"} for index in range(6)]
    predictions = orm.ArrayData()
    predictions.set_array("forces_std", np.repeat(sigmas, 2))
    predictions.set_array("forces_mean", np.zeros((12, 3)))
    predictions.set_array("features", np.arange(12.0).reshape(6, 2))
    return {
        "candidates": DatasetData(FrameSet.from_atoms(dimers(distances), info), sources),
        "predictions": predictions,
        "known": DatasetData(FrameSet.from_atoms(dimers([1.5]))),
        "parameters": orm.Dict(PARAMETERS),
        "seed": orm.Int(3),
    }


def test_chosen_frames_and_table(inputs):
    outputs, node = select.run_get_node(**inputs)
    assert node.is_finished_ok
    chosen, table = outputs["chosen"], outputs["table"].get_dict()
    assert chosen.sources == [{"explore": "uuid-4"}, {"explore": "uuid-3"}]
    assert chosen.frames.info[0]["origin"]["reason"] == SelectionReason.UNCERTAIN
    assert chosen.frames.info[0]["origin"]["score"] == pytest.approx(0.5)
    assert chosen.frames.info[0]["origin"]["step"] == 80
    assert [row["reason"] for row in table["rows"]] == [
        SelectionReason.DUPLICATE,
        SelectionReason.TOO_CLOSE,
        SelectionReason.BELOW,
        SelectionReason.UNCERTAIN,
        SelectionReason.UNCERTAIN,
        SelectionReason.ABOVE,
    ]
    assert [row["rank"] for row in table["rows"]] == [None, None, None, 1, 0, None]
    assert table["rows"][4]["frame"] == chosen.frames.ids()[0]
    assert table["counts"][SelectionReason.UNCERTAIN] == table["chosen"] == 2
    # excess over 0.1, counted up to 1.0: 0.4, 0.4, 0, 0.2, 0.4 and 1.0
    assert table["fresh"] == {"frames": 6, "uncertain": 5, "mean_excess": pytest.approx(2.4 / 6)}


def test_calibration_scales_the_score_and_moves_the_window(inputs):
    calibration = orm.Dict({"scales": {"P": 4.0, "O": 2.0}, "thresholds": {"lower": 0.12, "upper": 0.72, "break": 2}})
    outputs = select(**inputs, calibration=calibration)
    rows = outputs["table"]["rows"]
    # the pair is one shell, so its score is the mean: three times the raw spread
    assert rows[2]["score"] == pytest.approx(0.15)
    assert [row["decision"] for row in rows] == ["rejected", "rejected", "accepted", "rejected", "rejected", "rejected"]
    assert outputs["table"]["thresholds"] == {"lower": 0.12, "upper": 0.72}


def test_distance_from_what_is_known(inputs):
    review = orm.ArrayData()
    review.set_array("features", np.array([[8.0, 9.0]]))
    inputs["parameters"] = orm.Dict({**PARAMETERS, "budget": 1})
    near_known = select(**inputs, review=review)["table"]["rows"]
    # the most uncertain frame has the features of the known one
    assert near_known[4]["reason"] == SelectionReason.DUPLICATE
    assert near_known[3]["rank"] == 0


def test_no_candidate_in_the_window_is_normal(inputs):
    inputs["parameters"] = orm.Dict({**PARAMETERS, "lower": 5.0, "upper": 9.0})
    outputs, node = select.run_get_node(**inputs)
    assert node.is_finished_ok
    assert len(outputs["chosen"]) == 0
    assert outputs["table"]["chosen"] == 0


def test_no_candidate_at_all_is_normal(inputs):
    predictions = orm.ArrayData()
    predictions.set_array("forces_std", np.empty(0))
    predictions.set_array("forces_mean", np.empty((0, 3)))
    predictions.set_array("features", np.empty((0, 0)))
    inputs |= {"candidates": DatasetData(FrameSet.from_atoms([])), "predictions": predictions}
    outputs, node = select.run_get_node(**inputs)
    assert node.is_finished_ok
    assert outputs["table"]["fresh"] == {"frames": 0, "uncertain": 0, "mean_excess": None}


def test_a_score_that_is_not_a_number(inputs):
    sigma = np.full(12, 0.5)
    sigma[8] = np.nan
    predictions = orm.ArrayData()
    predictions.set_array("forces_std", sigma)
    predictions.set_array("forces_mean", np.zeros((12, 3)))
    predictions.set_array("features", np.arange(12.0).reshape(6, 2))
    inputs["predictions"] = predictions
    rows = select(**inputs)["table"]["rows"]
    assert rows[4]["reason"] == SelectionReason.NOT_FINITE
    assert rows[4]["score"] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"budget": 0}, "budget: .*greater than"),
        ({"upper": 0.05}, "has to rise"),
        ({"budget": None}, "`budget` is missing"),
    ],
)
def test_bad_parameters_end_with_a_sentence(inputs, change, words):
    values = {key: value for key, value in {**PARAMETERS, **change}.items() if value is not None}
    inputs["parameters"] = orm.Dict(values)
    _, node = select.run_get_node(**inputs)
    assert node.exit_status == 210
    assert re.search(words, node.exit_message)


def test_arrays_of_another_length(inputs):
    predictions = orm.ArrayData()
    predictions.set_array("forces_std", np.zeros(3))
    predictions.set_array("features", np.zeros((6, 2)))
    _, node = select.run_get_node(**{**inputs, "predictions": predictions})
    assert node.exit_status == 210
    assert "no `forces_mean`" in node.exit_message
    predictions = orm.ArrayData()
    predictions.set_array("forces_std", np.zeros(3))
    predictions.set_array("forces_mean", np.zeros((12, 3)))
    predictions.set_array("features", np.zeros((6, 2)))
    _, node = select.run_get_node(**{**inputs, "predictions": predictions})
    assert "forces_std is of 3 atoms, the candidates have 12" in node.exit_message


def test_what_was_left_over_is_judged_by_the_next_committee(inputs):
    """Of three uncertain dimers one gets the label; the next committee knows one of the others by then."""
    inputs["parameters"] = orm.Dict({**PARAMETERS, "budget": 1})
    first = select(**inputs)
    left = first["left_over"]
    # the rest of the window first, then what lies above it
    assert left.frames.ids() == [inputs["candidates"].frames.ids()[index] for index in (3, 5)]
    assert {info["origin"]["stream"] for info in left.frames.info} == {"left over"}
    assert left.sources == [{"explore": "uuid-3"}, {"explore": "uuid-5"}]
    rescored = orm.ArrayData()
    forces = np.zeros((3, 4, 3))
    forces[0, :, 0] = [0.02, 0.02, 0.8, 0.8]
    rescored.set_array("forces", forces)
    rescored.set_array("features", np.array([[40.0, 0.0], [50.0, 0.0]]))
    fresh = orm.ArrayData()
    fresh.set_array("forces_std", np.full(2, 0.3))
    fresh.set_array("forces_mean", np.zeros((2, 3)))
    fresh.set_array("features", np.zeros((1, 2)))
    second = select(
        candidates=DatasetData(FrameSet.from_atoms(dimers([2.0]))),
        predictions=fresh,
        known=inputs["known"],
        parameters=orm.Dict({**PARAMETERS, "budget": 1, "random_share": 0.0}),
        seed=orm.Int(3),
        left_over=left,
        rescored=rescored,
    )
    rows = second["table"]["rows"]
    assert [row["reason"] for row in rows] == [
        SelectionReason.BUDGET,
        SelectionReason.KNOWN,
        SelectionReason.UNCERTAIN,
    ]
    assert rows[2]["score"] == pytest.approx(0.8 / np.sqrt(3))
    assert rows[2]["replica"] == 5
    # the fresh, unbiased frames alone tell how the potential stands
    assert second["table"]["fresh"]["frames"] == 1
    assert second["chosen"].sources == [{"explore": "uuid-5"}]
    assert second["left_over"].frames.ids() == [rows[0]["frame"]]


def test_left_over_frames_come_with_their_scores(inputs):
    _, node = select.run_get_node(**inputs, left_over=inputs["known"])
    assert "come together" in node.exit_message
    _, node = select.run_get_node(**inputs, rescore=inputs["known"])
    assert "`rescore` (DatasetData) has no place" in node.exit_message


def test_information_decides_where_there_is_any(inputs):
    rows = np.zeros((6, 1, 2), dtype=np.float32)
    rows[3] = [[5.0, 0.0]]
    rows[4] = [[1.0, 0.0]]
    inputs["predictions"].set_array("information", rows)
    inputs["parameters"] = orm.Dict({**PARAMETERS, "budget": 1})
    table = select(**inputs)["table"].get_dict()
    assert table["rows"][3]["rank"] == 0
    assert table["rows"][3]["gain"] == pytest.approx(np.log(26.0))
    assert table["information_gain"] == pytest.approx(np.log(26.0))
    assert table["method"] == "log_det"
    # the dimer that breaks is the most uncertain, the two next share a place
    assert [row["place"] for row in table["rows"]] == [2, 3, 6, 5, 4, 1]
