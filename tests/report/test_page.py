import os
import re
from dataclasses import replace

import pytest
from aiida import orm

from aiida_nvp.common.errors import InputError
from aiida_nvp.report import page as page_module
from aiida_nvp.report import summary
from aiida_nvp.report.cost import cost_by_stage
from aiida_nvp.report.graph import collect, final_dataset
from aiida_nvp.report.page import render, write_report

REHEARSAL = "Rehearsal: labels come from an analytic stand-in potential, not from first principles"


@pytest.fixture(scope="package")
def page(built):
    return render(built.campaign)


def test_every_chosen_frame_is_listed(built, page):
    chosen = [identity for cycle in collect(built.campaign).cycles for identity in cycle.selection.chosen.ids]
    assert len(chosen) == 12
    assert all(f'title="{identity}"' in page for identity in chosen)


def test_numbers_on_the_page_are_those_of_the_nodes(built, page):
    for cycle in collect(built.campaign).cycles:
        prospective = cycle.calibration["prospective"]
        assert f'<td class="n">{prospective["force_rmse"]:.3f}</td>' in page
        assert f"{prospective['ratio']:.0%}" in page
    random = [cycle.calibration["prospective"]["random"]["force_rmse"] for cycle in collect(built.campaign).cycles]
    assert random[0] != random[-1]
    assert f"{random[0]:.2f} → {random[-1]:.2f} eV/Å" in page
    assert "1.38 Å" in page
    assert "3.98 / 3.98" in page


def test_calibration_is_told(page):
    for cycle in range(2):
        assert f"{0.4 + 0.2 * cycle:.2f}<small>force size alone: 0.30</small>" in page
    assert "scales from all chosen frames" in page


def test_how_intervals_held_is_told_by_part_and_drawn(page):
    assert '<td>V</td><td class="n">11</td><td class="n">47%</td><td class="n">88%</td>' in page
    assert "Expected against found errors, promised against achieved coverage, cycle by cycle" in page


def test_what_warm_starts_cost_is_told(page):
    assert "<b>Release from scratch.</b> From the parent 0.36, from scratch 0.30." in page


def test_marks_follow_the_expectations(page):
    assert page.count("✓ as expected") == 3
    assert "▲ look at this" not in page


def test_failed_labels_are_listed_with_their_reason(page):
    assert page.count("the scf cycle did not converge in 80 iterations") == 1
    assert "1 structure failed" in page


def test_a_flagged_label_is_listed_although_it_went_through(built, monkeypatch):
    campaign = collect(built.campaign)
    first = campaign.batches[0][1]
    rows = [{**row, "flags": ["V adds up to +9"] if number == 1 else []} for number, row in enumerate(first.triage)]
    flagged = replace(campaign, seed_labels=replace(first, triage=tuple(rows)))
    known = {row["frame"] for row in summary.failed_rows(campaign)}
    assert {row["frame"] for row in summary.failed_rows(flagged)} - known == {rows[1]["frame"]}
    monkeypatch.setattr(page_module, "collect", lambda _: flagged)
    assert render(built.campaign).count("To be looked at: V adds up to +9.") == 1


SUSPECT = "members agree on the force on V1 within 0.040 eV/angstrom, the label is 2.100 eV/angstrom away"


def audited(campaign, classes):
    """The campaign with an audit of its last cycle, one row a class."""
    ids = campaign.cycles[-1].selection.chosen.ids
    rows = [
        {"frame": identity, "class": kind, "atom": 1, "species": "V", "sentence": SUSPECT if "suspect" in kind else "."}
        for identity, kind in zip(ids, classes, strict=False)
    ]
    last = campaign.cycles[-1]
    return replace(
        campaign, cycles=(*campaign.cycles[:-1], replace(last, calibration={**last.calibration, "audit": rows}))
    )


def test_suspect_labels_are_told_and_missing_data_are_counted(built, monkeypatch, page):
    campaign = audited(collect(built.campaign), ["explained", "suspect label", "missing data", "missing data"])
    monkeypatch.setattr(page_module, "collect", lambda _: campaign)
    text = render(built.campaign)
    assert "Of 4 labels that can be set against a prediction: suspect label: 1, missing data: 2, explained: 1." in text
    assert text.count(f"Suspect label: {SUSPECT}.") == 1
    frame = campaign.cycles[-1].audit[1]["frame"]
    cell = f'<td><code title="{frame}">{frame[:10]}</code></td><td class="n">V1</td>'
    assert cell in text
    # Calibrations of earlier versions, such as those of the fixture, hold no audit.
    assert "set against a prediction" not in page
    assert "Suspect label" not in page


def test_a_batch_without_suspects_has_no_table_of_them(built, monkeypatch):
    campaign = audited(collect(built.campaign), ["explained", "missing data"])
    assert summary.suspect_rows(campaign.cycles[-1]) == []
    assert summary.audit_sentence(campaign.cycles[0]) is None
    monkeypatch.setattr(page_module, "collect", lambda _: campaign)
    text = render(built.campaign)
    assert "suspect label: 0, missing data: 1, explained: 1." in text
    assert SUSPECT not in text


