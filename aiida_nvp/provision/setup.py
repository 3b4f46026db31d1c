"""Everything that ``aiida-nvp setup`` makes, in order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aiida.manage.configuration import Profile

from aiida_nvp.provision import verdi_hook
from aiida_nvp.provision.codes import check_own_pw, ensure_pw, ensure_worker, record_engines
from aiida_nvp.provision.computer import ensure_computer
from aiida_nvp.provision.daemon import ensure_daemon
from aiida_nvp.provision.profile import (
    default_engines_folder,
    ensure_options,
    ensure_profile,
    ensure_write_ahead_log,
)
from aiida_nvp.provision.pseudopotentials import check_own_family, ensure_family
from aiida_nvp.provision.quantum_espresso import ensure_quantum_espresso
from aiida_nvp.provision.steps import Steps
from aiida_nvp.workflows.engines import Engines


@dataclass(frozen=True)
class Choices:
    """What the user may choose.

    :param profile: an existing AiiDA profile; None for our own.
    :param pw: the user's own pw.x, ``code@computer``; None to install one.
    :param pseudos: an installed pseudopotential family; None to generate one.
    :param engines: where programs are installed; None for the default folder.
    :param hook: whether ``verdi process submit`` is wanted.
    :param daemon: whether the daemon is started.
    """

    profile: str | None = None
    pw: str | None = None
    pseudos: str | None = None
    engines: Path | None = None
    hook: bool = True
    daemon: bool = True


def set_up(choices: Choices, steps: Steps) -> Profile:
    """Make what is missing and leave what is there; every step may be repeated.

    :raises InputError: at the first step that cannot be done; what came before stays.
    """
    profile = steps.do("profile", ensure_profile, choices.profile)
    steps.do("options", ensure_options, profile)
    steps.do("database", ensure_write_ahead_log, profile)
    computer = steps.do("computer", ensure_computer, profile)
    worker = steps.do("worker", ensure_worker, computer)

    programs = None
    if choices.pw is None or choices.pseudos is None:
        engines = (choices.engines or default_engines_folder()).expanduser().resolve()
        programs = steps.do("Quantum ESPRESSO", ensure_quantum_espresso, engines)
    if choices.pw is None and programs is not None:
        pw = steps.do("pw.x", ensure_pw, computer, programs / "pw.x")
    else:
        pw = steps.do("pw.x", check_own_pw, choices.pw)
    if choices.pseudos is None and programs is not None:
        pseudos = steps.do("pseudopotentials", ensure_family, programs / "ld1.x")
    else:
        pseudos = steps.do("pseudopotentials", check_own_family, choices.pseudos)

    steps.do("defaults", record_engines, Engines(pw.full_label, worker.full_label, pseudos))
    if choices.hook:
        steps.do("verdi hook", verdi_hook.install, verdi_hook.site_folder())
    if choices.daemon:
        steps.do("daemon", ensure_daemon, profile, "options" in steps.changed)
    return profile
