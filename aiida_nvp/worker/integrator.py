"""Molecular dynamics of several independent cells at once.

All cells advance together because one model call for many small cells costs little more than for one. Each cell has
its own random numbers, time step, thermostat and barostat: what it does is independent of the rest of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import BOLTZMANN_EV_K, FEMTOSECOND_ASE, GPA_EV_ANGSTROM3
from aiida_nvp.uncertainty.committee import Prediction, Systems
from aiida_nvp.worker.course import Condition
from aiida_nvp.worker.md import Walkers, joined_prediction, part_of

FloatArray = NDArray[np.float64]

LARGEST_STRAIN = 0.05
"""Of the volume in one step: a barostat that asks for more is far from any equilibrium, and would tear the cell."""


class Integrator:
    """Velocity Verlet with thermostat and barostat in the middle of each step.

    Langevin: BAOAB (Leimkuhler and Matthews, doi:10.1063/1.4802990). Bussi: stochastic rescaling of the velocities
    (Bussi, Donadio, Parrinello, doi:10.1063/1.2408420, equation A7). Barostat: stochastic rescaling of the cell
    (Bernetti and Bussi, doi:10.1063/5.0020514), isotropic. The centre of mass is at rest.

    :param walkers: the cells; changed in place.
    :param force: gives energies and forces, and stresses where a barostat needs them, for example ``Committee.drive``.
    :param generators: one a cell; their state is all the randomness there is.
    """

    def __init__(
        self,
        walkers: Walkers,
        force: Callable[[Systems], Prediction],
        generators: Sequence[np.random.Generator],
    ) -> None:
        """Evaluate the forces at the start."""
        self.walkers = walkers
        self.generators = list(generators)
        self.heat: FloatArray = np.zeros(len(walkers))
        self._force = force
        self.driven = force(walkers)

    @property
    def energy(self) -> FloatArray:
        """(R,) potential energies in eV."""
        energy: FloatArray = self.driven.energy[0]
        return energy

    @property
    def forces(self) -> FloatArray:
        """(N, 3) eV/angstrom."""
        forces: FloatArray = self.driven.forces[0]
        return forces

    def conserved_energy(self) -> FloatArray:
        """Return (R,) eV: the energy less what thermostats gave. Only the time step changes it, at a fixed cell."""
        return self.energy + self.walkers.kinetic_energy() - self.heat

    def pressure_gpa(self) -> FloatArray:
        """Return (R,) the pressure of atoms and motion.

        :raises InputError: if the model gives no stress.
        """
        if self.driven.stress is None:
            raise InputError("the potential gives no stress, which an npt stage needs.")
        static = -np.trace(self.driven.stress[0], axis1=1, axis2=2) / 3.0
        motion = 2.0 * self.walkers.kinetic_energy() / (3.0 * self.walkers.volume())
        return np.asarray((static + motion) / GPA_EV_ANGSTROM3, dtype=float)

    def step(self, conditions: Sequence[Condition]) -> None:
        """Advance every cell by one step under its condition."""
        walkers, now = self.walkers, Condition(*np.array(conditions).T)
        half = (0.5 * FEMTOSECOND_ASE * np.asarray(now.timestep_fs))[walkers.owner][:, None]
        kick = half / walkers.masses[:, None]
        walkers.velocities += kick * self.forces
        walkers.positions += half * walkers.velocities
        self._exchange_heat(now)
        self._rescale_cells(now)
        walkers.positions += half * walkers.velocities
        self.driven = self._force(walkers)
        walkers.velocities += kick * self.forces

    def keep(self, which: NDArray[np.int64]) -> None:
        """Go on with the cells at the indices ``which`` only."""
        atoms = np.isin(self.walkers.owner, which)
        self.walkers = self.walkers.subset(which)
        self.generators = [self.generators[index] for index in which]
        self.heat = self.heat[which]
        self.driven = part_of(self.driven, which, atoms)

    def join(self, other: Integrator) -> None:
        """Take the cells of another integrator in, behind those that are here."""
        self.walkers = Walkers.joined([self.walkers, other.walkers])
        self.generators += other.generators
        self.heat = np.concatenate([self.heat, other.heat])
        self.driven = joined_prediction([self.driven, other.driven])

    def _exchange_heat(self, now: Condition) -> None:
        walkers = self.walkers
        before = walkers.kinetic_energy()
        friction, temperature = np.asarray(now.friction_per_fs), np.asarray(now.temperature)
        felt = friction > 0
        if felt.any():
            keep = np.exp(-friction * now.timestep_fs)[walkers.owner][:, None]
            noise = [generator if here else None for generator, here in zip(self.generators, felt, strict=True)]
            walkers.velocities *= keep
            walkers.velocities += np.sqrt(1.0 - keep**2) * walkers.thermal_noise(temperature, noise)
        rescaling = np.asarray(now.rescaling_fs)
        for index in np.flatnonzero(np.isfinite(rescaling)):
            keep_share = float(np.exp(-np.asarray(now.timestep_fs)[index] / rescaling[index]))
            goal = 0.5 * BOLTZMANN_EV_K * float(temperature[index])
            factor = self._velocity_factor(int(index), keep_share, goal, float(before[index]))
            walkers.velocities[walkers.part(int(index))] *= factor
        self.heat += walkers.kinetic_energy() - before

    def _velocity_factor(self, index: int, keep: float, goal: float, kinetic: float) -> float:
        """Return the factor of equation A7; ``goal`` is the mean energy of one degree of freedom."""
        if not kinetic > 0:
            return 1.0
        generator, freedom = self.generators[index], int(self.walkers.freedom[index])
        one = generator.standard_normal()
        others = 2.0 * generator.standard_gamma(0.5 * (freedom - 1)) if freedom > 1 else 0.0
        share = (1.0 - keep) * goal / kinetic
        return float(np.sqrt(keep + share * (others + one**2) + 2.0 * one * np.sqrt(keep * share)))

    def _rescale_cells(self, now: Condition) -> None:
        pressure = np.asarray(now.pressure_gpa)
        moving = np.flatnonzero(~np.isnan(pressure))
        if not len(moving):
            return
        walkers, volume = self.walkers, self.walkers.volume()
        thermal = BOLTZMANN_EV_K * np.asarray(now.temperature) / (volume * GPA_EV_ANGSTROM3)
        rate = np.asarray(now.compressibility_per_gpa) * now.timestep_fs / np.asarray(now.barostat_fs)
        pull = rate * (self.pressure_gpa() + thermal - pressure)
        scale = np.ones(len(walkers))
        for index in moving:
            noise = np.sqrt(2.0 * thermal[index] * rate[index]) * self.generators[index].standard_normal()
            # A pressure that is no number moves nothing: the forces are none either, and end the replica.
            strain = np.clip(np.nan_to_num(pull[index] + noise, nan=0.0), -LARGEST_STRAIN, LARGEST_STRAIN)
            scale[index] = np.exp(strain / 3.0)
        walkers.cells *= scale[:, None, None]
        walkers.positions *= scale[walkers.owner][:, None]
        walkers.velocities /= scale[walkers.owner][:, None]
