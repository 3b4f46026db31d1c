"""One atom gone wrong in a frame of two hundred: which way of choosing finds it.

    python benchmarks/planted_anomaly.py MEMBER.nequip.zip MEMBER.nequip.zip MEMBER.nequip.zip [--shift 0.7]

The pool are frames of the rehearsal potential in its own dynamics (a stand-in). In each trial one atom of one frame
is moved by a fixed way in a random direction, no nearer to another than a physical frame allows, and a batch is chosen
from the pool: as a campaign does, by the largest and by the mean deviation of the members, and at random.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_nvp.benchmark.rehearsal import Cell, Walk, walk
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.common.vocabulary import Stream
from aiida_nvp.selection.batch import Known, Pool, choose
from aiida_nvp.selection.filters import PhysicalLimits, faults
from aiida_nvp.selection.settings import BatchSettings
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.last_layer import pool_features
from aiida_nvp.uncertainty.score import frame_scores
from aiida_nvp.uncertainty.spread import vector_std

GLASS = Cell({"Na2O": 1, "V2O5": 1, "P2O5": 1}, 200, 2.9, {"V": 1.0})
KELVIN, STARTS, RELAX_STEPS = 600, 3, 60
RUN = Walk(settle_steps=100, stride=20, frames=12)
BATCH = 8
LIMITS = PhysicalLimits(0.55, {}, None, 2.0)


def main() -> None:
    """Plant, choose, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--shift", type=float, default=0.7, help="angstrom")
    parser.add_argument("--species", nargs="+", default=["P", "V", "O"], help="which atoms are moved")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    committee = Committee.load(arguments.packages)
    frames = pool(arguments.seed)
    sigma, features = look(committee, frames)
    found: Counter[str] = Counter()
    places = []
    for trial in range(arguments.trials):
        rng = np.random.default_rng([arguments.seed, trial])
        index = int(rng.integers(len(frames)))
        moved = planted(frames.atoms(index), arguments.shift, arguments.species, rng)
        everything = FrameSet.from_atoms([moved if i == index else frames.atoms(i) for i in range(len(frames))])
        spread, feature = look(committee, everything.subset([index]))
        here, rows = sigma.copy(), features.copy()
        here[everything.slice_of(index)], rows[index] = spread, feature[0]
        batches = chosen(everything, here, rows, derive_seed(arguments.seed, "choose", trial))
        found.update(name for name, batch in batches.items() if index in batch)
        mean = here.reshape(len(frames), -1).mean(axis=1)
        places.append(int((mean > mean[index]).sum()) + 1)
    print(
        f"{len(frames)} frames of {GLASS.atoms} atoms of the rehearsal potential (a stand-in)\n"
        f"batch of {BATCH}, an atom of "
        f"{', '.join(arguments.species)} moved by {arguments.shift:g} angstrom:"
    )
    for name in ("ours", "largest", "mean", "random"):
        print(f"  {name:>8}: in {found[name]} of {arguments.trials} batches")
    print(f"  median place of the frame by its mean deviation: {np.median(places):g}")


def pool(seed: int) -> FrameSet:
    """Return physical frames of the labeller's own dynamics."""
    frames: list[Atoms] = []
    for start in range(STARTS):
        cell = GLASS.relaxed(derive_seed(seed, "pack", start), RELAX_STEPS)
        frames += walk(cell, KELVIN, RUN, derive_seed(seed, "velocities", start))
        print(f"{len(frames)} frames", flush=True)
    found = FrameSet.from_atoms(frames)
    # The stand-in lets two ions of sodium come nearer than a physical frame allows.
    physical = [index for index, fault in enumerate(faults(found, [{}] * len(found), LIMITS)) if fault is None]
    return found.subset(physical)


def planted(atoms: Atoms, shift: float, species: Sequence[str], rng: np.random.Generator) -> Atoms:
    """Return the frame with one atom of some species moved and nothing too close."""
    movable = np.flatnonzero(np.isin(list(atoms.symbols), species))
    while True:
        moved = atoms.copy()
        way = rng.normal(size=3)
        moved.positions[int(rng.choice(movable))] += shift * way / np.linalg.norm(way)
        if faults(FrameSet.from_atoms([moved]), [{}], LIMITS)[0] is None:
            return moved


def look(committee: Committee, frames: FrameSet) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (N,) deviations of the members and (F, d) features."""
    prediction = committee.predict(frames)
    if prediction.features is None:
        raise SystemExit("these packages give no features; give an Allegro committee of this project.")
    return vector_std(prediction.forces), pool_features(frames, prediction.features, committee.species)


def chosen(
    frames: FrameSet, sigma: NDArray[np.float64], features: NDArray[np.float64], seed: int
) -> dict[str, set[int]]:
    """Return the batch of each way of choosing."""
    table = sigma.reshape(len(frames), -1)
    count = len(frames)
    candidates = Pool(
        ids=frames.ids(),
        scores=frame_scores(frames, sigma).score,
        faults=[None] * count,
        streams=[Stream.STRIDE] * count,
        trajectories=[str(index) for index in range(count)],
        times=np.full(count, np.nan),
        kinds=[{}] * count,
        features=features,
        atoms=np.diff(frames.offsets),
    )
    decisions = choose(candidates, Known(), BatchSettings(budget=BATCH, lower=0.0, upper=float("inf")), seed)
    by = {"largest": table.max(axis=1), "mean": table.mean(axis=1)}
    return {
        "ours": {index for index, decision in enumerate(decisions) if decision.accepted},
        "random": {int(index) for index in np.random.default_rng(seed).permutation(count)[:BATCH]},
        **{name: {int(index) for index in np.argsort(-values)[:BATCH]} for name, values in by.items()},
    }


if __name__ == "__main__":
    main()
