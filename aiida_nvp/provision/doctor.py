"""Say of each part whether it works and, where it does not, what to do."""

from __future__ import annotations

import importlib.metadata
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from aiida import orm
from aiida.common.exceptions import AiidaException
from aiida.manage import get_manager
from aiida.manage.configuration import Profile

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision import verdi_hook
from aiida_nvp.provision.codes import load_code
from aiida_nvp.provision.computer import COMPUTER, uses_login_shell
from aiida_nvp.provision.daemon import BrokerState, broker_folder, daemon_is_running, read_broker
from aiida_nvp.provision.profile import load
from aiida_nvp.provision.pseudopotentials import load_family
from aiida_nvp.provision.pw_check import PwTrial, try_pw
from aiida_nvp.workflows.engines import Engines, chosen_engines, setup_command

_PROGRAM_TIMEOUT_S = 60
_LIBRARIES = ("torch", "nequip", "nequip-allegro", "aiida-core", "aiida-quantumespresso", "ase")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor.

    :param part: what was looked at.
    :param works: the verdict.
    :param sentence: what was seen.
    :param remedy: what to do; empty where it works or nothing needs doing.
    """

    part: str
    works: bool
    sentence: str
    remedy: str = ""


def examine(profile_name: str | None, tell: Callable[[Finding], None]) -> bool:
    """Look at every part, ``tell`` of each as soon as it is known, and return whether all work."""
    findings = []

    def report(finding: Finding) -> bool:
        findings.append(finding)
        tell(finding)
        return finding.works

    try:
        profile = load(profile_name)
    except InputError as error:
        report(Finding("profile", False, str(error), _setup(None)))
        return False
    report(Finding("profile", True, f"{profile.name}: {profile.storage_backend}, {profile.process_control_backend}"))
    for check in (check_daemon, check_broker, check_computer):
        report(_guarded(check.__name__.removeprefix("check_"), check, profile))
    engines = chosen_engines()
    if engines is None:
        report(Finding("engines", False, "this profile has not been set up for aiida-nvp", _setup(profile.name)))
    else:
        for part, look in (("pw.x", check_pw), ("pseudopotentials", check_pseudos), ("worker", check_worker)):
            report(_guarded(part, look, engines))
    report(check_hook(verdi_hook.site_folder()))
    report(check_libraries())
    return all(finding.works for finding in findings)


def check_daemon(profile: Profile) -> Finding:
    """Look whether the daemon process lives."""
    if daemon_is_running(profile):
        return Finding("daemon", True, "runs")
    return Finding(
        "daemon",
        False,
        "does not run: `submit` needs it, `run` does not",
        _setup(profile.name) + ", which starts it clean",
    )


def check_broker(profile: Profile) -> Finding:
    """Look whether tasks reach a worker."""
    if profile.process_control_backend != "core.zeromq":
        return Finding("broker", True, f"{profile.process_control_backend} is looked after by `verdi status`")
    return diagnose_broker(profile.name, daemon_is_running(profile), read_broker(broker_folder(profile)))


def diagnose_broker(profile_name: str, daemon_runs: bool, state: BrokerState | None) -> Finding:
    """Judge the state of a ZeroMQ broker.

    A broker that was killed under a living daemon comes back, but the workers keep waiting on the dead one: nothing in
    ``verdi daemon status`` shows it, and every submitted process stays `created`.
    """
    restart = f"`verdi -p {profile_name} daemon restart`; no process is lost"
    if not daemon_runs:
        left = state is not None and state.alive
        sentence = "lives on without its daemon" if left else "starts and ends with the daemon"
        return Finding("broker", not left, sentence, _setup(profile_name) if left else "")
    if state is None or not state.alive:
        return Finding("broker", False, "is dead although the daemon runs", restart)
    if state.workers == 0:
        return Finding("broker", False, f"no worker listens, {state.pending} tasks wait", restart)
    return Finding("broker", True, f"{state.workers} worker(s) listen, {state.pending} tasks wait")


def check_computer(profile: Profile) -> Finding:
    """Look whether the local computer is configured, and how."""
    computer = orm.Computer.collection.get(label=COMPUTER)
    if not computer.is_configured:
        return Finding("computer", False, f"{COMPUTER} is not configured", _setup(profile.name))
    if uses_login_shell(computer):
        remedy = f"faster: `verdi computer configure core.local {COMPUTER} -n --no-use-login-shell`"
        return Finding("computer", True, f"{COMPUTER} starts a login shell for every command", remedy)
    return Finding("computer", True, f"{COMPUTER}: {computer.transport_type}, {computer.scheduler_type}")


def check_pw(engines: Engines) -> Finding:
    """Run pw.x on one atom where the code is on this machine."""
    code = load_code(engines.pw)
    if code.computer.transport_type != "core.local":
        code.validate_filepath_executable()
        return Finding("pw.x", True, f"{code.full_label}: the executable is there; not run, it is on another machine")
    family = load_family(engines.pseudos)
    element = sorted(family.elements)[0]
    with TemporaryDirectory(prefix="nvp-doctor-") as folder:
        pseudo = family.get_pseudo(element)
        (Path(folder) / pseudo.filename).write_text(pseudo.get_content(), encoding="utf-8")
        trial = try_pw(PwTrial(str(code.filepath_executable), element, pseudo.filename, Path(folder)))
    if trial.energy_ry is None:
        return Finding("pw.x", False, f"{code.full_label} failed: {trial.complaint}", _setup(_loaded()))
    version = f"{trial.version}, " if trial.version else ""
    sentence = f"{code.full_label}: {version}one atom of {element} in {trial.seconds:.1f} s, {trial.energy_ry:.3f} Ry"
    return Finding("pw.x", True, sentence)


def check_pseudos(engines: Engines) -> Finding:
    """Look whether the family is there."""
    family = load_family(engines.pseudos)
    elements = sorted(family.elements)
    shown = ", ".join(elements) if len(elements) <= len(_LIBRARIES) else f"{len(elements)} elements"
    return Finding("pseudopotentials", True, f"{family.label}: {shown}")


def check_worker(engines: Engines) -> Finding:
    """Run the worker program without a job."""
    code = load_code(engines.worker)
    command = [str(code.filepath_executable), "--help"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_PROGRAM_TIMEOUT_S, check=False)
    if result.returncode:
        last = (result.stderr.strip().splitlines() or ["no message"])[-1]
        return Finding("worker", False, f"{code.full_label} does not start: {last}", "reinstall aiida-nvp with pip")
    return Finding("worker", True, f"{code.full_label} starts")


def check_hook(site: Path) -> Finding:
    """Look for the verdi hook; its absence is the user's choice."""
    if verdi_hook.is_installed(site):
        return Finding("verdi hook", True, "`verdi process submit` is there")
    return Finding(
        "verdi hook", True, "not installed; `aiida-nvp submit` does the same", "`aiida-nvp verdi-hook install`"
    )


def check_libraries() -> Finding:
    """Import what trains and say the versions."""
    try:
        import torch  # noqa: PLC0415 - seconds of import that only this check pays
    except (ImportError, OSError) as error:
        return Finding("libraries", False, f"torch does not load: {error}", "reinstall with constraints.txt")
    try:
        versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    except importlib.metadata.PackageNotFoundError as error:
        return Finding("libraries", False, f"{error.name} is missing", "reinstall aiida-nvp with pip")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    return Finding("libraries", True, f"{versions}; {device}")


def _guarded(part: str, check: Callable[..., Finding], subject: object) -> Finding:
    try:
        return check(subject)
    except (InputError, AiidaException, OSError, ValueError, subprocess.SubprocessError) as error:
        return Finding(
            part, False, str(error).splitlines()[0] if str(error) else type(error).__name__, _setup(_loaded())
        )


def _setup(profile_name: str | None) -> str:
    return f"run `{setup_command(profile_name)}`"


def _loaded() -> str | None:
    profile = get_manager().get_profile()
    return profile.name if profile is not None else None
