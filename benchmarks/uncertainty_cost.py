"""What error bars cost: dynamics watched by last layer and committee against dynamics of one member alone.

    python benchmarks/uncertainty_cost.py MEMBER.nequip.zip MEMBER.nequip.zip MEMBER.nequip.zip --frames labelled.extxyz

Both runs use one engine, one cell and one process; blocks of steps alternate between them, so that a busy machine slows
both alike. The second part lets the committee evaluate many small frames together, against the same members called one
by one, frame by frame, through the ASE calculator of nequip.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from nequip.integrations.ase import NequIPCalculator

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.labelling.extxyz import read_extxyz
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.packing import pack
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.judge import Judge
from aiida_nvp.worker.course import Condition
from aiida_nvp.worker.integrator import Integrator
from aiida_nvp.worker.md import Walkers
from aiida_nvp.worker.statistics import fit_statistics

BLOCK = 25
"""Steps of a block, which holds one look of the committee."""
EVALUATED = 1000


def main() -> None:
    """Measure and print both ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--frames", type=Path, required=True, help="labelled frames of the training set, extended XYZ")
    parser.add_argument("--atoms", type=int, default=504)
    parser.add_argument("--blocks", type=int, default=8)
    arguments = parser.parse_args()
    labelled = read_extxyz(arguments.frames).frame_set("benchmark")
    committee = Committee.load(arguments.packages)
    statistics = fit_statistics(arguments.packages[0], labelled, range(len(labelled)))
    plain, watched = dynamics(committee, Judge(statistics), arguments.atoms, arguments.blocks)
    print(f"{arguments.atoms} atoms, {len(committee)} members, committee every {BLOCK} steps, last layer every step:")
    print(
        f"  one member alone {1e3 * plain:.1f} ms a step, watched {1e3 * watched:.1f} ms, ratio {watched / plain:.3f}"
    )
    many = labelled.subset([index % len(labelled) for index in range(EVALUATED)])
    together, alone = evaluation(committee, many, arguments.packages)
    print(f"{EVALUATED} frames, {len(many.numbers)} atoms, {len(committee)} members:")
    print(
        f"  together {together:.1f} s, member by member and frame by frame {alone:.1f} s, ratio {alone / together:.2f}"
    )


def dynamics(committee: Committee, judge: Judge, n_atoms: int, blocks: int) -> tuple[float, float]:
    """Return the median seconds a step of one member alone and of the same run watched."""
    cell = pack(compose({"Na2O": 1, "V2O5": 1, "P2O5": 1}, {"V": 1.0}, n_atoms), 3.1, 1)
    settings = Condition(300.0, timestep_fs=1.0, friction_per_fs=0.02)
    frames = FrameSet.from_atoms([cell])

    def engine(drive: Callable[..., object]) -> Integrator:
        walkers = Walkers.at_rest(frames)
        generator = np.random.default_rng(1)
        walkers.velocities += walkers.thermal_noise(np.array([300.0]), [generator])
        return Integrator(walkers, drive, [generator])

    alone = Committee(committee.members[:1], committee.cutoff, committee.species)
    plain, watched = engine(alone.drive), engine(committee.drive)
    times: dict[str, list[float]] = {"plain": [], "watched": []}
    for _ in range(blocks + 1):
        for name, run in (("plain", plain), ("watched", watched)):
            start = time.perf_counter()
            for step in range(BLOCK):
                run.step([settings])
                if name == "watched":
                    judge.last_layer(run.driven)
                    if step == BLOCK - 1:
                        judge.expected(run.walkers.numbers, committee.predict(run.walkers, run.driven))
            times[name].append((time.perf_counter() - start) / BLOCK)
    # The first block of each warms caches up.
    return float(np.median(times["plain"][1:])), float(np.median(times["watched"][1:]))


def evaluation(committee: Committee, frames: FrameSet, packages: list[Path]) -> tuple[float, float]:
    """Return the seconds of all frames together, and of all members on all frames one at a time."""
    calculators = [
        NequIPCalculator._from_saved_model(str(path), device="cpu", chemical_species_to_atom_type_map=True)
        for path in packages
    ]
    atoms = list(frames.without_labels())
    committee.predict(frames.subset([0]))
    start = time.perf_counter()
    found = committee.predict(frames).forces
    together = time.perf_counter() - start
    start = time.perf_counter()
    one_by_one = []
    for calculator in calculators:
        rows = []
        for frame in atoms:
            frame.calc = calculator
            rows.append(frame.get_forces())
        one_by_one.append(np.concatenate(rows))
    alone = time.perf_counter() - start
    if not np.allclose(found, np.array(one_by_one), atol=1e-3):
        raise SystemExit("the two ways disagree: the timing means nothing.")
    return together, alone


if __name__ == "__main__":
    main()
