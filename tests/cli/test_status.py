"""Watching a process: what is printed while it goes on, and when nobody works on it any more."""

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_nvp.cli import status

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


@pytest.fixture
def watched(monkeypatch):
    """Return a function that watches a process which ends after the given answers of ``engine_fault``."""

    def _watch(answers):
        node = orm.WorkChainNode()
        node.set_process_state("running")
        node.store()
        left = list(answers)

        def fault():
            answer = left.pop(0)
            if not left:
                node.set_process_state("finished")
                node.set_exit_status(0)
            return answer

        monkeypatch.setattr(status, "engine_fault", fault)
        monkeypatch.setattr(status, "_ENGINE_S", 0.0)
        monkeypatch.setattr(status, "_POLL_S", 0.0)
        return status.watch(node.pk)

    return _watch


def test_a_dead_daemon_is_told_once_and_watching_goes_on(watched, capsys):
    node = watched(["", "the daemon is gone.", "the daemon is gone.", "", "the daemon is gone.", ""])
    assert node.is_finished_ok
    said = capsys.readouterr().out.splitlines()
    assert said.count("the daemon is gone.") == 2
    assert said[-1].endswith("finished")


@pytest.mark.parametrize(
    ("runs", "attached", "says"),
    [
        (True, True, None),
        (False, False, "does not run: what was submitted waits until `aiida-nvp setup -p {0}` starts it"),
        (True, False, "takes no tasks: `verdi -p {0} daemon restart` helps"),
    ],
)
def test_what_keeps_submitted_processes_waiting(aiida_profile, monkeypatch, runs, attached, says):
    monkeypatch.setattr(status, "daemon_is_running", lambda _: runs)
    monkeypatch.setattr(status, "is_attached", lambda _: attached)
    fault = status.engine_fault()
    assert says.format(aiida_profile.name) in fault if says else not fault
    assert len(fault.splitlines()) <= 1


def test_the_last_verdict_is_told_with_what_is_missing():
    loop = orm.WorkChainNode()
    loop.set_process_label("ActiveLearningWorkChain")
    loop.store()
    for cycle in (0, 10, 9):
        step = orm.CalcFunctionNode()
        step.base.links.add_incoming(loop, LinkType.CALL_CALC, f"cycle_{cycle}_assess")
        step.store()
        criteria = [{"passed": False, "sentence": f"{cycle} replicas broke"}, {"passed": True, "sentence": "fine"}]
        verdict = {"verdict": "continue", "sentence": "budgets are left.", "criteria": criteria}
        verdict = orm.Dict(verdict | {"forecast": {"sentence": "One more cycle would help."}})
        verdict.base.links.add_incoming(step, LinkType.CREATE, "result")
        verdict.store()
    assert status.standing(loop) == [
        "after cycle 10: continue; budgets are left.",
        "  not yet: 10 replicas broke",
        "One more cycle would help.",
    ]


def test_a_campaign_without_a_cycle_has_no_standing():
    assert status.standing(orm.WorkChainNode().store()) == []
