from __future__ import annotations

import pytest
from ase import Atoms

from aiida_nvp.labelling.branches import BranchCheck
from aiida_nvp.labelling.triage import (
    Harvest,
    Outcome,
    Rerun,
    count_checks,
    count_savings,
    count_statuses,
    distinct,
    overlap,
    triage_row,
)


def test_status_follows_from_labels_and_attempts():
    good = triage_row(Outcome("a", ("k",), "uuid", attempts=1, wall_s=2.345), [Harvest(labels=1, code_s=1.5)])
    again = triage_row(Outcome("b", ("k",), "uuid", attempts=2), [Harvest(labels=3), Harvest(labels=2)])
    bad = triage_row(Outcome("c", (), "uuid", attempts=3, reason="no convergence"))
    assert [row["status"] for row in (good, again, bad)] == ["converged", "retried", "rejected"]
    assert (good["wall_s"], good["code_s"], again["labels"], bad["reason"]) == (2.35, 1.5, 5, "no convergence")
    assert count_statuses([good, again, bad]) == {
        "converged": 1,
        "retried": 1,
        "ambiguous": 0,
        "rejected": 1,
        "frames": 3,
        "labels": 6,
    }


def test_flags_are_kept_beside_a_good_status():
    row = triage_row(Outcome("a", ("k",), "uuid", attempts=1), [Harvest(labels=1, flags=("look",))])
    assert (row["status"], row["flags"]) == ("converged", ["look"])


def test_savings_are_core_seconds_of_reused_calculations_alone():
    harvests = [Harvest(labels=1, code_s=10.0), Harvest(labels=1, code_s=3.0)]
    part = triage_row(Outcome("a", ("k", "k_2"), "uuid", attempts=2, reused=("k_2",), cores=4), harvests)
    none = triage_row(Outcome("b", ("k",), "uuid", attempts=1, cores=4), harvests[:1])
    assert (part["reused"], part["saved_core_s"], none["reused"], none["saved_core_s"]) == (1, 12.0, 0, 0.0)
    assert count_savings([part, none]) == {"frames": 1, "core_s": 12.0}


def test_a_rejection_always_has_a_reason():
    left = Harvest(left_out=({"step": 0, "reason": "not self-consistent after 100 iterations"},))
    assert triage_row(Outcome("a"), [left])["reason"] == "not self-consistent after 100 iterations"
    assert triage_row(Outcome("a"))["reason"] == "the calculation gave no label"


def test_an_outcome_survives_as_plain_values():
    reruns = (Rerun("permuted", "uuid", "frame_a_permuted"), Rerun("antiferromagnetic", "uuid", reason="failed"))
    outcome = Outcome("a", ("frame_a", "frame_a_2"), "uuid", 2, "words", 1.5, ("frame_a_2",), 8, reruns)
    assert outcome.all_calculations == ("frame_a", "frame_a_2", "frame_a_permuted")
    assert Outcome.from_plain(outcome.plain()) == outcome


def test_overlap_is_found_across_the_border():
    atoms = Atoms("NaO", positions=[[0.1, 0, 0], [4.8, 0, 0]], cell=[5] * 3, pbc=True)
    assert overlap(atoms) == "Na0 and O1 overlap: 0.30 angstrom apart"
    atoms.positions[1, 0] = 3.0
    assert overlap(atoms) == ""


def test_distinct_keeps_the_first_of_each():
    assert distinct(["a", "b", "a", "c", "b"]) == [0, 1, 3]


@pytest.mark.parametrize(("spread", "status"), [(0.001, "converged"), (0.003, "ambiguous")])
def test_starts_that_end_apart_make_a_frame_ambiguous(spread, status):
    check = BranchCheck({"ferromagnetic": spread, "permuted": 0.0}, "permuted", spread, 0.05)
    outcome = Outcome(
        "a", ("k",), "uuid", 1, reruns=(Rerun("permuted", "other", "k_permuted"),), reused=("k_permuted",)
    )
    labels = int(status == "converged")
    row = triage_row(outcome, [Harvest(code_s=4.0), Harvest(labels=labels, code_s=3.0)], check)
    assert (row["status"], row["labels"], row["code_s"], row["saved_core_s"]) == (status, labels, 7.0, 3.0)
    assert row["branch"]["kept"] == "permuted"
    assert row["branch"]["reruns"] == [
        {"start": "permuted", "process": "other", "calculation": "k_permuted", "reason": ""}
    ]
    assert ("2 starts end" in row["reason"]) is (status == "ambiguous")
    assert count_checks([row, triage_row(Outcome("b"), [])]) == {
        "frames": 1,
        "unchecked": 0,
        "ambiguous": 1 - labels,
        "energy_spread": spread,
        "force_spread": 0.05,
    }


def test_a_rerun_that_failed_leaves_the_label_and_its_reason():
    outcome = Outcome("a", ("k",), "uuid", 1, reruns=(Rerun("permuted", "other", reason="not converged"),))
    row = triage_row(outcome, [Harvest(labels=1)])
    assert row["status"] == "converged"
    assert row["branch"]["reruns"][0]["reason"] == "not converged"
    assert (count_checks([row])["frames"], count_checks([row])["unchecked"]) == (0, 1)
