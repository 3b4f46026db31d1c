import pytest
from aiida import orm
from aiida.engine import run
from aiida.plugins import WorkflowFactory

from aiida_nvp.calculations.generate import generate
from aiida_nvp.calculations.merge import merge
from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.report.lineage import trace, trace_all


def test_every_frame_is_found_with_zero_misses(built):
    histories = trace_all(built.dataset)
    assert len(histories) == len(built.dataset)
    assert [history.misses for history in histories] == [()] * len(histories)
    assert {history.label.calculation.kind for history in histories} == {"PwCalculation"}


def test_a_seed_leads_to_the_ionic_step_and_to_the_generator(built):
    history = trace(built.dataset, 3)
    assert (history.label.step, history.proposal.process.kind) == (3, "generate")
    assert history.proposal.info["kind"] == "packed"
    assert set(history.label.inputs) == {"structure", "parameters"}


def test_a_chosen_frame_leads_to_exploration_step_committee_and_reason(built):
    history = trace(built.dataset, len(built.dataset) - 1)
    assert history.label.step == 0
    assert history.proposal.process.kind == "ExploreCalculation"
    assert len(history.proposal.committee) == 3
    assert history.proposal.info["step"] == 20
    assert history.proposal.info["reason"].startswith("accepted")
    assert "merge" in [hop.kind for hop in history.hops]
    assert "step 20" in history.sentence
    assert f"PwCalculation<{history.label.calculation.pk}>" in history.sentence


def test_a_frame_is_found_by_the_start_of_its_id(built):
    identity = built.dataset.frames.ids()[4]
    assert trace(built.dataset, identity[:12]).index == 4


@pytest.mark.parametrize("frame", [-1, 10_000, "", "no such id"])
def test_a_frame_that_is_not_there_is_refused(built, frame):
    with pytest.raises(InputError):
        trace(built.dataset, frame)


def test_stored_uuids_are_not_believed(built):
    """A copy outside of any process carries all UUIDs and still has no history."""
    sources = [{"label": trace(built.dataset, 0).label.calculation.uuid}] * len(built.dataset)
    copy = DatasetData(built.dataset.frames, sources).store()
    history = trace(copy, 0)
    assert history.label is None
    assert "no process created" in history.sentence


def test_forces_of_another_calculation_are_a_miss(built):
    from dataclasses import replace

    frames = built.seed.frames
    swapped = DatasetData(replace(frames, forces=frames.forces + 0.01))
    built.graph.process(
        orm.CalcFunctionNode,
        "collect_labels",
        inputs={"trajectory": first_trajectory(built)},
        outputs={"dataset": swapped},
    )
    histories = trace_all(swapped)
    assert "other forces" in histories[0].sentence
    assert "none of the 1 trajectories" in histories[-1].sentence


def test_a_merge_that_never_saw_the_frame_is_a_miss(built):
    stray = DatasetData(built.dataset.frames.subset([len(built.dataset) - 1]))
    built.graph.process(orm.CalcFunctionNode, "merge", inputs={"dataset": built.seed}, outputs={"result": stray})
    history = trace(stray, 0)
    assert (history.label, history.proposal) == (None, None)
    assert "no data set among the inputs of merge" in history.sentence


def first_trajectory(built):
    return orm.load_node(trace(built.seed, 0).label.trajectory.uuid)


def test_labels_of_real_jobs_are_followed_to_the_generator(aiida_profile, worker_code):
    cells = [{"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10, "copies": 2}]
    frames = generate(orm.Dict({"cells": cells}), orm.Int(4))
    settings = {"mode": "relax", "relax_steps": 3}
    inputs = {"frames": frames, "labeller": "rehearsal", "code": worker_code, "settings": orm.Dict(settings)}
    outputs = run(WorkflowFactory("nvp.label"), **inputs)
    merged = merge(labels=outputs["dataset"])
    histories = trace_all(merged)
    assert [history.misses for history in histories] == [()] * len(merged)
    assert [history.label.step for history in histories] == [0, 1, 2] * 2
    assert {history.label.calculation.kind for history in histories} == {"RehearsalCalculation"}
    assert {history.proposal.process.kind for history in histories} == {"generate"}
