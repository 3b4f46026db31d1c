"""Langevin dynamics of several independent cells at once, shared by exploration and production.

All cells advance together because one model call for many small cells costs little more than for one. Each cell has
its own random numbers, so its noise does not depend on what else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_masses, covalent_radii
from numpy.typing import NDArray
from vesin import NeighborList

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.units import BOLTZMANN_EV_K, FEMTOSECOND_ASE
from aiida_nvp.uncertainty.committee import Prediction, Systems
from aiida_nvp.uncertainty.score import FrameScores, frame_scores
from aiida_nvp.worker.settings import Dynamics, Stage

FloatArray = NDArray[np.float64]


def thermostat(stages: Sequence[Stage]) -> FloatArray:
    """Return (steps + 1,) the temperature before the first step and at each step, in K."""
    ramps = [
        stage.temperature_from
        + (stage.temperature_to - stage.temperature_from) * np.arange(1, stage.steps + 1) / stage.steps
        for stage in stages
    ]
    return np.concatenate([[stages[0].temperature_from], *ramps])


def stage_of_step(stages: Sequence[Stage]) -> NDArray[np.int64]:
    """Return (steps + 1,) the index of the stage to which each step belongs."""
    return np.concatenate([[0], np.repeat(np.arange(len(stages)), [stage.steps for stage in stages])])


@dataclass
class Walkers:
    """R cells with N atoms in all, on their way.

    :param numbers: (N,), ``offsets``: (R + 1,), ``cells``: (R, 3, 3) angstrom.
    :param positions: (N, 3) angstrom, never wrapped.
    :param velocities: (N, 3) angstrom per ASE time unit; the total momentum of each cell is zero.
    """

    numbers: NDArray[np.int32]
    offsets: NDArray[np.int64]
    cells: FloatArray
    positions: FloatArray
    velocities: FloatArray

    def __post_init__(self) -> None:
        """Prepare what does not change."""
        self.masses: FloatArray = np.asarray(atomic_masses[self.numbers], dtype=float)
        self.owner = np.repeat(np.arange(len(self.cells)), np.diff(self.offsets))
        self._total_mass = np.bincount(self.owner, self.masses)
        # The centre of mass is at rest, which takes three degrees of freedom away.
        self._freedom = np.maximum(3 * np.diff(self.offsets) - 3, 1)

    @classmethod
    def at_rest(cls, frames: FrameSet) -> Walkers:
        """Return the frames with no velocities."""
        return cls(
            frames.numbers, frames.offsets, frames.cells, frames.positions.copy(), np.zeros_like(frames.positions)
        )

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cells)

    def part(self, index: int) -> slice:
        """Return the atoms of one cell."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def subset(self, keep: NDArray[np.int64]) -> Walkers:
        """Return the cells at the indices ``keep``."""
        atoms = np.isin(self.owner, keep)
        sizes = np.diff(self.offsets)[keep]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Walkers(self.numbers[atoms], offsets, self.cells[keep], self.positions[atoms], self.velocities[atoms])

    def temperature(self) -> FloatArray:
        """Return (R,) kinetic temperatures in K."""
        twice_kinetic = np.bincount(self.owner, self.masses * np.square(self.velocities).sum(axis=1))
        return np.asarray(twice_kinetic / (self._freedom * BOLTZMANN_EV_K), dtype=float)

    def kinetic_energy(self) -> FloatArray:
        """Return (R,) kinetic energies in eV."""
        energy = np.bincount(self.owner, 0.5 * self.masses * np.square(self.velocities).sum(axis=1))
        return np.asarray(energy, dtype=float)

    def thermal_noise(self, temperature: FloatArray, generators: Sequence[np.random.Generator]) -> FloatArray:
        """Return (N, 3) Maxwell-Boltzmann velocities with zero total momentum in each cell.

        :param temperature: (R,) K; ``generators``: one a cell.
        """
        sizes = np.diff(self.offsets)
        normal = np.concatenate([g.standard_normal((int(n), 3)) for g, n in zip(generators, sizes, strict=True)])
        width = np.sqrt(BOLTZMANN_EV_K * temperature[self.owner] / self.masses)
        return self._without_drift(normal * width[:, None])

    def shortest_ratio(self) -> FloatArray:
        """Return (R,) the shortest distance of each cell as a share of the sum of covalent radii; infinite if none."""
        return np.array([closest(self.numbers[p], self.positions[p], c)[0] for p, c in self._cells_and_parts()])

    def _cells_and_parts(self) -> list[tuple[slice, FloatArray]]:
        return [(self.part(index), self.cells[index]) for index in range(len(self))]

    def _without_drift(self, velocities: FloatArray) -> FloatArray:
        drift = [np.bincount(self.owner, self.masses * velocities[:, axis]) / self._total_mass for axis in range(3)]
        return velocities - np.stack(drift, axis=1)[self.owner]


