"""One whole campaign, twice: it ends well, leaves nothing untraced, and repeats itself exactly."""

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.manage.caching import enable_caching

from aiida_nvp.common.vocabulary import Verdict
from aiida_nvp.report.cost import cost_by_stage
from aiida_nvp.report.lineage import trace_all

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]

FROM_SCRATCH = {"epochs": 4, "warm_epochs": 2, "scratch_release": True}


def children(node):
    links = node.base.links.get_outgoing(link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK)).all()
    return {link.link_label: link.node for link in links}


def jobs_below(node):
    return [child for child in node.called_descendants if isinstance(child, orm.CalcJobNode)]


def test_the_whole_loop_twice(run_campaign, campaign_file, recipe, tmp_path, capsys):
    first = run_campaign(training=FROM_SCRATCH)
    assert first.is_finished_ok, first.exit_message
    check_stages(first)
    check_lineage(first)
    check_report(first, recipe, tmp_path)
    with enable_caching(identifier="aiida.calculations:nvp.rehearsal"):
        second = recipe("05_active_learning")(campaign_file(training=FROM_SCRATCH))
    assert second.is_finished_ok, second.exit_message
    check_repetition(first, second)
    said = capsys.readouterr().out
    assert f"campaign<{second.pk}>: {Verdict.CYCLES_USED}, {len(second.outputs.dataset)} labelled frames" in said


def check_stages(node):
    top = children(node)
    assert list(top) == ["generate", "active_learning", "generate_production", "produce", "analyse"]
    loop = children(top["active_learning"])
    expected = {"seed_label", "seed_merge", "energy_shifts", "final_review", "final_warm_train", "final_warm_check"}
    expected |= {f"{stage}_train_{m}" for stage in ("cycle_0", "final") for m in range(3)}
    cycle = ("explore", "review", "select", "predict", "label", "calibrate", "merge", "observe", "assess")
    expected |= {f"cycle_0_{stage}" for stage in cycle}
    assert set(loop) == expected
    assert all(child.is_finished_ok for child in loop.values())
    verdict = node.outputs.verdict
    assert verdict["verdict"] == Verdict.CYCLES_USED
    assert verdict["core_hours"] > 0
    assert "two cycles with labels" in verdict["forecast"]["sentence"]
    # The composition names V as the element that is reduced.
    assert {"coverage of V", "observables settled"} <= {criterion["name"] for criterion in verdict["criteria"]}
    samples = loop["cycle_0_observe"].outputs.result["samples"]
    assert {"density", "P-O coordination", "Q0(P)", "g(P-O)"} <= set(samples[0]["values"])
    # Predictions were made before the labels existed.
    assert loop["cycle_0_predict"].mtime < loop["cycle_0_label"].ctime
    # The release began from random weights; the training that it is compared with began from the predecessor.
    assert all("parent" not in loop[f"final_train_{member}"].inputs.train for member in range(3))
    parent = loop["final_warm_train"].inputs.train.parent
    assert parent.uuid == loop["cycle_0_train_0"].outputs.potential.uuid
    check = loop["final_warm_check"].outputs.result
    assert check["ratio"] == pytest.approx(check["warm"] / check["scratch"])
    assert check["frames"] > 0
    counted = len(loop["seed_label"].outputs.dataset) + len(loop["cycle_0_label"].outputs.dataset)
    assert len(node.outputs.dataset) == counted
    group = orm.load_group("nvp/tiny")
    assert {node.uuid, node.outputs.dataset.uuid} <= {member.uuid for member in group.nodes}


def check_lineage(node):
    histories = trace_all(node.outputs.dataset)
    assert len(histories) == len(node.outputs.dataset)
    assert [history.sentence for history in histories if history.misses] == []
    explored = [h for h in histories if h.proposal is not None and "score" in h.proposal.info]
    assert len(explored) == len(children(children(node)["active_learning"])["cycle_0_label"].outputs.dataset)
    assert all(h.proposal.committee for h in explored)


def check_report(node, recipe, folder):
    path = recipe("08_report")(node.pk, folder / "report.html")
    text = path.read_text()
    assert "analytic stand-in" in text
    assert "Release from scratch." in text
    assert node.outputs.dataset.uuid in text


def check_repetition(first, second):
    """One seed, one result: equal data sets; and the labels were not computed again."""
    hashes = [n.outputs.dataset.base.attributes.get("content_hash") for n in (first, second)]
    assert hashes[0] == hashes[1]
    assert first.outputs.dataset.base.caching.get_hash() == second.outputs.dataset.base.caching.get_hash()
    labels = [job for job in jobs_below(second) if job.process_label == "RehearsalCalculation"]
    assert labels
    assert all(job.base.caching.is_created_from_cache for job in labels)
    saved = next(cost for cost in cost_by_stage(second) if cost.name == "Labels")
    assert saved.reused == len(labels)
    assert saved.saved_core_s > 0
