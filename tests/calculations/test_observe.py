"""Replicas of an exploration as evidence: which count, and what they are compared with."""

import numpy as np
import pytest
from aiida import orm
from ase.build import bulk

from aiida_nvp.calculations.observe import observe_replicas
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import StopReason, Stream
from aiida_nvp.data.dataset import DatasetData

pytestmark = pytest.mark.usefixtures("aiida_profile")

WATCHED = {"pairs": {"Na-Cl": 3.0}, "formers": [], "mobile": "Na"}


def replica(index, frames=10, step=0.05, stream=Stream.STRIDE):
    """Rock salt whose ions walk through the faces of the cell, which folds them back."""
    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True)
    drift = np.where(salt.numbers[:, None] == 11, step, -step * 22.98976928 / 35.45) * [1, 0, 0]
    made = []
    for frame in range(frames):
        atoms = salt.copy()
        atoms.positions += frame * drift
        atoms.wrap()
        origin = {"replica": index, "step": 10 * frame, "time_ps": 0.01 * frame, "stream": stream.value}
        made.append((atoms, {"origin": origin}))
    return made


def run(*replicas, stops=None, parameters=WATCHED):
    frames = [frame for each in replicas for frame in each]
    candidates = DatasetData(FrameSet.from_atoms([atoms for atoms, _ in frames], [info for _, info in frames]))
    rows = [
        {"index": index, "schedule": index % 2, "stop_reason": (stops or {}).get(index, StopReason.COMPLETED).value}
        for index in range(len(replicas))
    ]
    return observe_replicas.run_get_node(candidates, orm.Dict({"replicas": rows}), orm.Dict(parameters))


def test_whole_replicas_are_measured_over_their_second_half():
    result, node = run(replica(0), replica(1), replica(2))
    assert node.is_finished_ok
    rows = result["samples"]
    assert [row["replica"] for row in rows] == [0, 1, 2]
    assert [row["stratum"] for row in rows] == [f"Cl4Na4, schedule {index}" for index in (0, 1, 0)]
    lags = 0.01 * np.arange(1, 3)
    slope = np.polyfit(lags, (5 * lags) ** 2, 1)[0]
    assert rows[0]["values"]["MSD slope Na"] == pytest.approx(slope, rel=1e-3)
    assert rows[0]["values"] == rows[2]["values"]


def test_what_broke_is_left_out_and_told():
    result, _ = run(replica(0), replica(1), stops={1: StopReason.UNCERTAINTY})
    assert [row["replica"] for row in result["samples"]] == [0]
    assert result["left_out"] == {"1": StopReason.UNCERTAINTY.value}


def test_steps_too_long_to_follow_cost_their_replica_alone():
    result, node = run(replica(0), replica(1, step=2.6))
    assert node.is_finished_ok
    assert [row["replica"] for row in result["samples"]] == [0]
    assert "ambiguous" in result["left_out"]["1"]


def test_break_frames_are_no_trajectory():
    result, _ = run([*replica(0), *replica(0, frames=1, stream=Stream.BREAK)])
    assert len(result["samples"]) == 1


def test_wrong_parameters_end_with_a_sentence():
    _, node = run(replica(0), parameters={"pairs": {}, "formers": ["P"]})
    assert node.exit_status == 210
    assert "Q^n of P" in node.exit_message
