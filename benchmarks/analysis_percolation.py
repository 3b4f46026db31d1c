"""How fast clusters with winding ranks are found, against libraries that label without them, in one run on one machine.

    python benchmarks/analysis_percolation.py --cells 96

Random occupation of a periodic grid, and a smooth density that sodium in a glass might have. Times are the least CPU
time of several runs. `cc3d` (connected-components-3d) is timed where it can be imported; it does not tell winding.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, label

from aiida_nvp.analysis.channels.clusters import clusters
from aiida_nvp.analysis.channels.density import DensityGrid
from aiida_nvp.analysis.channels.paths import channel_paths, channel_radius
from aiida_nvp.analysis.channels.sweep import sweep

SHARES = (0.10, 0.3116, 0.50)
VISITED = (0.1, 0.3, 1.0)
IONS, FRAMES = 1000, 200
LARGE_GRID = 96


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=LARGE_GRID, help="cells of the grid along each axis")
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    shape = (options.cells,) * 3
    print(f"{options.cells}^3 cells; least CPU time of {options.repeat} runs in ms")
    print("\nclusters of random cells: winding ranks included, against labels alone")
    random = np.random.default_rng(1).random(shape)
    for share in SHARES:
        print(_clusters(random < share, share, options.repeat))
    print("\nthresholds of ranks 1, 2, 3 and barriers of all sites: one sweep, against bisection for rank 1 alone")
    for visited in VISITED:
        print(_thresholds(_density(shape, visited), visited, options.repeat))
    print("\nchannel at the threshold of rank 3: shortest paths along its basis, and its radius")
    print(_channel(_density(shape, 1.0)))
    print(f"\ncounting {IONS} ions: {1e6 * _counting(shape, options.repeat) / IONS:.1f} ns an ion and frame")


def _clusters(grid: NDArray[np.bool_], share: float, repeat: int) -> str:
    ours = _least(lambda: clusters(grid), repeat)
    line = f"p = {share:<6g} ours {ours:6.1f}   scipy, open {_against(ours, lambda: label(grid), repeat)}"
    if importlib.util.find_spec("cc3d"):
        cc3d = importlib.import_module("cc3d")

        def label_periodic() -> object:
            return cc3d.connected_components(grid, connectivity=6, periodic_boundary=True)

        line += f"   cc3d, periodic {_against(ours, label_periodic, repeat)}"
    found = clusters(grid)
    return f"{line}   {found.count} clusters, rank {found.rank}"


def _thresholds(density: NDArray[np.float64], visited: float, repeat: int) -> str:
    ours = _least(lambda: sweep(density), repeat)
    found = sweep(density)
    levels = ", ".join(f"{rank}: {level.density:.3f}" for rank, level in found.levels.items()) or "none"
    against = _against(ours, lambda: _bisected(density), repeat)
    return f"visited {visited:<4g} sweep {ours:6.1f}   bisection {against}   levels {levels}; {len(found.sites)} sites"


def _channel(density: NDArray[np.float64]) -> str:
    channel = clusters(density >= sweep(density).levels[3].density).channel
    cell = np.eye(3) * density.shape[0] * 0.5
    _least(lambda: channel_paths(channel[:8, :8, :8] | True, cell), 1)
    start = time.process_time()
    paths = channel_paths(channel, cell)
    middle = time.process_time()
    radius = channel_radius(channel, cell)
    end = time.process_time()
    shown = ", ".join(f"{path.winding}: {path.tortuosity:.2f}" for path in paths)
    return (
        f"{100 * channel.mean():.1f} % of the volume; paths {middle - start:.1f} s, radius {end - middle:.1f} s; "
        f"tortuosity {shown}; radius {radius:.2f} angstrom"
    )


def _counting(shape: tuple[int, int, int], repeat: int) -> float:
    positions = np.random.default_rng(0).random((FRAMES, IONS, 3)) * 48
    grid, cell = DensityGrid(shape), np.eye(3) * 48.0

    def count() -> None:
        for frame in positions:
            grid.add(frame, cell)

    return _least(count, repeat) / FRAMES


def _density(shape: tuple[int, int, int], visited: float) -> NDArray[np.float64]:
    field = gaussian_filter(np.random.default_rng(2).normal(size=shape), 3, mode="wrap")
    density: NDArray[np.float64] = np.exp(2 * field / field.std())
    return np.where(density >= np.quantile(density, 1 - visited), density, 0.0)


def _bisected(density: NDArray[np.float64]) -> float | None:
    """Return the threshold of rank 1 by halving the values that are left."""
    left = density[density > 0]
    best = None
    while len(left):
        middle = np.partition(left, len(left) // 2)[len(left) // 2]
        if clusters(density >= middle).rank:
            best, left = float(middle), left[left > middle]
        else:
            left = left[left < middle]
    return best


def _least(work: Callable[[], object], repeat: int) -> float:
    work()
    times = []
    for _ in range(repeat):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return 1000 * min(times)


def _against(ours: float, work: Callable[[], object], repeat: int) -> str:
    theirs = _least(work, repeat)
    return f"{theirs:6.1f} (ratio {ours / theirs:.2f})"


if __name__ == "__main__":
    main()
