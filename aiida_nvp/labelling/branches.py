"""One geometry from several starts: whether they end in one self-consistent solution, and which to keep.

With vanadium in two valences, and with +U above all, pw.x finds the solution nearest to its start. A share of all
labels is made again from another start; where the solutions lie apart the label is ambiguous and teaches nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_nvp.common.elements import ANION, cation
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import StartRecipe
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.labelling.valence import oxidation_counts, starting_state

FloatArray = NDArray[np.float64]

ENERGY_SPREAD: Final = 0.002
"""eV/atom; solutions further apart are different states. It is far above what convergence thresholds leave open."""
FORCE_SPREAD: Final = 0.1
"""eV/angstrom, length of the difference on one atom: about the error that a good potential has."""

_OTHERS: Final = (StartRecipe.PERMUTED, StartRecipe.ANTIFERROMAGNETIC)
_HEX_DIGITS: Final = 8


@dataclass(frozen=True)
class Solution:
    """Where one start ended.

    :param start: name of the start.
    :param energy: eV.
    :param forces: (N, 3) eV/angstrom.
    """

    start: str
    energy: float
    forces: FloatArray


@dataclass(frozen=True)
class BranchCheck:
    """What several starts of one geometry say together.

    :param energies: by start, eV/atom above the lowest.
    :param kept: start of the lowest.
    :param energy_spread: eV/atom between highest and lowest.
    :param force_spread: eV/angstrom, the longest difference to the lowest that any atom has in any solution.
    """

    energies: dict[str, float]
    kept: str
    energy_spread: float
    force_spread: float

    @property
    def ambiguous(self) -> bool:
        """Whether the solutions lie further apart than one label may leave open."""
        return self.energy_spread > ENERGY_SPREAD or self.force_spread > FORCE_SPREAD

    @property
    def sentence(self) -> str:
        """The check in words."""
        apart = f"{1000 * self.energy_spread:.1f} meV/atom and {self.force_spread:.2f} eV/angstrom apart"
        limits = f"{1000 * ENERGY_SPREAD:g} meV/atom, {FORCE_SPREAD:g} eV/angstrom"
        verdict = f"above {limits}" if self.ambiguous else f"within {limits}"
        return f"{len(self.energies)} starts end {apart} ({verdict}); lowest: {self.kept}"

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {
            "energies": {start: round(energy, 7) for start, energy in self.energies.items()},
            "kept": self.kept,
            "energy_spread": round(self.energy_spread, 7),
            "force_spread": round(self.force_spread, 6),
            "ambiguous": self.ambiguous,
        }


def compare(solutions: Sequence[Solution]) -> BranchCheck:
    """Return what two or more solutions of one geometry say together; of equal energies the first is kept.

    :raises ValueError: for fewer than two.
    """
    if len(solutions) < 2:  # noqa: PLR2004 - a comparison
        raise ValueError("a branch check compares two solutions or more")
    lowest = min(solutions, key=lambda solution: solution.energy)
    n_atoms = len(lowest.forces)
    above = {solution.start: (solution.energy - lowest.energy) / n_atoms for solution in solutions}
    lengths = [np.linalg.norm(solution.forces - lowest.forces, axis=1).max() for solution in solutions]
    return BranchCheck(above, lowest.start, max(above.values()), float(max(lengths)))


def usual_start(settings: LabelSettings) -> str:
    """Return the name of the start that every label has."""
    return StartRecipe.FERROMAGNETIC.value if settings.start == "valence" else settings.start


def other_starts(atoms: Atoms, settings: LabelSettings) -> tuple[StartRecipe, ...]:
    """Return the recipes that start this geometry in another way; empty where there is nothing to permute or oppose.

    A composition whose charges do not balance has no valences to start from, and so no other start. A cell that the
    settings label without spins has none either: with spins it would be of another level of theory.
    """
    if settings.start == "species" and not set(settings.starting_magnetization) & set(atoms.symbols):
        return ()
    try:
        return tuple(recipe for recipe in _OTHERS if starting_state(atoms, recipe).differs)
    except InputError:
        return ()


def most_other_starts(symbols: Sequence[str]) -> int:
    """Return from how many other starts a geometry of these atoms can be made again at most.

    :param symbols: of a cell whose spins are free, as for :func:`other_starts`.
    """
    try:
        counts = oxidation_counts(symbols)
    except InputError:
        return 0
    known = {symbol: cation(symbol) for symbol in set(symbols) - {ANION}}
    open_sites = sum(symbol in known and known[symbol].open_shell for symbol in symbols)
    permuted = any(len(by_state) > 1 for by_state in counts.values())
    # One spin has no neighbour to oppose.
    return int(permuted) + int(open_sites > 1)


def is_drawn(identity: str, share: float) -> bool:
    """Return whether the frame belongs to the share that is checked: decided by its id, so that a repetition agrees."""
    digest = hashlib.sha256(f"branch check {identity}".encode()).hexdigest()[:_HEX_DIGITS]
    return int(digest, 16) < share * 16**_HEX_DIGITS
