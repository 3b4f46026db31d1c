import json
import os
import subprocess
import sys

import pytest

from aiida_nvp.provision.daemon import BrokerState, clear_stale_sockets, read_broker


@pytest.fixture
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _write(folder, pid, **values):
    (folder / "broker.sockets").write_text("/somewhere")
    (folder / "broker.status").write_text(json.dumps({"pid": pid, **values}))


def test_status_of_a_living_broker(tmp_path):
    _write(tmp_path, os.getpid(), task_subscribers=2, pending_tasks=3)
    assert read_broker(tmp_path) == BrokerState(alive=True, workers=2, pending=3)


def test_a_status_that_outlived_its_broker_is_not_believed(tmp_path, dead_pid):
    _write(tmp_path, dead_pid, task_subscribers=1)
    assert read_broker(tmp_path) == BrokerState(alive=False, workers=1, pending=0)


@pytest.mark.parametrize("content", [None, "", "{"])
def test_no_readable_status_is_no_state(tmp_path, content):
    if content is not None:
        (tmp_path / "broker.status").write_text(content)
    assert read_broker(tmp_path) is None


def test_sockets_of_a_dead_broker_are_removed_once(tmp_path, dead_pid):
    _write(tmp_path, dead_pid)
    assert clear_stale_sockets(tmp_path)
    assert not (tmp_path / "broker.sockets").exists()
    assert not clear_stale_sockets(tmp_path)


def test_sockets_without_any_status_are_stale(tmp_path):
    (tmp_path / "broker.sockets").write_text("/somewhere")
    assert clear_stale_sockets(tmp_path)


def test_sockets_of_a_living_broker_stay(tmp_path):
    _write(tmp_path, os.getpid())
    assert not clear_stale_sockets(tmp_path)
    assert (tmp_path / "broker.sockets").exists()
