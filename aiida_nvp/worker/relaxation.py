"""A short relaxation of one cell before its run."""

from __future__ import annotations

import os

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.optimize import FIRE

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.worker.md import Walkers

RELAXED_FORCE = 0.1
"""eV/angstrom at which a relaxation before the run ends."""


class _Driver(Calculator):
    """The driving member for ASE's optimisers."""

    def __init__(self, committee: Committee) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.implemented_properties = ["energy", "forces"]
        self._committee = committee

    def calculate(
        self, atoms: Atoms | None = None, properties: list[str] | None = None, system_changes: list[str] = all_changes
    ) -> None:
        super().calculate(atoms, properties, system_changes)  # type: ignore[no-untyped-call]
        assert self.atoms is not None
        here = np.ascontiguousarray(self.atoms.positions)
        offsets, cells = np.array([0, len(here)]), self.atoms.cell.array[None]
        numbers = self.atoms.numbers.astype(np.int32)
        prediction = self._committee.drive(Walkers(numbers, offsets, cells, here, np.zeros_like(here)))
        self.results = {"energy": float(prediction.energy[0, 0]), "forces": prediction.forces[0]}


def relax(frames: FrameSet, walkers: Walkers, committee: Committee, steps: int) -> int:
    """Relax the positions in place; return the steps taken."""
    if not steps:
        return 0
    atoms = frames.atoms(0)
    atoms.calc = _Driver(committee)
    with FIRE(atoms, logfile=os.devnull) as optimiser:
        optimiser.run(fmax=RELAXED_FORCE, steps=steps)
        taken = int(optimiser.nsteps)
    if np.isfinite(atoms.positions).all():
        walkers.positions[:] = atoms.positions
    return taken
