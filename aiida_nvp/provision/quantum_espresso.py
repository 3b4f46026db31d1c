"""A serial Quantum ESPRESSO of our own: the ``qepy`` wheel in a private environment behind a ``pw.x`` shim.

The wheel needs numpy 1, AiiDA's environment has numpy 2: hence the environment of its own.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.steps import Outcome

QEPY_VERSION = "7.2.0"
REQUIREMENTS = (f"qepy=={QEPY_VERSION}", "numpy<2", "f90wrap", "packaging")
PYTHON_VERSIONS = ((3, 12), (3, 11), (3, 10))
"""Those that the wheel is built for."""

OWN_PW_HINT = "or give your own pw.x with `aiida-nvp setup --pw CODE@COMPUTER`"
_PROBE = "import sys, venv, ensurepip; print(*sys.version_info[:2])"
_PROBE_TIMEOUT_S = 20


def probe_interpreter(executable: str) -> tuple[int, int] | None:
    """Return the version of a Python that can make environments, None if it does not run or cannot."""
    try:
        result = subprocess.run(
            [executable, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_TIMEOUT_S, check=True
        )
        major, minor = result.stdout.split()
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return int(major), int(minor)


def interpreter_candidates(which: Callable[[str], str | None] = shutil.which) -> list[str]:
    """Return Pythons to try: the running one first, since that one is known to work."""
    named = [which(f"python{major}.{minor}") for major, minor in PYTHON_VERSIONS]
    return [sys.executable, *(path for path in named if path)]


def find_interpreter(
    candidates: Iterable[str], probe: Callable[[str], tuple[int, int] | None] = probe_interpreter
) -> str:
    """Return the first candidate that runs, can make an environment and has a version with a qepy wheel.

    :raises InputError: if there is none.
    """
    for candidate in candidates:
        if probe(candidate) in PYTHON_VERSIONS:
            return candidate
    versions = ", ".join(f"{major}.{minor}" for major, minor in sorted(PYTHON_VERSIONS))
    raise InputError(
        f"Quantum ESPRESSO comes as a wheel for Python {versions} only and none of them is on PATH "
        f"(with its venv module): install one, {OWN_PW_HINT}."
    )


def shim(python: Path, program: str) -> str:
    """Return a shell script that acts as ``program`` (``pw.x``, ``ld1.x``) with the qepy of ``python``'s environment.

    ``-I`` keeps out PYTHONPATH, which AiiDA's daemon sets to its own packages, numpy 2 among them.
    """
    return (
        "#!/bin/sh\n"
        f"# {program} of Quantum ESPRESSO (qepy {QEPY_VERSION}), serial. Written by aiida-nvp setup.\n"
        'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"\n'
        f'exec {shlex.quote(str(python))} -I -m qepy --{program} "$@"\n'
    )


def installed_version(environment: Path) -> str | None:
    """Return the version of qepy in an environment, None if the environment is missing or broken."""
    command = "import importlib.metadata as m, numpy; print(m.version('qepy'))"
    try:
        result = subprocess.run(
            [str(environment / "bin" / "python"), "-I", "-c", command],
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def ensure_quantum_espresso(engines: Path) -> Outcome[Path]:
    """Return the folder with ``pw.x`` and ``ld1.x``, after installing them below ``engines`` where they are missing.

    :raises InputError: if no suitable Python is found or the package index does not deliver.
    """
    environment = engines / "qe"
    changed = installed_version(environment) != QEPY_VERSION
    if changed:
        _install(environment)
    programs = environment / "bin"
    for program in ("pw.x", "ld1.x"):
        changed |= _write_program(programs / program, shim(programs / "python", program))
    verb = "installed" if changed else "is there"
    return Outcome(programs, f"7.2 (qepy {QEPY_VERSION}) {verb}: {environment}", changed)


def _install(environment: Path) -> None:
    interpreter = find_interpreter(interpreter_candidates())
    environment.parent.mkdir(parents=True, exist_ok=True)
    _run([interpreter, "-I", "-m", "venv", "--clear", str(environment)], "making an environment for Quantum ESPRESSO")
    pip = [str(environment / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*pip, "--no-deps", *REQUIREMENTS], "installing Quantum ESPRESSO")


def _run(command: list[str], what: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = (result.stderr.strip() or result.stdout.strip() or f"exit status {result.returncode}").splitlines()
        raise InputError(f"{what} failed: {lines[-1].rstrip('.')}; see that the package index answers, {OWN_PW_HINT}.")


def _write_program(path: Path, text: str) -> bool:
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755)
    return True
