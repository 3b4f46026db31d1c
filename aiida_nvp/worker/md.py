"""Several independent cells on their way, shared by exploration and production."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase.data import atomic_masses, covalent_radii
from numpy.typing import NDArray
from vesin import NeighborList

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.units import BOLTZMANN_EV_K
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.uncertainty.committee import Prediction
from aiida_nvp.uncertainty.score import FrameScores, frame_scores
from aiida_nvp.worker.settings import Dynamics

FloatArray = NDArray[np.float64]

CURABLE = frozenset({StopReason.ENERGY_DRIFT, StopReason.LARGE_STEP})
"""What a shorter time step may cure."""


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
        self.freedom = np.maximum(3 * np.diff(self.offsets) - 3, 1)

    @classmethod
    def at_rest(cls, frames: FrameSet) -> Walkers:
        """Return the frames with no velocities."""
        still = np.zeros_like(frames.positions)
        return cls(frames.numbers, frames.offsets, frames.cells.copy(), frames.positions.copy(), still)

    @classmethod
    def joined(cls, parts: Sequence[Walkers]) -> Walkers:
        """Return the cells of all parts, in order."""
        sizes = np.concatenate([np.diff(part.offsets) for part in parts])
        return cls(
            np.concatenate([part.numbers for part in parts]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            np.concatenate([part.cells for part in parts]),
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.velocities for part in parts]),
        )

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.cells)

    def part(self, index: int) -> slice:
        """Return the atoms of one cell."""
        return slice(int(self.offsets[index]), int(self.offsets[index + 1]))

    def subset(self, keep: NDArray[np.int64]) -> Walkers:
        """Return the cells at the indices ``keep``, which rise."""
        atoms = np.isin(self.owner, keep)
        sizes = np.diff(self.offsets)[keep]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        return Walkers(self.numbers[atoms], offsets, self.cells[keep], self.positions[atoms], self.velocities[atoms])

    def temperature(self) -> FloatArray:
        """Return (R,) kinetic temperatures in K."""
        twice_kinetic = np.bincount(self.owner, self.masses * np.square(self.velocities).sum(axis=1))
        return np.asarray(twice_kinetic / (self.freedom * BOLTZMANN_EV_K), dtype=float)

    def kinetic_energy(self) -> FloatArray:
        """Return (R,) kinetic energies in eV."""
        energy = np.bincount(self.owner, 0.5 * self.masses * np.square(self.velocities).sum(axis=1))
        return np.asarray(energy, dtype=float)

    def volume(self) -> FloatArray:
        """Return (R,) volumes in angstrom^3."""
        return np.asarray(np.abs(np.linalg.det(self.cells)), dtype=float)

    def fastest(self) -> FloatArray:
        """Return (R,) the largest speed of an atom, angstrom per ASE time unit."""
        return np.sqrt(np.maximum.reduceat(np.square(self.velocities).sum(axis=1), self.offsets[:-1]))

    def thermal_noise(self, temperature: FloatArray, generators: Sequence[np.random.Generator | None]) -> FloatArray:
        """Return (N, 3) Maxwell-Boltzmann velocities with zero total momentum in each cell.

        :param temperature: (R,) K; ``generators``: one a cell, None for no velocities.
        """
        shapes = [(int(size), 3) for size in np.diff(self.offsets)]
        pairs = zip(generators, shapes, strict=True)
        normal = np.concatenate([np.zeros(n) if g is None else g.standard_normal(n) for g, n in pairs])
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
    features, stress = prediction.features, prediction.stress
    return Prediction(
        prediction.energy[:, which],
        prediction.forces[:, atoms],
        None if features is None else features[atoms],
        None if stress is None else stress[:, which],
    )


def joined_prediction(parts: Sequence[Prediction]) -> Prediction:
    """Return what was predicted of all parts, as if they had been asked about together."""
    features = [part.features for part in parts if part.features is not None]
    stress = [part.stress for part in parts if part.stress is not None]
    return Prediction(
        np.concatenate([part.energy for part in parts], axis=1),
        np.concatenate([part.forces for part in parts], axis=1),
        np.concatenate(features) if len(features) == len(parts) else None,
        np.concatenate(stress, axis=1) if len(stress) == len(parts) else None,
    )


def out_of_bounds(walkers: Walkers, volumes: FloatArray, dynamics: Dynamics) -> list[StopReason | None]:
    """Return for each cell whether it left what the settings allow.

    :param volumes: (R,) of the cells at their start, angstrom^3.
    """
    reasons: list[StopReason | None] = []
    for kelvin, ratio in zip(walkers.temperature(), walkers.volume() / volumes, strict=True):
        if not (np.isfinite(kelvin) and np.isfinite(ratio)):
            reasons.append(StopReason.NOT_A_NUMBER)
        elif kelvin > dynamics.max_temperature:
            reasons.append(StopReason.TEMPERATURE)
        else:
            fits = 1 / dynamics.max_volume_ratio <= ratio <= dynamics.max_volume_ratio
            reasons.append(None if fits else StopReason.VOLUME)
    return reasons


def seconds_to_use(inputs: Mapping[str, Any]) -> float:
    """Return how long a job may work so that there is time left to write what it has; infinite without a limit."""
    limit = inputs.get("max_wallclock_s")
    return float(limit) - min(120.0, 0.1 * float(limit)) if limit else float("inf")
