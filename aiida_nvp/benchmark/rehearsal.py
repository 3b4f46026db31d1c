"""Labels that cost nothing: cells and dynamics of the rehearsal potential, an analytic stand-in for first principles.

What is measured on them is true of training, error bars and choosing, and says nothing about a material.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.labelling.rehearsal import RehearsalPotential
from aiida_nvp.labelling.theory import rehearsal_theory, theory_hash
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.packing import pack

LARGEST_FORCE = 100.0
"""eV/angstrom; a frame with more has no label, as in a campaign."""
_RELAXED = 1.0
_FRICTION_PER_FS = 0.05


@dataclass(frozen=True)
class Cell:
    """A composition and how much of it.

    :param oxides: moles by formula; ``density``: g/cm3; ``reduced``: share of the atoms of an element.
    """

    oxides: Mapping[str, float]
    atoms: int
    density: float
    reduced: Mapping[str, float] = field(default_factory=dict)

    def packed(self, seed: int) -> Atoms:
        """Return a freshly packed cell."""
        return pack(compose(self.oxides, self.reduced, self.atoms), self.density, seed)

    def relaxed(self, seed: int, steps: int) -> Atoms:
        """Return a packed cell after some steps of relaxation on the rehearsal potential."""
        atoms = self.packed(seed)
        atoms.calc = RehearsalPotential()
        FIRE(atoms, logfile=None).run(fmax=_RELAXED, steps=steps)
        return atoms


SMALL_CELLS = {
    "NaVPO5": Cell({"Na2O": 1, "V2O5": 1, "P2O5": 1}, 16, 3.1, {"V": 1.0}),
    "NaVO3": Cell({"Na2O": 1, "V2O5": 1}, 10, 3.0),
    "NaPO3": Cell({"Na2O": 1, "P2O5": 1}, 10, 2.8),
    "Na3PO4": Cell({"Na2O": 3, "P2O5": 1}, 8, 2.8),
}
"""Cells that train and explore in seconds."""


@dataclass(frozen=True)
class Walk:
    """Steps of 1 fs before the first frame, between two frames, and how many frames."""

    settle_steps: int
    stride: int
    frames: int


def walk(start: Atoms, kelvin: float, how: Walk, seed: int) -> Iterator[Atoms]:
    """Yield frames of Langevin dynamics on the rehearsal potential, each with its label; the start stays as it is."""
    atoms = Atoms(start.numbers, start.positions, cell=start.cell, pbc=True, calculator=RehearsalPotential())
    rng = np.random.default_rng(seed)
    thermalize_momenta(atoms, temperature_K=kelvin, rng=rng)
    friction = _FRICTION_PER_FS / units.fs
    run = Langevin(atoms, units.fs, temperature_K=kelvin, friction=friction, fixcm=False, rng=rng)
    run.run(how.settle_steps)
    for _ in range(how.frames):
        run.run(how.stride)
        yield _labelled(atoms)


def label(frames: Sequence[Atoms], info: Sequence[Mapping[str, Any]] | None = None) -> FrameSet:
    """Return those of the frames that the rehearsal potential can label, as a labelled set.

    :param info: what is known of each frame.
    """
    known = [{}] * len(frames) if info is None else info
    pairs = [(_labelled(atoms), entry) for atoms, entry in zip(frames, known, strict=True)]
    kept = [(atoms, entry) for atoms, entry in pairs if _largest_force(atoms) < LARGEST_FORCE]
    level = theory_hash(rehearsal_theory())
    return FrameSet.from_atoms([atoms for atoms, _ in kept], [entry for _, entry in kept], level)


def _labelled(atoms: Atoms) -> Atoms:
    frame = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=True, calculator=RehearsalPotential())
    energy, forces, stress = frame.get_potential_energy(), frame.get_forces(), frame.get_stress()
    frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, stress=stress)
    return frame


def _largest_force(atoms: Atoms) -> float:
    """Return infinity where a force is no number."""
    largest = float(np.abs(atoms.get_forces()).max())
    return largest if np.isfinite(largest) else float("inf")
