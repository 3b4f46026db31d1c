"""The command that goes on: its options reach the builder, its refusals are one sentence."""

import pytest
from aiida import orm
from click.testing import CliRunner

from aiida_nvp.campaign.additions import Additions
from aiida_nvp.cli import continuing
from aiida_nvp.common.errors import InputError
from aiida_nvp.workflows.continue_builder import Continuation

pytestmark = pytest.mark.usefixtures("aiida_profile")

CELL = "{name: NaPO3, oxides: {Na2O: 1, P2O5: 1}, atoms: 10}"


@pytest.fixture
def node():
    node = orm.WorkChainNode()
    node.set_process_label("CampaignWorkChain")
    node.set_process_state("finished")
    return node.store()


@pytest.fixture
def asked(monkeypatch):
    """What the command asks of the builder, which this stands in for."""
    found = []

    def make(node, additions, loaded):
        found.append((node, additions, loaded))
        return Continuation(None, (("cycles to come, at most", "2"), ("cost, very roughly", "0.10 core hours")))

    monkeypatch.setattr(continuing, "continue_campaign", make)
    return found


def invoke(*arguments):
    return CliRunner().invoke(continuing.continue_, [str(argument) for argument in arguments])


def test_the_plan_is_printed_and_nothing_is_done(node, asked):
    result = invoke(node.pk, "--cycles", 2, "--max-labels", 90, "--core-hours", 1.5, "--composition", CELL, "--plan")
    assert result.exit_code == 0, result.output
    ((given, additions, loaded),) = asked
    assert given.pk == node.pk
    assert (additions.cycles, additions.max_labels, additions.max_core_hours) == (2, 90, 1.5)
    assert additions.cells[0].name == "NaPO3"
    assert loaded is None
    assert "cycles to come, at most    2" in result.output
    assert "submitted" not in result.output


def test_without_options_nothing_is_added(node, asked):
    assert invoke(node.pk, "--plan").exit_code == 0
    assert asked[0][1] == Additions()


def test_nobody_to_take_it_is_said_before_it_is_submitted(node, asked, monkeypatch):
    def refuse():
        raise InputError("the daemon does not run.")

    monkeypatch.setattr(continuing, "require_daemon", refuse)
    result = invoke(node.pk, "--cycles", 1)
    assert result.exit_code == 1
    assert "the daemon does not run." in result.output


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--composition", "{name: "), "is not YAML"),
        (("--composition", "{name: NaPO3}"), "--composition: oxides: "),
        (("--cycles", "0"), "0 is not in the range"),
        (("--core-hours", "0"), "0.0 is not in the range"),
    ],
)
def test_wrong_options_are_refused(node, arguments, words):
    result = invoke(node.pk, *arguments, "--plan")
    assert result.exit_code != 0
    assert words in result.output


def test_a_process_that_is_no_campaign_is_refused():
    node = orm.WorkChainNode()
    node.set_process_label("LabelWorkChain")
    node.set_process_state("finished")
    node.store()
    result = invoke(node.pk, "--cycles", 1)
    assert result.exit_code == 1
    assert "is no campaign but a LabelWorkChain" in result.output
