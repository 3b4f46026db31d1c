"""What shorter cutoffs of some pairs save: energy and forces of one model of a glass cell, and one epoch of training.

    python benchmarks/pair_cutoffs.py [--atoms 512] [--frames 24]

Two models of `nvp-tiny` are trained for one epoch on rehearsal labels, with and without `pair_cutoffs`, and asked about
the same cell by turns. Errors are another question: see `aiida-nvp benchmark uncertainty --potential`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.common.potential import load_potential
from aiida_nvp.labelling.rehearsal import RehearsalPotential
from aiida_nvp.labelling.theory import rehearsal_theory, theory_hash
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.packing import pack
from aiida_nvp.uncertainty.committee import AllegroMember, Committee

PAIRS = {"O-O": 3.2, "Na-O": 3.2, "P-O": 3.0, "V-O": 3.0}
TURNS = 15
OXIDES, REDUCED = {"Na2O": 1, "V2O5": 1, "P2O5": 1}, {"V": 1.0}
DENSITY_G_CM3 = 2.9
TRAIN = (
    "import sys; from pathlib import Path; from aiida_nvp.worker.main import run_stage;"
    "sys.exit(run_stage('train', Path(sys.argv[1]) / 'input.json'))"
)


def main() -> None:
    """Train both, ask both by turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=512)
    parser.add_argument("--frames", type=int, default=24)
    arguments = parser.parse_args()
    plain = load_potential(Path(__file__).parents[1] / "potentials" / "nvp-tiny").plain()
    plain["training"] |= {"epochs": 4}
    cell = FrameSet.from_atoms([pack(compose(OXIDES, REDUCED, arguments.atoms), DENSITY_G_CM3, 1)])
    frames = labelled(arguments.frames)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [train(Path(folder) / name, plain | {"pair_cutoffs": pairs}, frames)
                for name, pairs in (("all", {}), ("some", PAIRS))]  # fmt: skip
        members = [AllegroMember(job / "potential.nequip.zip") for job in jobs]
        seconds = ask([Committee([member], member.cutoff, member.types) for member in members], cell)
        epochs = [json.loads((job / "output.json").read_text())["wall_s"]["train"] for job in jobs]
    edges = [count(cell, plain["cutoff"], pairs) for pairs in ({}, PAIRS)]
    print(f"pairs of {arguments.atoms} atoms: {edges[0]} and {edges[1]}, ratio {edges[1] / edges[0]:.2f}")
    print(f"energy and forces: {seconds[0]:.3f} s and {seconds[1]:.3f} s, ratio {seconds[1] / seconds[0]:.2f}")
    print(f"4 epochs with their start: {epochs[0]:.1f} s and {epochs[1]:.1f} s, ratio {epochs[1] / epochs[0]:.2f}")


def labelled(count_of_frames: int) -> FrameSet:
    """Return packed cells of 64 atoms with rehearsal labels."""
    frames = [pack(compose(OXIDES, REDUCED, 64), DENSITY_G_CM3, seed) for seed in range(count_of_frames)]
    for atoms in frames:
        atoms.calc = RehearsalPotential()
        atoms.get_forces()
    return FrameSet.from_atoms(frames, level_of_theory=theory_hash(rehearsal_theory()))


def train(job: Path, definition: dict[str, Any], frames: FrameSet) -> Path:
    """Run the training stage in a process of its own."""
    job.mkdir()
    frames.save(job / "frames.npz")
    shifts = dict.fromkeys(definition["species"], -9.0)
    (job / "input.json").write_text(json.dumps({"definition": definition, "seed": 1, "shifts": shifts}))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", TRAIN, job], check=True, capture_output=True, env=environment)
    return job


def ask(committees: list[Committee], cell: FrameSet) -> list[float]:
    """Return the median CPU time of each, asked by turns."""
    taken = np.empty((TURNS, len(committees)))
    for turn in range(-2, TURNS):
        for index, committee in enumerate(committees):
            start = time.process_time()
            committee.drive(cell)
            taken[turn, index] = time.process_time() - start
    return [float(value) for value in np.median(taken, axis=0)]


def count(cell: FrameSet, cutoff: float, pairs: dict[str, float]) -> int:
    """Return the number of directed pairs that a model looks at."""
    atoms = cell.atoms(0)
    found = find_pairs(atoms.positions, atoms.cell.array, cutoff)
    symbols = np.array(atoms.get_chemical_symbols())
    first, second = symbols[found.first], symbols[found.second]
    reach = np.full(len(first), cutoff)
    for pair, value in pairs.items():
        one, other = pair.split("-")
        reach[((first == one) & (second == other)) | ((first == other) & (second == one))] = value
    return int(np.sum(found.distance <= reach))


if __name__ == "__main__":
    main()