def closest(numbers: NDArray[np.int32], positions: FloatArray, cell: FloatArray) -> tuple[float, float]:
    """Return the shortest distance as a share of the sum of covalent radii, and the shortest in angstrom.

    Pairs beyond four times the largest radius are not looked at; without any the values are infinite, and NaN where a
    position is not a number.
    """
    if not np.isfinite(positions).all():
        return float("nan"), float("nan")
    radii = covalent_radii[numbers]
    neighbours = NeighborList(cutoff=4.0 * float(radii.max()), full_list=True, n_threads=1)
    first, second, distance = neighbours.compute(positions, cell, True, "ijd")
    if not len(distance):
        return float("inf"), float("inf")
    return float((distance / (radii[first] + radii[second])).min()), float(distance.min())


def walker_scores(walkers: Walkers, expected: FloatArray) -> FrameScores:
    """Return the scores of the cells as they are now.

    :param expected: (N,) error to expect of each atom, eV/angstrom.
    """
    # A cell with a coordinate that is no number has infinite spread already; any geometry will do for its shell.
    positions = np.nan_to_num(walkers.positions, nan=0.0, posinf=0.0, neginf=0.0)
    pbc = np.ones((len(walkers), 3), dtype=bool)
    frames = FrameSet(walkers.numbers, walkers.offsets, positions, walkers.cells, pbc)
    return frame_scores(frames, expected)


def part_of(prediction: Prediction, which: NDArray[np.int64], atoms: NDArray[np.bool_]) -> Prediction:
    """Return what was predicted of the systems at the indices ``which``, whose atoms are those of the mask."""
    features = prediction.features
    return Prediction(
        prediction.energy[:, which], prediction.forces[:, atoms], None if features is None else features[atoms]
    )


def seconds_to_use(inputs: Mapping[str, Any]) -> float:
    """Return how long a job may work so that there is time left to write what it has; infinite without a limit."""
    limit = inputs.get("max_wallclock_s")
    return float(limit) - min(120.0, 0.1 * float(limit)) if limit else float("inf")


class Langevin:
    """BAOAB Langevin integrator (Leimkuhler and Matthews, doi:10.1063/1.4802990) at fixed cells.

    :param walkers: the cells; changed in place.
    :param force: gives energies and forces, for example ``Committee.drive``.
    :param dynamics: time step and friction.
    :param generators: one a cell; their state is all the randomness there is.
    """

    def __init__(
        self,
        walkers: Walkers,
        force: Callable[[Systems], Prediction],
        dynamics: Dynamics,
        generators: Sequence[np.random.Generator],
    ) -> None:
        """Evaluate the forces at the start."""
        self.walkers = walkers
        self.generators = list(generators)
        self._force = force
        self._dt = dynamics.timestep_fs * FEMTOSECOND_ASE
        self._keep = float(np.exp(-dynamics.friction_per_fs * dynamics.timestep_fs))
        self.driven: Prediction
        self.energy: FloatArray
        self.forces: FloatArray
        self._evaluate()

    def step(self, temperature: FloatArray) -> None:
        """Advance every cell by one step with its thermostat at ``temperature`` (R,) K."""
        walkers = self.walkers
        kick = 0.5 * self._dt / walkers.masses[:, None]
        walkers.velocities += kick * self.forces
        walkers.positions += 0.5 * self._dt * walkers.velocities
        walkers.velocities *= self._keep
        walkers.velocities += np.sqrt(1.0 - self._keep**2) * walkers.thermal_noise(temperature, self.generators)
        walkers.positions += 0.5 * self._dt * walkers.velocities
        self._evaluate()
        walkers.velocities += kick * self.forces

    def keep(self, which: NDArray[np.int64]) -> None:
        """Go on with the cells at the indices ``which`` only."""
        atoms = np.isin(self.walkers.owner, which)
        self.walkers = self.walkers.subset(which)
        self.generators = [self.generators[index] for index in which]
        self.driven = part_of(self.driven, which, atoms)
        self.energy, self.forces = self.driven.energy[0], self.driven.forces[0]

    def _evaluate(self) -> None:
        self.driven = self._force(self.walkers)
        self.energy, self.forces = self.driven.energy[0], self.driven.forces[0]
