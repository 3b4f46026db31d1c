"""How often the error bar of a diffusivity holds the truth, over seeded runs of walkers whose diffusivity is known.

    python benchmarks/diffusion_coverage.py [--runs 200]

Each kind of motion is run many times; the share of runs whose 68 % interval holds the true mean diffusivity, the mean
of the error over it, and the scatter of that ratio are printed. A true error bar gives 0.68, 0 and 1.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.transport.diffusion import diffusion
from aiida_nvp.analysis.transport.paths import MemoryPaths
from aiida_nvp.common.trajectory import Trajectory

INTERVAL_PS = 0.5
FloatArray = NDArray[np.float64]
Positions = tuple[FloatArray, float]


def independent(rng: np.random.Generator, frames: int = 400, ions: int = 100) -> Positions:
    """All ions alike."""
    return _walk(rng, np.full(ions, 0.3), frames), 0.3


def two_populations(rng: np.random.Generator, frames: int = 400, ions: int = 100) -> Positions:
    """Every second ion at a tenth of the pace."""
    each = np.where(np.arange(ions) % 2, 0.5, 0.05)
    return _walk(rng, each, frames), float(each.mean())


def half_at_rest(rng: np.random.Generator, frames: int = 400, ions: int = 100) -> Positions:
    """Every second ion at rest."""
    each = np.where(np.arange(ions) % 2, 0.6, 0.0)
    return _walk(rng, each, frames), float(each.mean())


def caged(rng: np.random.Generator, frames: int = 400, ions: int = 100) -> Positions:
    """Walkers that rattle by 0.7 angstrom along each axis."""
    return _walk(rng, np.full(ions, 0.3), frames) + rng.normal(scale=0.7, size=(frames, ions, 3)), 0.3


def inertial(rng: np.random.Generator, frames: int = 400, ions: int = 100) -> Positions:
    """Walkers whose velocity lasts for four frames."""
    keep = np.exp(-1 / 4)
    kicks = rng.normal(size=(frames + 50, ions, 3)) * np.sqrt(2 * 0.3 * INTERVAL_PS) * (1 - keep)
    steps = np.zeros_like(kicks)
    for frame in range(1, len(kicks)):
        steps[frame] = keep * steps[frame - 1] + kicks[frame]
    return np.cumsum(steps[50:], axis=0), 0.3


def in_fours(rng: np.random.Generator, frames: int = 400, ions: int = 100) -> Positions:
    """Ions that move in fours, each four as one."""
    return np.repeat(_walk(rng, np.full(ions // 4, 0.3), frames), 4, axis=1), 0.3


def few(rng: np.random.Generator, frames: int = 2000, ions: int = 4) -> Positions:
    """Four ions, a long run."""
    return _walk(rng, np.full(ions, 0.3), frames), 0.3


def jumping(rng: np.random.Generator, frames: int = 1000, ions: int = 60, rate: float = 0.01) -> Positions:
    """Ions that rattle by 0.35 angstrom and jump by 3 angstrom, once in a hundred frames."""
    jumps = rng.random((frames, ions, 1)) < rate
    direction = rng.normal(size=(frames, ions, 3))
    steps = 3.0 * jumps * direction / np.linalg.norm(direction, axis=2, keepdims=True)
    rattle = rng.normal(scale=0.35, size=(frames, ions, 3))
    return np.cumsum(steps, axis=0) + rattle, rate * 9.0 / 6 / INTERVAL_PS


def jumping_rarely(rng: np.random.Generator) -> Positions:
    """Ions that jump three times in a thousand frames, 50 of them in 2000."""
    return jumping(rng, frames=2000, ions=50, rate=0.003)


KINDS = (jumping, jumping_rarely, independent, two_populations, half_at_rest, caged, inertial, in_fours, few)


def coverage(kind: Callable[[np.random.Generator], Positions], runs: int, seed: int = 0) -> FloatArray:
    """Return (R,) deviations from the truth in units of the error; NaN where the motion was not found diffusive."""
    found = np.full(runs, np.nan)
    for run in range(runs):
        positions, truth = kind(np.random.default_rng([seed, run]))
        one = diffusion(MemoryPaths(_trajectory(positions), rest=()), "Na")
        if one.diffusivity_m2_s is not None and one.error_m2_s is not None:
            found[run] = (one.diffusivity_m2_s * 1e8 - truth) / (one.error_m2_s * 1e8)
    return found


def _walk(rng: np.random.Generator, diffusivities: FloatArray, frames: int) -> FloatArray:
    scale = np.sqrt(2 * diffusivities * INTERVAL_PS)
    walked: FloatArray = np.cumsum(rng.normal(size=(frames, len(scale), 3)) * scale[None, :, None], axis=0)
    return walked


def _trajectory(positions: FloatArray) -> Trajectory:
    frames, ions = positions.shape[:2]
    return Trajectory(
        numbers=np.full(ions, 11, dtype=np.int32),
        step=np.arange(frames),
        time_ps=INTERVAL_PS * np.arange(frames),
        positions=positions.astype(np.float32),
        cells=np.repeat(np.eye(3)[None] * 10, frames, axis=0),
        stage=np.zeros(frames, dtype=np.int32),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    runs = parser.parse_args().runs
    print(f"{'motion':18s} {'held':>6s} {'bias':>6s} {'scatter':>8s} {'diffusive':>9s} {'s a run':>8s}")
    for kind in KINDS:
        begun = time.perf_counter()
        z = coverage(kind, runs)
        seconds = (time.perf_counter() - begun) / runs
        good = z[np.isfinite(z)]
        held, found = float((np.abs(good) < 1).mean()), len(good) / runs
        numbers = f"{held:6.3f} {good.mean():6.2f} {good.std():8.2f} {found:9.2f} {seconds:8.3f}"
        print(f"{kind.__name__:18s} {numbers}", flush=True)


if __name__ == "__main__":
    main()
