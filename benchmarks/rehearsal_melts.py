"""Data sets to measure error bars and ways of choosing on without first principles: frames of rehearsal melts.

    python benchmarks/rehearsal_melts.py [--kind melts] [--seed 1] [--out rehearsal_melts.extxyz]

Each replica is a freshly packed cell, relaxed a little, that runs Langevin MD on the rehearsal potential at one
temperature; what the potential says of a frame is its label. Frames carry `temperature` and `trajectory`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Kind:
    """Which cells run how often at which temperatures, and how many frames of each run are kept."""

    cells: Mapping[str, Mapping[str, Any]]
    temperatures: Sequence[int]
    replicas: int
    frames: int
    settle_steps: int
    stride: int


KINDS = {
    "melts": Kind(
        {
            "NaVPO5": {
                "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1},
                "reduced": {"V": 1.0},
                "n_atoms": 32,
                "density": 2.9,
            },
            "NaPO3": {"oxides": {"Na2O": 1, "P2O5": 1}, "reduced": {}, "n_atoms": 30, "density": 2.5},
            "Na3PO4": {"oxides": {"Na2O": 3, "P2O5": 1}, "reduced": {}, "n_atoms": 32, "density": 2.5},
        },
        temperatures=(600, 1000, 1500, 3000),
        replicas=5,
        frames=5,
        settle_steps=300,
        stride=80,
    ),
    "pool": Kind(
        {
            "NaVPO5": {
                "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1},
                "reduced": {"V": 1.0},
                "n_atoms": 16,
                "density": 3.1,
            },
            "NaVO3": {"oxides": {"Na2O": 1, "V2O5": 1}, "reduced": {}, "n_atoms": 10, "density": 3.0},
            "NaPO3": {"oxides": {"Na2O": 1, "P2O5": 1}, "reduced": {}, "n_atoms": 10, "density": 2.8},
            "Na3PO4": {"oxides": {"Na2O": 3, "P2O5": 1}, "reduced": {}, "n_atoms": 8, "density": 2.8},
        },
        temperatures=(300, 600, 1000, 1500, 2000, 2500),
        replicas=3,
        frames=6,
        settle_steps=100,
        stride=50,
    ),
}
"""Cells large enough to measure error bars on, and small ones in number to choose among."""
TIMESTEP_FS, FRICTION_PER_FS = 1.0, 0.05


def main() -> None:
    """Pack, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("rehearsal_melts.extxyz"))
    parser.add_argument("--kind", choices=sorted(KINDS), default="melts")
    arguments = parser.parse_args()
    kind = KINDS[arguments.kind]
    start = time.perf_counter()
    frames = [
        frame
        for name, temperature, replica in itertools.product(kind.cells, kind.temperatures, range(kind.replicas))
        for frame in melt(kind, (name, temperature, replica), arguments.seed)
    ]
    told = [frame.info for frame in frames]
    collected = FrameSet.from_atoms(frames, told, theory_hash(rehearsal_theory()))
    arguments.out.write_text(write_extxyz(collected), encoding="utf-8")
    print(f"{len(frames)} frames in {time.perf_counter() - start:.0f} s")


def melt(kind: Kind, run_of: tuple[str, int, int], seed: int) -> Iterator[Atoms]:
    """Yield labelled frames of one replica of a cell at a temperature."""
    name, temperature, replica = run_of
    cell, key = kind.cells[name], f"{name}-{temperature}-{replica}"
    composition = compose(cell["oxides"], cell["reduced"], cell["n_atoms"])
    atoms = pack(composition, cell["density"], derive_seed(seed, "pack", key))
    atoms.calc = RehearsalPotential()
    FIRE(atoms, logfile=None).run(fmax=1.0, steps=100)
    rng = np.random.default_rng(derive_seed(seed, "velocities", key))
    thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
    friction = FRICTION_PER_FS / units.fs
    run = Langevin(atoms, TIMESTEP_FS * units.fs, temperature_K=temperature, friction=friction, fixcm=False, rng=rng)
    run.run(kind.settle_steps)
    for _ in range(kind.frames):
        run.run(kind.stride)
        frame = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        frame.calc = SinglePointCalculator(frame, energy=energy, forces=forces, stress=stress)
        frame.info |= {"temperature": temperature, "trajectory": key}
        yield frame


if __name__ == "__main__":
    main()
