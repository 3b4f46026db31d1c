"""The smallest pw.x run that still proves something: one atom, read back from its output."""

from __future__ import annotations

import os
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from ase.data import atomic_masses, atomic_numbers

# Far below convergence: the question is whether the program runs, and it should take a second.
_INPUT = """&control
 calculation='scf', prefix='trial', outdir='./out', pseudo_dir='.', disk_io='none'
/
&system
 ibrav=1, celldm(1)=7.0, nat=1, ntyp=1, ecutwfc=12, ecutrho=60, occupations='smearing', degauss=0.02
/
&electrons
 conv_thr=1e-2, electron_maxstep=60, mixing_beta=0.3
/
ATOMIC_SPECIES
{symbol} {mass:.3f} {pseudo}
ATOMIC_POSITIONS crystal
{symbol} 0 0 0
K_POINTS gamma
"""
_ENERGY = re.compile(r"^!\s+total energy\s+=\s+(-?[\d.]+) Ry", re.MULTILINE)
_VERSION = re.compile(r"Program PWSCF (v\.\S+)")
_TIMEOUT_S = 120


@dataclass(frozen=True)
class PwTrial:
    """One trial run.

    :param executable: path of pw.x.
    :param symbol: element of the one atom.
    :param pseudo: name of its UPF file, which lies in ``folder``.
    :param folder: where to run.
    """

    executable: str
    symbol: str
    pseudo: str
    folder: Path


@dataclass(frozen=True)
class PwVerdict:
    """What came of it: an energy in Ry, or the complaint of the program."""

    energy_ry: float | None
    version: str
    seconds: float
    complaint: str = ""


def try_pw(trial: PwTrial) -> PwVerdict:
    """Run pw.x on one atom in a box; a failure is returned, not raised."""
    mass = float(atomic_masses[atomic_numbers[trial.symbol]])
    text = _INPUT.format(symbol=trial.symbol, mass=mass, pseudo=trial.pseudo)
    (trial.folder / "trial.in").write_text(text, encoding="utf-8")
    start = time.monotonic()
    try:
        result = subprocess.run(
            [trial.executable, "-in", "trial.in"],
            cwd=trial.folder,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return PwVerdict(None, "", time.monotonic() - start, str(error))
    seconds = time.monotonic() - start
    energy, version = _ENERGY.search(result.stdout), _VERSION.search(result.stdout)
    name = version.group(1) if version else ""
    if energy is None or "JOB DONE" not in result.stdout:
        return PwVerdict(None, name, seconds, _complaint(result.stdout, result.stderr, result.returncode))
    return PwVerdict(float(energy.group(1)), name, seconds)


def _complaint(output: str, errors: str, status: int) -> str:
    boxed = re.search(r"Error in routine .*\n(.*)", output)
    if boxed:
        return " ".join(boxed.group(0).split())
    lines = [line for line in (errors or output).splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit status {status}"