def test_reasons_that_never_applied_are_left_out(page):
    assert "34 rejected: below the lower threshold" in page
    assert "rejected: duplicate" not in page


def test_the_page_fetches_nothing(page):
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#|data:)""", page)
    assert not re.search(r"@import|url\((?!#)|<script|<link", page)


def test_all_figures_are_drawn(page):
    labels = re.findall(r'<svg role="img" aria-label="([^"]+)"', page)
    assert len(labels) == 8


def test_lineage_is_told(built, page):
    assert f"<b>{len(built.dataset)} of {len(built.dataset)}</b>" in page
    assert "zero misses" in page
    assert f"aiida-nvp lineage {built.dataset.pk} --all" in page


def test_costs_and_versions_come_from_the_jobs(page):
    assert "3 min 09 s" in page  # nine trainings of 21 s
    assert "2 min 03 s" in page or "2 min 04 s" in page  # thirteen labels of 9.5 s
    assert re.search(r"pwscf</td><td><code>7.2", page)
    assert re.search(r"torch</td><td><code>2.13.0", page)


def test_first_principles_labels_carry_no_banner(page):
    assert REHEARSAL not in page
    assert "cells of 8 to 10 atoms sampled at the Gamma point only give consistent labels" in page


def test_a_running_rehearsal_gives_a_partial_page_with_the_banner(make):
    page = render(make("rehearsal", cycles=1, production=False, state="running").campaign)
    assert REHEARSAL in page
    assert "Gamma point" not in page
    assert "consistent labels" not in page
    assert "still running" in page
    assert "1 cycle complete, 16 labels" in page
    assert "There is no production run so far." in page


def test_a_failed_campaign_without_cycles_says_so(make):
    built = make(cycles=0, production=False, exit_status=401)
    page = render(built.loop)
    assert "stopped with exit code 401" in page
    assert "No cycle has been assessed so far." in page
    assert final_dataset(built.loop).uuid == built.seed.uuid


def test_a_campaign_that_has_only_begun_has_a_page(make):
    built = make(cycles=0, production=False)
    empty = built.graph.process(orm.WorkChainNode, "CampaignWorkChain", state="running")
    assert "No job has run so far." in render(empty)


def test_another_process_is_refused(built):
    chain = built.graph.process(orm.WorkChainNode, "PwBaseWorkChain")
    with pytest.raises(InputError, match="is no campaign"):
        render(chain)


def test_the_file_is_written_whole(built, tmp_path, page):
    path = write_report(built.campaign, os.environ.get("REPORT_OUT", tmp_path / "new" / "report.html"))
    assert path.read_text(encoding="utf-8").endswith("</html>\n") or path.read_text(encoding="utf-8").endswith(
        "</html>"
    )
    assert [each.name for each in path.parent.glob("*.part")] == []


@pytest.mark.parametrize(
    ("kpoints", "words"),
    [
        ("gamma", "atoms sampled at the Gamma point only give"),
        ([1, 1, 1], "atoms sampled at the Gamma point only give"),
        ([2, 2, 3], "atoms sampled on a 2 x 2 x 3 mesh of k-points give"),
        ({"density": 0.3}, "atoms sampled on meshes of k-points that follow from"),
        (None, "atoms give"),
    ],
)
def test_the_limits_follow_from_the_level_of_theory(built, monkeypatch, kpoints, words):
    monkeypatch.setattr(summary, "level_of_theory", lambda _: {"kpoints": kpoints})
    said = summary.limits_sentence(collect(built.campaign))
    assert words in said
    assert ("Gamma" in said) == (kpoints in ("gamma", [1, 1, 1]))


@pytest.mark.parametrize(("replicas", "processes", "cores"), [(6, 4, 4), (3, 4, 3)])
def test_an_exploration_counts_the_processes_that_were_busy(aiida_profile, make, replicas, processes, cores):
    built = make(cycles=0, production=False)
    built.graph.process(
        orm.CalcJobNode,
        "ExploreCalculation",
        caller=built.loop,
        label="cycle_0_explore",
        inputs={"parameters": orm.Dict({"replicas": replicas, "processes": processes})},
        outputs={"results": orm.Dict({"wall_s": 10.0})},
    )
    cost = next(cost for cost in cost_by_stage(built.loop) if cost.name == "Exploration MD")
    assert (cost.run_s, cost.core_s) == (10.0, 10.0 * cores)


def test_the_branch_check_is_told_where_there_was_one(built):
    campaign = collect(built.campaign)
    assert summary.branch_sentence(campaign) == ""
    first = campaign.seed_labels
    branch = {"kept": "permuted", "ambiguous": True, "energy_spread": 0.0123, "force_spread": 0.456, "reruns": []}
    rows = ({**first.triage[0], "status": "ambiguous", "branch": branch}, *first.triage[1:])
    checked = replace(campaign, seed_labels=replace(first, triage=rows, counts={**first.counts, "ambiguous": 1}))
    sentence = summary.branch_sentence(checked)
    assert "1 frames compared, 1 ambiguous" in sentence
    assert "12.3 meV/atom and 0.46 eV/Å apart" in sentence
    assert rows[0]["frame"] in {row["frame"] for row in summary.failed_rows(checked)}
