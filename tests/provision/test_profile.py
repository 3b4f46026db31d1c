import sqlite3

import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision import profile
from aiida_nvp.provision.profile import CACHED, filesystem_of, journal_mode, wanted_options


def test_options_are_completed_and_the_users_own_are_kept():
    wanted = wanted_options({"daemon.timeout": 2, "caching.enabled_for": ["aiida.calculations:mine"]})
    assert wanted == {"daemon.timeout": 30, "caching.enabled_for": ["aiida.calculations:mine", *CACHED]}


def test_nothing_is_set_where_all_is_there():
    assert wanted_options({"daemon.timeout": 90, "caching.enabled_for": list(CACHED)}) == {}


def test_journal_mode_is_read_changed_and_survives(tmp_path):
    database = tmp_path / "database.sqlite"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    assert journal_mode(database) == "delete"
    assert journal_mode(database, "WAL") == "wal"
    assert journal_mode(database) == "wal"


def test_a_database_in_use_is_left_alone(tmp_path):
    database = tmp_path / "database.sqlite"
    holder = sqlite3.connect(database)
    holder.execute("CREATE TABLE t (x)")
    holder.execute("BEGIN EXCLUSIVE")
    assert journal_mode(database, "WAL") == "locked"
    holder.close()


def test_the_innermost_mount_decides(tmp_path, monkeypatch):
    class Mount:
        def __init__(self, mountpoint, fstype):
            self.mountpoint, self.fstype = str(mountpoint), fstype

    mounts = [Mount("/", "ext4"), Mount(tmp_path, "nfs4"), Mount(tmp_path / "other", "xfs")]
    monkeypatch.setattr(profile.psutil, "disk_partitions", lambda **_: mounts)
    assert filesystem_of(tmp_path / "a" / "b") == "nfs4"
    assert filesystem_of(tmp_path.parent) == "ext4"


def test_an_unknown_profile_is_named_with_those_there(aiida_profile):
    with pytest.raises(InputError, match=rf"no AiiDA profile 'nowhere'.*it has: .*{aiida_profile.name}"):
        profile.load("nowhere")


def test_the_loaded_profile_wins_where_none_is_named(aiida_profile):
    assert profile.load().name == aiida_profile.name
