"""How well the forces of pw.x balance before it makes them, read from the contributions that it prints.

The sum of the forces on all atoms has to vanish. pw.x takes what is left of it off each force before it prints and
writes them; at ``verbosity = 'high'`` it prints each contribution as well, and these are untouched: their sum is the
net force. It is believed only where the contributions, less their mean, are the forces that were printed; with
symmetrised forces, or a contribution that is not printed, nothing is said.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.units import BOHR_ANGSTROM, RYDBERG_EV

_HEAD: Final = "Forces acting on atoms"
_END: Final = re.compile(r"Total force =\s*\S+\s+Total SCF correction =\s*(\d+\.\d+)")
_ROW: Final = re.compile(r"^\s*atom\s+\d+\s+type\s+\d+\s+force =" + r"\s*(-?\d+\.\d+)" * 3 + r"\s*$")
_UNIT: Final = RYDBERG_EV / BOHR_ANGSTROM
_PRINTED: Final = 1e-6
"""Ry/bohr; a force is printed to 1e-8, and half a dozen of them are added."""
_SAME: Final = 1e-3
"""eV/angstrom; other constants of nature may have turned the forces of a label into these units."""
_DIGITS: Final = 6

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ForceBalance:
    """What the standard output tells of the forces of one geometry.

    :param forces: (N, 3) eV/angstrom, as pw.x gives them.
    :param net: length of the sum of the forces on all atoms before pw.x takes it off, eV/angstrom; None where the
        contributions do not tell.
    :param scf_correction: root of the sum of squares of the part of the forces that is there because the cycle ended
        at a finite threshold, eV/angstrom; None in an output that was cut off.
    """

    forces: FloatArray
    net: float | None
    scf_correction: float | None

    def plain(self) -> dict[str, float]:
        """Return what is known, as it is stored with a label."""
        values = {"net_force": self.net, "scf_force_correction": self.scf_correction}
        return {name: round(value, _DIGITS) for name, value in values.items() if value is not None}


def force_balances(stdout: str) -> list[ForceBalance]:
    """Return the balance of each geometry whose forces pw.x printed, in order."""
    return [_balance(block) for block in stdout.split(_HEAD)[1:]]


def balance_of(balances: Sequence[ForceBalance], step: int, forces: FloatArray) -> ForceBalance | None:
    """Return the balance of ionic step ``step``, or None if the output prints other forces than the label's there.

    :param forces: (N, 3) eV/angstrom, of the label.
    """
    if step >= len(balances) or balances[step].forces.shape != np.shape(forces):
        return None
    same = np.allclose(balances[step].forces, forces, rtol=0.0, atol=_SAME)
    return balances[step] if same else None


def _balance(block: str) -> ForceBalance:
    end = _END.search(block)
    tables: list[list[list[float]]] = [[]]
    for line in block[: end.start() if end else len(block)].splitlines():
        row = _ROW.match(line)
        if row:
            tables[-1].append([float(value) for value in row.groups()])
        elif line.strip():
            tables.append([])
    printed, *parts = [np.array(table) for table in tables if table] or [np.empty((0, 3))]
    if end is None:
        return ForceBalance(_UNIT * printed, None, None)
    return ForceBalance(_UNIT * printed, _net(printed, parts), _UNIT * float(end[1]))


def _net(printed: FloatArray, parts: Sequence[FloatArray]) -> float | None:
    if not parts or any(part.shape != printed.shape for part in parts):
        return None
    total = np.sum(parts, axis=0)
    if not np.allclose(total - total.mean(axis=0), printed, rtol=0.0, atol=_PRINTED):
        return None
    return _UNIT * float(np.linalg.norm(total.sum(axis=0)))
