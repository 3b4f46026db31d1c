import subprocess

import pytest

from aiida_nvp.provision import doctor
from aiida_nvp.provision.daemon import BrokerState
from aiida_nvp.provision.doctor import check_hook, diagnose_broker, examine
from aiida_nvp.workflows.engines import Engines


@pytest.mark.parametrize(
    ("runs", "state", "works", "says"),
    [
        (True, BrokerState(alive=True, workers=1, pending=0), True, "1 worker"),
        (True, BrokerState(alive=True, workers=0, pending=2), False, "no worker listens, 2 tasks wait"),
        (True, BrokerState(alive=False, workers=1, pending=0), False, "dead although"),
        (True, None, False, "dead although"),
        (False, None, True, "starts and ends with the daemon"),
        (False, BrokerState(alive=False, workers=1, pending=2), True, "starts and ends with the daemon"),
        (False, BrokerState(alive=True, workers=0, pending=0), False, "lives on without its daemon"),
    ],
)
def test_broker_states(runs, state, works, says):
    finding = diagnose_broker("mine", runs, state)
    assert finding.works is works
    assert says in finding.sentence
    assert bool(finding.remedy) is not works
    if runs and not works:
        assert "verdi -p mine daemon restart" in finding.remedy


def test_a_missing_hook_is_no_fault(tmp_path):
    finding = check_hook(tmp_path)
    assert finding.works
    assert "verdi-hook install" in finding.remedy


def test_an_unknown_profile_ends_the_examination(aiida_profile):
    found = []
    assert not examine("nowhere", found.append)
    assert [finding.part for finding in found] == ["profile"]
    assert "aiida-nvp setup" in found[0].remedy


def test_parts_that_raise_become_findings(aiida_profile, monkeypatch):
    def boom(engines):
        raise subprocess.TimeoutExpired("pw.x", 120)

    monkeypatch.setattr(doctor, "check_pw", boom)
    monkeypatch.setattr(doctor, "chosen_engines", lambda: Engines("pw@nowhere", "worker@nowhere", "SSSP"))
    found = []
    assert not examine(None, found.append)
    findings = {finding.part: finding for finding in found}
    assert "timed out" in findings["pw.x"].sentence
    assert "no pseudopotential family 'SSSP'" in findings["pseudopotentials"].sentence
    assert "no code 'worker@nowhere'" in findings["worker"].sentence
    assert not findings["worker"].works
    assert findings["libraries"].works


@pytest.mark.usefixtures("no_engines")
def test_a_profile_without_setup_is_told_to_set_up(aiida_profile_clean):
    found = []
    assert not examine(None, found.append)
    assert "has not been set up" in next(finding.sentence for finding in found if finding.part == "engines")


def test_remedies_name_a_profile_that_is_not_the_usual_one(aiida_profile, monkeypatch):
    dead = BrokerState(alive=True, workers=0, pending=0)
    assert diagnose_broker("nvp", daemon_runs=False, state=dead).remedy == "run `aiida-nvp setup`"
    assert diagnose_broker("mine", daemon_runs=False, state=dead).remedy == "run `aiida-nvp setup -p mine`"
    named = f"`aiida-nvp setup -p {aiida_profile.name}`"
    monkeypatch.setattr(doctor, "daemon_is_running", lambda _: False)
    monkeypatch.setattr(doctor, "chosen_engines", lambda: Engines("pw@nowhere", "worker@nowhere", "SSSP"))
    found = []
    examine(None, found.append)
    for part in ("daemon", "pw.x", "worker"):
        assert named in next(finding.remedy for finding in found if finding.part == part)
