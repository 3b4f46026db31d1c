"""The AiiDA profile: one SQLite file and a broker that lives with the daemon, so no service and no root."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import psutil
from aiida.manage import get_config, get_manager, load_profile
from aiida.manage.configuration import Profile, create_profile
from aiida.manage.configuration.settings import AiiDAConfigDir
from aiida.plugins import BrokerFactory

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.steps import Outcome
from aiida_nvp.workflows.engines import USUAL_PROFILE

PROFILE = USUAL_PROFILE
CACHED = ("aiida.calculations:quantumespresso.pw", "aiida.calculations:nvp.rehearsal")
"""Labels are the costly part and depend on nothing but their inputs."""

DAEMON_TIMEOUT_S = 30
POLL_INTERVAL_S = 1
# The shared-memory index of SQLite's write-ahead log needs one machine and one coherent cache.
_NETWORK_FILESYSTEMS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "9p", "fuse", "afs", "ceph")


def config_folder() -> Path:
    """Return the ``.aiida`` folder in use."""
    return Path(AiiDAConfigDir.get())


def default_engines_folder() -> Path:
    """Return where engines are installed: ``$AIIDA_PATH/.engines``, or beside the profiles where that is not set."""
    folder = config_folder()
    return folder.parent / ".engines" if os.environ.get("AIIDA_PATH") else folder / "engines"


def load(name: str | None = None) -> Profile:
    """Load a profile: the named one, else the one already loaded, else ``nvp``, else the default.

    :raises InputError: if there is no such profile.
    """
    loaded = get_manager().get_profile()
    if name is None and loaded is not None:
        return loaded
    config = get_config(create=True)
    wanted = name or (PROFILE if PROFILE in config.profile_names else config.default_profile_name)
    if wanted is None:
        raise InputError(f"there is no AiiDA profile in {config.dirpath}; run `aiida-nvp setup` to make one.")
    if wanted not in config.profile_names:
        known = ", ".join(config.profile_names) or "none"
        raise InputError(f"there is no AiiDA profile {wanted!r} in {config.dirpath}; it has: {known}.")
    return load_profile(wanted, allow_switch=True)


def ensure_profile(name: str | None) -> Outcome[Profile]:
    """Load the named existing profile, or ``nvp``, which is made if it is missing.

    :raises InputError: if a profile is named that does not exist.
    """
    config = get_config(create=True)
    if name is not None or PROFILE in config.profile_names:
        profile = load(name or PROFILE)
        return Outcome(profile, f"{profile.name} in {config.dirpath} is there", changed=False)
    profile = create_profile(
        config,
        name=PROFILE,
        email="aiida@localhost",
        storage_backend="core.sqlite_dos",
        storage_config={},
        broker_backend="core.zeromq",
        broker_config=BrokerFactory("core.zeromq").get_default_config(),
    )
    config.set_option("runner.poll.interval", POLL_INTERVAL_S, scope=PROFILE)
    if config.default_profile_name is None:
        config.set_default_profile(PROFILE)
    config.store()
    load_profile(PROFILE, allow_switch=True)
    return Outcome(profile, f"{PROFILE} made in {config.dirpath}: SQLite, ZeroMQ broker", changed=True)


def wanted_options(present: dict[str, Any]) -> dict[str, Any]:
    """Return the options that differ from what the campaigns need; what a user has set beyond that is kept.

    :param present: values in force of ``daemon.timeout`` and ``caching.enabled_for``.
    """
    wanted: dict[str, Any] = {}
    if present["daemon.timeout"] < DAEMON_TIMEOUT_S:
        wanted["daemon.timeout"] = DAEMON_TIMEOUT_S
    missing = [name for name in CACHED if name not in present["caching.enabled_for"]]
    if missing:
        wanted["caching.enabled_for"] = [*present["caching.enabled_for"], *missing]
    return wanted


def ensure_options(profile: Profile) -> Outcome[None]:
    """Set daemon timeout and label caching of the profile."""
    config = get_config()
    names = ("daemon.timeout", "caching.enabled_for")
    wanted = wanted_options({name: config.get_option(name, scope=profile.name) for name in names})
    for name, value in wanted.items():
        config.set_option(name, value, scope=profile.name)
    if not wanted:
        return Outcome(None, "daemon timeout and caching of labels are set", changed=False)
    config.store()
    return Outcome(None, "set " + ", ".join(f"{name} = {value}" for name, value in wanted.items()), changed=True)


def ensure_write_ahead_log(profile: Profile) -> Outcome[None]:
    """Switch a local SQLite database to write-ahead logging, which halves the cost of AiiDA's many small commits."""
    if profile.storage_backend != "core.sqlite_dos":
        return Outcome(None, f"{profile.storage_backend} needs no journal setting", changed=False)
    database = Path(profile.storage_config["filepath"]) / "database.sqlite"
    if journal_mode(database) == "wal":
        return Outcome(None, "write-ahead log is on", changed=False)
    filesystem = filesystem_of(database)
    if filesystem.startswith(_NETWORK_FILESYSTEMS):
        return Outcome(None, f"left as it is: {filesystem} cannot share a write-ahead log", changed=False)
    if journal_mode(database, "WAL") != "wal":
        return Outcome(None, "left as it is: the database is in use; repeat with the daemon stopped", changed=False)
    return Outcome(None, "write-ahead log switched on", changed=True)


def journal_mode(database: Path, change_to: str | None = None) -> str:
    """Return SQLite's journal mode, after asking for another one where ``change_to`` is given."""
    pragma = "PRAGMA journal_mode" + (f"={change_to}" if change_to else "")
    connection = sqlite3.connect(database, timeout=2)
    try:
        return str(connection.execute(pragma).fetchone()[0])
    except sqlite3.OperationalError:
        return "locked"
    finally:
        connection.close()


def filesystem_of(path: Path) -> str:
    """Return the type of the file system that ``path`` lies on, such as ``ext4`` or ``nfs4``; empty where unknown."""
    resolved = path.resolve()
    mounts = [part for part in psutil.disk_partitions(all=True) if resolved.is_relative_to(part.mountpoint)]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else ""
