"""Everything that ``aiida-nvp setup`` makes, in order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from aiida.manage.configuration import Profile

from aiida_nvp.provision import verdi_hook
from aiida_nvp.provision.codes import check_own_pw, ensure_pw, ensure_worker, is_own_pw, record_engines
from aiida_nvp.provision.computer import ensure_computer
from aiida_nvp.provision.daemon import ensure_daemon
from aiida_nvp.provision.profile import (
    default_engines_folder,
    ensure_options,
    ensure_profile,
    ensure_write_ahead_log,
)
from aiida_nvp.provision.pseudopotentials import FAMILY, check_own_family, ensure_family
from aiida_nvp.provision.quantum_espresso import ensure_quantum_espresso
from aiida_nvp.provision.steps import Outcome, Steps
from aiida_nvp.workflows.engines import Engines, chosen_engines


@dataclass(frozen=True)
class Choices:
    """What the user may choose.

    :param profile: an existing AiiDA profile; None for our own.
    :param pw: the user's own pw.x, ``code@computer``; None for the own one of an earlier setup, else to install one.
    :param pseudos: an installed pseudopotential family; None for that of an earlier setup, else to generate one.
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

    kept = _kept_engines(choices)
    if kept:
        choices = steps.do("own engines", _keep, choices, kept)
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


def _kept_engines(choices: Choices) -> dict[str, str]:
    """Return the user's own engines that an earlier setup recorded, as far as no others are named now."""
    before = chosen_engines()
    if before is None:
        return {}
    kept = {}
    if choices.pw is None and before.pw and is_own_pw(before.pw):
        kept["pw"] = before.pw
    if choices.pseudos is None and before.pseudos and before.pseudos != FAMILY:
        kept["pseudos"] = before.pseudos
    return kept


def _keep(choices: Choices, kept: dict[str, str]) -> Outcome[Choices]:
    others = " and ".join(f"--{name}" for name in kept)
    sentence = f"{', '.join(kept.values())} kept from the setup before; {others} would name others"
    own = replace(choices, pw=kept.get("pw", choices.pw), pseudos=kept.get("pseudos", choices.pseudos))
    return Outcome(own, sentence, changed=False)
