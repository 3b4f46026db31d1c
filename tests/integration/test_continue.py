"""Campaigns that go on: after a good end, and after an end in the middle of a cycle."""

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_nvp.campaign.additions import Additions, read_cell
from aiida_nvp.common.vocabulary import Verdict
from aiida_nvp.report.graph import collect
from aiida_nvp.report.lineage import trace_all
from aiida_nvp.report.page import render
from aiida_nvp.workflows import active_learning
from aiida_nvp.workflows.continuation import loop_steps
from aiida_nvp.workflows.continue_builder import continue_campaign

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]

NO_PRODUCTION = {"production": None}
OTHER_GLASS = {"name": "VPO5", "oxides": {"V2O5": 1, "P2O5": 1}, "atoms": 7}


def loop_of(node):
    return node.base.links.get_outgoing(link_label_filter="active_learning").one().node


def steps(node):
    links = loop_of(node).base.links.get_outgoing(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    return {link.link_label: link.node for link in links}


def ids(dataset):
    return set(dataset.frames.ids())


def go_on(node, **additions):
    _, after = run_get_node(continue_campaign(node, Additions(**additions)).builder)
    assert after.is_finished_ok, after.exit_message
    return after


def test_a_finished_campaign_gets_another_cycle_and_another_glass(run_campaign):
    first = run_campaign(**NO_PRODUCTION)
    assert first.is_finished_ok, first.exit_message
    second = go_on(first, cycles=1)
    made = steps(second)
    # The final committee of the first is that of the next cycle; its review and its training are not done again.
    assert not any(label.startswith(("cycle_0", "seed", "energy", "cycle_1_train", "cycle_1_review")) for label in made)
    explored = made["cycle_1_explore"].inputs.committee.member_0
    assert explored.uuid == first.outputs.committee.member_0.uuid
    assert explored.base.links.get_outgoing(node_class=orm.WorkChainNode, link_type=LinkType.INPUT_WORK).all()
    assert second.outputs.verdict["cycle"] == 1
    assert second.outputs.verdict["verdict"] == Verdict.CYCLES_USED
    assert ids(first.outputs.dataset) < ids(second.outputs.dataset)
    # The first cycle fixed what the replicas look like; the second tells whether they still do.
    settled = [criterion for criterion in second.outputs.verdict["criteria"] if criterion["name"].endswith(" settled")]
    assert any(criterion["name"] == "P-O coordination settled" for criterion in settled)
    assert second.outputs.verdict["core_hours"] > first.outputs.verdict["core_hours"]
    report = collect(second)
    assert [cycle.index for cycle in report.cycles] == [0, 1]
    assert all(len(cycle.trains) == 3 and cycle.verdict for cycle in report.cycles)
    assert [h.sentence for h in trace_all(second.outputs.dataset) if h.misses] == []
    assert "1 cycle complete" not in render(second)

    third = go_on(second, cycles=1, cells=(read_cell(OTHER_GLASS),))
    made = steps(third)
    assert set(made["seed_label"].inputs.frames.base.attributes.get("compositions")) == {"O5PV"}
    # New labels come before the next training, so that the committee learns them.
    assert {f"cycle_2_train_{member}" for member in range(3)} <= set(made)
    parent = made["cycle_2_train_0"].inputs.train.parent
    assert parent.uuid == second.outputs.committee.member_0.uuid
    assert third.outputs.verdict["cycle"] == 2
    starts = made["cycle_2_explore"].inputs.frames
    assert len(starts.base.attributes.get("compositions")) == 4
    assert starts.frames.atoms(0).get_chemical_formula() == "O5PV"


def test_a_campaign_that_broke_in_a_cycle_uses_what_was_finished(run_campaign, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(active_learning, "calibrate", None)
        failed = run_campaign(**NO_PRODUCTION)
    assert failed.exit_status == 401
    before = steps(failed)
    assert before["cycle_0_label"].is_finished_ok
    mended = go_on(failed)
    after = steps(mended)
    # Training, exploration, selection, prediction and labels are those of the campaign that broke.
    assert set(after) >= {"cycle_0_merge", "cycle_0_calibrate", "cycle_0_assess", "final_train_0", "final_review"}
    assert not {"cycle_0_train_0", "cycle_0_explore", "cycle_0_select", "cycle_0_label", "seed_label"} & set(after)
    assert after["cycle_0_calibrate"].inputs.chosen.uuid == before["cycle_0_select"].outputs.chosen.uuid
    labels = len(before["cycle_0_label"].outputs.dataset) + len(before["seed_label"].outputs.dataset)
    assert len(mended.outputs.dataset) == labels
    whole = loop_steps(loop_of(mended))
    assert whole["cycle_0_explore"].uuid == before["cycle_0_explore"].uuid
    # One seed, one result: the mended campaign is the one that would not have broken.
    same = run_campaign(**NO_PRODUCTION)
    assert ids(same.outputs.dataset) == ids(mended.outputs.dataset)


def test_a_campaign_whose_labels_were_cut_short_finds_them(run_campaign, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(active_learning, "merge", None)
        failed = run_campaign(**NO_PRODUCTION)
    with enable_caching(identifier="aiida.calculations:nvp.rehearsal"):
        mended = go_on(failed)
    seeds = steps(mended)["seed_label"]
    jobs = [job for job in seeds.called_descendants if isinstance(job, orm.CalcJobNode)]
    assert jobs
    assert all(job.base.caching.is_created_from_cache for job in jobs)
