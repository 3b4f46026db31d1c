"""A data set to measure error bars on without first principles: frames of rehearsal melts at four temperatures.

    python benchmarks/rehearsal_melts.py [--seed 1] [--out rehearsal_melts.extxyz]

Each replica is a freshly packed cell, relaxed a little, that runs Langevin MD on the rehearsal potential at one
temperature; what the potential says of a frame is its label. Frames carry `temperature` and `trajectory`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.singlepoint import SinglePointCalculator
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import FIRE

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.labelling.extxyz import write_extxyz
from aiida_nvp.labelling.rehearsal import RehearsalPotential
from aiida_nvp.labelling.theory import rehearsal_theory, theory_hash
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.packing import pack

CELLS: dict[str, dict[str, Any]] = {
    "NaVPO5": {"oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1}, "reduced": {"V": 1.0}, "n_atoms": 32, "density": 2.9},
    "NaPO3": {"oxides": {"Na2O": 1, "P2O5": 1}, "reduced": {}, "n_atoms": 30, "density": 2.5},
    "Na3PO4": {"oxides": {"Na2O": 3, "P2O5": 1}, "reduced": {}, "n_atoms": 32, "density": 2.5},
}
TEMPERATURES = (600, 1000, 1500, 3000)
REPLICAS, FRAMES = 5, 5
SETTLE_STEPS, STRIDE, TIMESTEP_FS, FRICTION_PER_FS = 300, 80, 1.0, 0.05


def main() -> None:
    """Pack, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("rehearsal_melts.extxyz"))
    arguments = parser.parse_args()
    start = time.perf_counter()
    frames = [
        frame
        for name, temperature, replica in itertools.product(CELLS, TEMPERATURES, range(REPLICAS))
        for frame in melt(name, temperature, replica, arguments.seed)
    ]
    told = [frame.info for frame in frames]
    collected = FrameSet.from_atoms(frames, told, theory_hash(rehearsal_theory()))
    arguments.out.write_text(write_extxyz(collected), encoding="utf-8")
    print(f"{len(frames)} frames in {time.perf_counter() - start:.0f} s")


def melt(name: str, temperature: int, replica: int, seed: int) -> Iterator[Atoms]:
    """Yield labelled frames of one replica."""
    cell, key = CELLS[name], f"{name}-{temperature}-{replica}"
    composition = compose(cell["oxides"], cell["reduced"], cell["n_atoms"])
    atoms = pack(composition, cell["density"], derive_seed(seed, "pack", key))
    atoms.calc = RehearsalPotential()
    FIRE(atoms, logfile=None).run(fmax=1.0, steps=100)
    rng = np.random.default_rng(derive_seed(seed, "velocities", key))
    thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
    friction = FRICTION_PER_FS / units.fs
    run = Langevin(atoms, TIMESTEP_FS * units.fs, temperature_K=temperature, friction=friction, fixcm=False, rng=rng)
    run.run(SETTLE_STEPS)
    for _ in range(FRAMES):
        run.run(STRIDE)
        frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, stress=stress)
        frame.info |= {"temperature": temperature, "trajectory": key}
        yield frame


if __name__ == "__main__":
    main()
