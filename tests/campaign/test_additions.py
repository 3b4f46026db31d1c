"""What may be added to a campaign that ended."""

from pathlib import Path

import pytest

from aiida_nvp.campaign.additions import (
    Additions,
    extend,
    new_cells,
    read_cell,
    refuse_fewer_cycles,
    refuse_used_budgets,
)
from aiida_nvp.campaign.loader import load_campaign
from aiida_nvp.campaign.plan import Progress, make_plan
from aiida_nvp.common.errors import InputError
from aiida_nvp.convergence.evidence import Used

REHEARSAL = Path(__file__).parents[2] / "workchains" / "campaigns" / "rehearsal.yaml"
OTHER = {"name": "V2O5", "oxides": {"V2O5": 1}, "atoms": 7}
USED = Used(cycles=2, labels=30, core_hours=1.5)


@pytest.fixture(scope="module")
def loaded():
    return load_campaign(REHEARSAL)


def test_cycles_are_added_and_budgets_are_set(loaded):
    cell = read_cell(OTHER)
    extended = extend(loaded.campaign, Additions(3, 200, 4.0, (cell,)), USED)
    assert (extended.stop.max_cycles, extended.stop.max_labels, extended.stop.max_core_hours) == (5, 200, 4.0)
    assert new_cells(loaded.campaign, extended) == (cell,)
    # Where the file packs no cells anew, the loop explores from the added cells themselves.
    assert extended.exploration.cells == ()
    packed = loaded.campaign.exploration.model_copy(update={"cells": loaded.campaign.cells})
    anew = extend(loaded.campaign.model_copy(update={"exploration": packed}), Additions(cells=(cell,)), USED)
    assert anew.exploration.cells[-1] == cell


def test_nothing_added_changes_nothing(loaded):
    assert extend(loaded.campaign, Additions(), USED) == loaded.campaign


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "all 2 cycles are done"),
        ({"max_cycles": 3, "max_labels": 30}, "--max-labels, to 36"),
        ({"max_cycles": 3, "max_core_hours": 1.5}, "1.5 core hours are spent and the budget is 1.5"),
        ({"max_cycles": 3, "max_core_hours": 1.6}, None),
    ],
)
def test_a_used_budget_is_named(loaded, changes, words):
    stop = loaded.campaign.stop.model_copy(update=changes)
    said = refuse_used_budgets(loaded.campaign.model_copy(update={"stop": stop}), USED)
    assert words in said if words else said == ""


def test_cycles_are_not_taken_back(loaded):
    assert refuse_fewer_cycles(loaded.campaign, USED) == ""
    assert "give 4 or more" in refuse_fewer_cycles(loaded.campaign, Used(3, 30, 0.0))


def test_a_wrong_cell_names_its_key():
    with pytest.raises(InputError, match="--composition: atoms: "):
        read_cell({**OTHER, "atoms": "many"})
    with pytest.raises(InputError, match="as in"):
        read_cell("V2O5")


def test_the_plan_counts_what_is_to_come(loaded):
    campaign = extend(loaded.campaign, Additions(cycles=2), USED)
    going_on = make_plan(loaded.__class__(loaded.source, campaign, loaded.potential), Progress(2, 30))
    anew = make_plan(loaded)
    # Two cycles of six, no seeds; three members in two rounds and a last one.
    assert (going_on.labels, going_on.trainings) == (12, 9)
    assert anew.labels == 40 + 12
    last = make_plan(loaded, Progress(2, 30, another_cycle=False))
    assert (last.labels, last.trainings) == (0, 3)
    assert last.core_hours < going_on.core_hours
