"""The programs that jobs run, as AiiDA codes, and the record of which ones the setup chose."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.computer import COMPUTER
from aiida_nvp.provision.steps import Outcome
from aiida_nvp.workflows.engines import Engines, chosen_engines, store_engines

PW_LABEL = "pw"
PW_PLUGIN = "quantumespresso.pw"
PW_DESCRIPTION = "Quantum ESPRESSO pw.x, serial, installed by aiida-nvp setup"
WORKER_LABEL = "nvp-worker"


def record_engines(engines: Engines) -> Outcome[Engines]:
    """Remember the choice in the profile's own database."""
    if chosen_engines() == engines:
        return Outcome(engines, _in_words(engines), changed=False)
    store_engines(engines)
    return Outcome(engines, _in_words(engines), changed=True)


def worker_executable() -> Path:
    """Return the ``nvp-worker`` of the running environment."""
    return Path(sysconfig.get_path("scripts")) / "nvp-worker"


def ensure_worker(computer: orm.Computer) -> Outcome[orm.InstalledCode]:
    """Register this environment's ``nvp-worker``.

    :raises InputError: if the console script is missing.
    """
    executable = worker_executable()
    if not executable.is_file():
        raise InputError(
            f"{executable} is missing; install the package with pip instead of running it from its folder."
        )
    return ensure_code(
        orm.InstalledCode(
            label=WORKER_LABEL,
            computer=computer,
            filepath_executable=str(executable),
            description="Training, exploration and analysis programs of aiida-nvp",
            with_mpi=False,
        )
    )


def ensure_pw(computer: orm.Computer, executable: Path) -> Outcome[orm.InstalledCode]:
    """Register the serial pw.x shim; two ranks of a serial program would write the same files, hence no MPI."""
    return ensure_code(
        orm.InstalledCode(
            label=PW_LABEL,
            computer=computer,
            filepath_executable=str(executable),
            default_calc_job_plugin=PW_PLUGIN,
            description=PW_DESCRIPTION,
            with_mpi=False,
        )
    )


def ensure_code(wanted: orm.InstalledCode) -> Outcome[orm.InstalledCode]:
    """Return the stored code of this label and executable.

    A stored code never changes its executable, since finished calculations point at it: one of the same label that
    points elsewhere keeps its history under a new label.
    """
    try:
        present = load_code(f"{wanted.label}@{wanted.computer.label}")
    except InputError:
        return Outcome(wanted.store(), f"{wanted.full_label} registered: {wanted.filepath_executable}", changed=True)
    if present.filepath_executable == wanted.filepath_executable:
        return Outcome(present, f"{present.full_label} is there", changed=False)
    present.label = f"{wanted.label}-{present.uuid[:8]}"
    present.is_hidden = True
    wanted.store()
    return Outcome(wanted, f"{wanted.full_label} registered anew; the former one is now {present.label}", changed=True)


def load_code(label: str) -> orm.InstalledCode:
    """Return the code ``label@computer``.

    :raises InputError: if there is none, or more than one.
    """
    try:
        code: orm.InstalledCode = orm.load_code(label)  # type: ignore[assignment]
    except (NotExistent, ValueError) as error:
        codes = orm.QueryBuilder().append(orm.AbstractCode).all(flat=True)
        known = ", ".join(sorted({code.full_label for code in codes if not code.is_hidden})) or "none"
        raise InputError(f"there is no code {label!r}; this profile has: {known}.") from error
    return code


def is_own_pw(label: str) -> bool:
    """Return whether ``label`` means a pw.x of the user's, there or not, and not the one that the setup installs."""
    try:
        return load_code(label).description != PW_DESCRIPTION
    except InputError:
        return label != f"{PW_LABEL}@{COMPUTER}"


def check_own_pw(label: str) -> Outcome[orm.InstalledCode]:
    """Return the user's own pw.x.

    :raises InputError: if there is no such code, or it is registered for another plugin.
    """
    code = load_code(label)
    plugin = code.default_calc_job_plugin
    if plugin not in (None, PW_PLUGIN):
        raise InputError(f"code {label!r} is registered for {plugin}, not for {PW_PLUGIN}.")
    return Outcome(code, f"{code.full_label} is yours: {code.filepath_executable}", changed=False)


def _in_words(engines: Engines) -> str:
    return f"campaigns use {engines.pw}, {engines.worker}, {engines.pseudos}"
