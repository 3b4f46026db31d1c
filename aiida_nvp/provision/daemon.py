"""The daemon and its broker: start them clean, and recognise the state in which they hang."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from aiida.engine.daemon.client import DaemonClient, DaemonException, get_daemon_client
from aiida.manage import get_config
from aiida.manage.configuration import Profile

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.steps import Outcome

SOCKETS_FILE = "broker.sockets"
STATUS_FILE = "broker.status"
_ATTACH_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class BrokerState:
    """What the files of a ZeroMQ broker say.

    :param alive: whether the process that wrote the status still runs; the file itself survives a kill.
    :param workers: number of daemon workers that wait for tasks.
    :param pending: number of tasks that nobody has taken.
    """

    alive: bool
    workers: int
    pending: int


def broker_folder(profile: Profile) -> Path:
    """Return the folder of the profile's ZeroMQ broker."""
    return Path(get_config().filepaths(profile)["broker_service"]["dir"])


def read_broker(folder: Path) -> BrokerState | None:
    """Read the state of the broker that lives in ``folder``; None if it has left no status."""
    try:
        status: dict[str, Any] = json.loads((folder / STATUS_FILE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return None
    return BrokerState(
        alive=_is_alive(int(status.get("pid", -1))),
        workers=int(status.get("task_subscribers", 0)),
        pending=int(status.get("pending_tasks", 0)),
    )


def clear_stale_sockets(folder: Path) -> bool:
    """Remove the socket address that a killed broker left behind and say whether there was one.

    A worker that starts before the new broker has written its own address would wait on the dead one for ever.
    """
    state = read_broker(folder)
    sockets = folder / SOCKETS_FILE
    if (state is not None and state.alive) or not sockets.exists():
        return False
    sockets.unlink()
    return True


def daemon_is_running(profile: Profile) -> bool:
    """Return whether the profile's daemon lives; a PID file left by a killed one does not count."""
    client = get_daemon_client(profile.name)
    pid = client.get_daemon_pid()
    return pid is not None and _is_alive(pid)


def ensure_daemon(profile: Profile, reread: bool) -> Outcome[None]:
    """Start the daemon, or restart it where it hangs or has to read changed settings.

    :param reread: whether settings have changed since it may have been started.
    :raises InputError: if it does not start.
    """
    client = get_daemon_client(profile.name)
    folder = broker_folder(profile)
    done, workers = "started", 1
    try:
        if daemon_is_running(profile):
            if not reread and is_attached(profile):
                return Outcome(None, "runs", changed=False)
            done, workers = "restarted", _count_workers(client)
            client.stop_daemon(wait=True)
        stale = clear_stale_sockets(folder)
        client.start_daemon(number_workers=workers)
    except DaemonException as error:
        raise InputError(f"the daemon of profile {profile.name} does not start: {error}") from error
    if not _wait_until_attached(profile):
        raise InputError(
            f"the daemon of profile {profile.name} runs but takes no tasks; "
            f"`verdi -p {profile.name} daemon restart` helps, its log is {client.daemon_log_file}."
        )
    plural = "" if workers == 1 else "s"
    cleared = ", a stale broker.sockets was removed" if stale else ""
    return Outcome(None, f"{done} with {workers} worker{plural}{cleared}", changed=True)


def is_attached(profile: Profile) -> bool:
    """Return whether a worker listens to the broker; brokers other than ZeroMQ look after that themselves."""
    if profile.process_control_backend != "core.zeromq":
        return True
    state = read_broker(broker_folder(profile))
    return state is not None and state.alive and state.workers > 0


def _count_workers(client: DaemonClient) -> int:
    """Return how many workers a daemon has that is about to be restarted; 1 where it no longer answers."""
    try:
        return max(1, int(client.get_numprocesses().get("numprocesses", 1)))
    except DaemonException:
        return 1


def _wait_until_attached(profile: Profile) -> bool:
    deadline = time.monotonic() + _ATTACH_TIMEOUT_S
    while time.monotonic() < deadline:
        if is_attached(profile):
            return True
        time.sleep(0.2)
    return False


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return False
