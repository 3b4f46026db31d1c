"""How long it takes to draw a batch from ten thousand candidates, and in how much memory.

    OMP_NUM_THREADS=1 python benchmarks/selection_speed.py

Everything that a selection computes is in it: ids, calibrated scores, physical filter, kinds, duplicates, quotas and
the greedy batch. The frames are one packed cell, rattled; what the committee says of them is drawn at random, which
costs as much to select from.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import Stream
from aiida_nvp.selection.batch import Known, Pool, choose
from aiida_nvp.selection.filters import PhysicalLimits, faults
from aiida_nvp.selection.kinds import kinds
from aiida_nvp.selection.settings import BatchSettings, Method
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.packing import pack
from aiida_nvp.uncertainty.score import frame_scores

KIB_PER_GIB = 1 << 20


def main() -> None:
    """Measure and print each step and both methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--atoms", type=int, default=104)
    parser.add_argument("--width", type=int, default=64, help="features of the last layer")
    parser.add_argument("--labelled", type=int, default=500)
    arguments = parser.parse_args()
    generator = np.random.default_rng(1)
    frames, origins = candidates(arguments.frames, arguments.atoms, generator)
    expected = generator.gamma(2.0, 0.05, len(frames.numbers))
    columns = {
        "features": generator.normal(size=(len(frames), 8 * arguments.width)),
        "information": generator.normal(size=(len(frames), 8, arguments.width)).astype(np.float32),
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shared = 0.0
    with timed("ids") as seconds:
        ids = frames.ids()
    shared += seconds()
    with timed("scores") as seconds:
        scores = frame_scores(frames, expected).score
    shared += seconds()
    with timed("physical filter") as seconds:
        found = faults(frames, origins, PhysicalLimits(0.6, {"P-O": 1.1}, (2.0, 4.0), 2.0))
    shared += seconds()
    with timed("kinds") as seconds:
        examples = kinds(frames, origins, expected, 500.0, {"V-O": 2.5})
    shared += seconds()
    pool = Pool(
        ids=ids,
        scores=scores,
        faults=found,
        streams=[Stream.STRIDE] * len(frames),
        trajectories=[str(origin["replica"]) for origin in origins],
        times=np.array([origin["time_ps"] for origin in origins]),
        kinds=examples,
        atoms=np.diff(frames.offsets),
        **columns,
    )
    labelled = generator.normal(size=(arguments.labelled, 8 * arguments.width))
    lower, upper = np.quantile(scores, [0.2, 0.95])
    for method in Method:
        settings = BatchSettings(budget=48, lower=lower, upper=upper, method=method, coordination={"V-O": 2.5})
        with timed(f"batch, {method.value}") as seconds:
            decisions = choose(pool, Known(features=labelled), settings, 1)
        chosen = sum(decision.accepted for decision in decisions)
        print(f"  {chosen} of {len(frames)} candidates of {arguments.atoms} atoms: {shared + seconds():.1f} s in all")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"largest resident memory {peak / KIB_PER_GIB:.2f} GiB, {before / KIB_PER_GIB:.2f} of it before the selection"
    )


def candidates(count: int, atoms: int, generator: np.random.Generator) -> tuple[FrameSet, list[dict[str, float]]]:
    """Return rattled copies of one packed cell, a hundred a trajectory, and their origins."""
    cell = pack(compose({"Na2O": 1, "V2O5": 1, "P2O5": 1}, {"V": 1.0}, atoms), 3.1, 1)
    size = len(cell)
    shifts = generator.normal(scale=0.05, size=(count * size, 3))
    frames = FrameSet(
        numbers=np.tile(cell.numbers, count).astype(np.int32),
        offsets=np.arange(count + 1, dtype=np.int64) * size,
        positions=np.tile(cell.positions, (count, 1)) + shifts,
        cells=np.tile(cell.cell.array, (count, 1, 1)),
        pbc=np.ones((count, 3), dtype=bool),
    )
    origins = [
        {"replica": i // 100, "time_ps": 0.1 * (i % 100), "temperature": 300.0 * (1 + i % 10), "temperature_now": 300.0}
        for i in range(count)
    ]
    return frames, origins


@contextmanager
def timed(name: str) -> Iterator[Callable[[], float]]:
    """Print how long a step took; what is yielded tells it afterwards."""
    start = time.perf_counter()
    taken = [0.0]
    yield lambda: taken[0]
    taken[0] = time.perf_counter() - start
    print(f"  {name}: {taken[0]:.2f} s", flush=True)


if __name__ == "__main__":
    main()
