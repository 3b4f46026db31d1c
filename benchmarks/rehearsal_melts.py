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

from ase import Atoms

from aiida_nvp.benchmark.rehearsal import SMALL_CELLS, Cell, Walk, walk
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.labelling.extxyz import write_extxyz
from aiida_nvp.labelling.theory import rehearsal_theory, theory_hash

MIXED = {"Na2O": 1, "V2O5": 1, "P2O5": 1}
RELAX_STEPS = 100


@dataclass(frozen=True)
class Kind:
    """Which cells run how often at which temperatures, and how."""

    cells: Mapping[str, Cell]
    temperatures: Sequence[int]
    replicas: int
    walk: Walk


KINDS = {
    "melts": Kind(
        {
            "NaVPO5": Cell(MIXED, 32, 2.9, {"V": 1.0}),
            "NaPO3": Cell({"Na2O": 1, "P2O5": 1}, 30, 2.5),
            "Na3PO4": Cell({"Na2O": 3, "P2O5": 1}, 32, 2.5),
        },
        (600, 1000, 1500, 3000),
        5,
        Walk(settle_steps=300, stride=80, frames=5),
    ),
    "pool": Kind(SMALL_CELLS, (300, 600, 1000, 1500, 2000, 2500), 3, Walk(settle_steps=100, stride=50, frames=6)),
}
"""Cells large enough to measure error bars on, and small ones in number to choose among."""


def main() -> None:
    """Pack, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("rehearsal_melts.extxyz"))
    parser.add_argument("--kind", choices=sorted(KINDS), default="melts")
    arguments = parser.parse_args()
    start = time.perf_counter()
    frames = list(melts(KINDS[arguments.kind], arguments.seed))
    told = [frame.info for frame in frames]
    collected = FrameSet.from_atoms(frames, told, theory_hash(rehearsal_theory()))
    arguments.out.write_text(write_extxyz(collected), encoding="utf-8")
    print(f"{len(frames)} frames of the rehearsal potential (a stand-in) in {time.perf_counter() - start:.0f} s")


def melts(kind: Kind, seed: int) -> Iterator[Atoms]:
    """Yield labelled frames, replica by replica."""
    for name, kelvin, replica in itertools.product(kind.cells, kind.temperatures, range(kind.replicas)):
        key = f"{name}-{kelvin}-{replica}"
        cell = kind.cells[name].relaxed(derive_seed(seed, "pack", key), RELAX_STEPS)
        for frame in walk(cell, kelvin, kind.walk, derive_seed(seed, "velocities", key)):
            frame.info |= {"temperature": kelvin, "trajectory": key}
            yield frame


if __name__ == "__main__":
    main()
