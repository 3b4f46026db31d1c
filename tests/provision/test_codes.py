import pytest
from aiida import orm

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.codes import (
    check_own_pw,
    ensure_pw,
    ensure_worker,
    load_code,
    record_engines,
)
from aiida_nvp.provision.computer import ensure_computer, uses_login_shell
from aiida_nvp.workflows.engines import Engines, chosen_engines

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def test_a_new_computer_has_no_login_shell_and_is_made_once(aiida_profile):
    made = ensure_computer(aiida_profile)
    assert made.changed
    assert made.value.is_configured
    assert not uses_login_shell(made.value)
    again = ensure_computer(aiida_profile)
    assert not again.changed
    assert again.value.uuid == made.value.uuid


def test_a_computer_of_the_user_is_taken_as_it_is(aiida_localhost, aiida_profile):
    aiida_localhost.configure(use_login_shell=True)
    assert not ensure_computer(aiida_profile).changed
    assert uses_login_shell(aiida_localhost)


def test_pw_is_serial_and_made_once(aiida_localhost, tmp_path):
    first = ensure_pw(aiida_localhost, tmp_path / "pw.x")
    assert first.changed
    assert first.value.with_mpi is False
    assert first.value.default_calc_job_plugin == "quantumespresso.pw"
    second = ensure_pw(aiida_localhost, tmp_path / "pw.x")
    assert not second.changed
    assert second.value.uuid == first.value.uuid


def test_a_moved_program_gets_a_new_code_and_the_old_one_keeps_its_history(aiida_localhost, tmp_path):
    old = ensure_pw(aiida_localhost, tmp_path / "old" / "pw.x").value
    new = ensure_pw(aiida_localhost, tmp_path / "new" / "pw.x").value
    assert load_code("pw@localhost").uuid == new.uuid
    kept = orm.load_node(old.uuid)
    assert kept.label == f"pw-{old.uuid[:8]}"
    assert kept.is_hidden
    assert str(kept.filepath_executable) == str(tmp_path / "old" / "pw.x")


def test_the_worker_is_the_one_of_this_environment(aiida_localhost):
    code = ensure_worker(aiida_localhost).value
    assert code.full_label == "nvp-worker@localhost"
    assert str(code.filepath_executable).endswith("bin/nvp-worker")


@pytest.mark.usefixtures("no_engines")
def test_the_choice_is_remembered_in_the_profile():
    assert chosen_engines() is None
    engines = Engines("mine@cluster", "nvp-worker@localhost", "SSSP/1.3")
    assert record_engines(engines).changed
    assert chosen_engines() == engines
    assert not record_engines(engines).changed


def test_an_unknown_code_is_named_with_those_there(aiida_localhost, tmp_path):
    ensure_pw(aiida_localhost, tmp_path / "old")
    ensure_pw(aiida_localhost, tmp_path / "new")
    with pytest.raises(InputError, match=r"no code 'pv@localhost'; this profile has: pw@localhost\."):
        load_code("pv@localhost")


def test_own_pw_of_another_plugin_is_refused(aiida_localhost):
    code = orm.InstalledCode(
        label="ph", computer=aiida_localhost, filepath_executable="/ph.x", default_calc_job_plugin="quantumespresso.ph"
    ).store()
    with pytest.raises(InputError, match=r"registered for quantumespresso\.ph"):
        check_own_pw(code.full_label)
