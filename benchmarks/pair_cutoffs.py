"""What shorter cutoffs of some pairs save: energy and forces of one model of a glass cell, and some epochs of training.

    python benchmarks/pair_cutoffs.py [--atoms 512] [--frames 24]

Two committees of `nvp-tiny` are trained for a few epochs on labels of the rehearsal potential, an analytic stand-in,
with and without `pair_cutoffs`, and their first members are asked about the same cell by turns. Errors are another
question: see `aiida-nvp benchmark uncertainty --potential`.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from aiida_nvp.benchmark.members import train_committee
from aiida_nvp.benchmark.rehearsal import Cell, label
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.common.potential import PotentialDefinition, load_potential
from aiida_nvp.uncertainty.committee import AllegroMember, Committee
from aiida_nvp.worker.job import OUTPUT_FILE

PAIRS = {"O-O": 3.2, "Na-O": 3.2, "P-O": 3.0, "V-O": 3.0}
TURNS = 15
EPOCHS = 4
GLASS = Cell({"Na2O": 1, "V2O5": 1, "P2O5": 1}, 64, 2.9, {"V": 1.0})


def main() -> None:
    """Train both, ask both by turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=512)
    parser.add_argument("--frames", type=int, default=24)
    arguments = parser.parse_args()
    tiny = load_potential(Path(__file__).parents[1] / "potentials" / "nvp-tiny")
    tiny = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": EPOCHS})})
    both = [tiny, tiny.model_copy(update={"pair_cutoffs": PAIRS})]
    cell = FrameSet.from_atoms([replace(GLASS, atoms=arguments.atoms).packed(1)])
    frames = label([GLASS.packed(seed) for seed in range(arguments.frames)])
    with tempfile.TemporaryDirectory() as folder:
        packages = [
            train_committee(frames, definition, 1, Path(folder) / name, lambda _sentence: None)
            for name, definition in zip(("all", "some"), both, strict=True)
        ]
        members = [AllegroMember(found[0]) for found in packages]
        seconds = ask([Committee([member], member.cutoff, member.types) for member in members], cell)
        epochs = [np.mean([train_seconds(package.parent) for package in found]) for found in packages]
    edges = [count(cell, definition) for definition in both]
    print("trained on labels of the rehearsal potential (a stand-in)")
    print(f"pairs of {arguments.atoms} atoms: {edges[0]} and {edges[1]}, ratio {edges[1] / edges[0]:.2f}")
    print(f"energy and forces: {seconds[0]:.3f} s and {seconds[1]:.3f} s, ratio {seconds[1] / seconds[0]:.2f}")
    print(
        f"{EPOCHS} epochs with their start: {epochs[0]:.1f} s and {epochs[1]:.1f} s, ratio {epochs[1] / epochs[0]:.2f}"
    )


def train_seconds(job: Path) -> float:
    """Return how long a training took."""
    return float(json.loads((job / OUTPUT_FILE).read_text(encoding="utf-8"))["wall_s"]["train"])


def ask(committees: list[Committee], cell: FrameSet) -> list[float]:
    """Return the median CPU time of each, asked by turns."""
    taken = np.empty((TURNS, len(committees)))
    for turn in range(-2, TURNS):
        for index, committee in enumerate(committees):
            start = time.process_time()
            committee.drive(cell)
            taken[turn, index] = time.process_time() - start
    return [float(value) for value in np.median(taken, axis=0)]


def count(cell: FrameSet, definition: PotentialDefinition) -> int:
    """Return the number of directed pairs that a model looks at."""
    atoms = cell.atoms(0)
    found = find_pairs(atoms.positions, atoms.cell.array, definition.cutoff)
    table = definition.edge_cutoffs()
    if table is None:
        return len(found.distance)
    symbols = atoms.get_chemical_symbols()
    reach = [table[symbols[i]][symbols[j]] for i, j in zip(found.first, found.second, strict=True)]
    return int(np.sum(found.distance <= reach))


if __name__ == "__main__":
    main()
