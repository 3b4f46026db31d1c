"""The local machine as an AiiDA computer."""

from __future__ import annotations

from aiida import orm
from aiida.common.exceptions import NotExistent
from aiida.manage.configuration import Profile

from aiida_nvp.provision.profile import POLL_INTERVAL_S, config_folder
from aiida_nvp.provision.steps import Outcome

COMPUTER = "localhost"


def ensure_computer(profile: Profile) -> Outcome[orm.Computer]:
    """Return the computer ``localhost``; one that the user already has is taken as it is.

    A new one uses no login shell: reading the shell's start-up files costs a third of the time of a short job.
    """
    try:
        computer = orm.Computer.collection.get(label=COMPUTER)
    except NotExistent:
        workdir = config_folder() / "scratch" / profile.name
        computer = orm.Computer(
            label=COMPUTER,
            hostname="localhost",
            description="This machine, made by aiida-nvp setup",
            transport_type="core.local",
            scheduler_type="core.direct",
            workdir=str(workdir),
        ).store()
        computer.set_minimum_job_poll_interval(POLL_INTERVAL_S)
        computer.set_default_mpiprocs_per_machine(1)
        computer.configure(safe_interval=0, use_login_shell=False)
        return Outcome(computer, f"{COMPUTER} made: jobs run in {workdir}, no login shell", changed=True)
    if not computer.is_configured:
        computer.configure(safe_interval=0, use_login_shell=False)
        return Outcome(computer, f"{COMPUTER} configured: no login shell", changed=True)
    return Outcome(computer, f"{COMPUTER} is there", changed=False)


def uses_login_shell(computer: orm.Computer) -> bool:
    """Return whether every command on this computer starts a login shell."""
    return bool(computer.get_configuration().get("use_login_shell", True))
