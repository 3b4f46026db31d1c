import numpy as np
import pytest
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.units import BOLTZMANN_EV_K
from aiida_nvp.uncertainty.committee import Prediction
from aiida_nvp.worker.md import (
    Langevin,
    Walkers,
    closest,
    seconds_to_use,
    stage_of_step,
    thermostat,
)
from aiida_nvp.worker.settings import Dynamics, Stage, read_settings


def _generators(count):
    return [np.random.default_rng([3, index]) for index in range(count)]


def test_ramps_and_holds_by_hand():
    stages = [
        Stage(steps=2, temperature_from=300, temperature_to=500),
        Stage(steps=1, temperature_from=500, temperature_to=500),
    ]
    assert thermostat(stages) == pytest.approx([300, 400, 500, 500])
    assert list(stage_of_step(stages)) == [0, 0, 0, 1]


def test_thermal_velocities_have_no_drift_and_the_right_temperature(crystals):
    walkers = Walkers.at_rest(crystals(40))
    noise = walkers.thermal_noise(np.full(40, 700.0), _generators(40))
    momentum = [np.bincount(walkers.owner, walkers.masses * noise[:, axis]) for axis in range(3)]
    assert np.abs(momentum).max() < 1e-9
    walkers.velocities += noise
    # 40 cells of 93 degrees of freedom: a relative standard error of sqrt(2 / 3720) = 2.3 %.
    assert walkers.temperature().mean() == pytest.approx(700.0, rel=0.08)
    assert walkers.kinetic_energy().mean() == pytest.approx(0.5 * 93 * BOLTZMANN_EV_K * 700.0, rel=0.08)


def test_einstein_crystal_samples_equipartition():
    # BAOAB samples the positions of a harmonic well without time-step error (doi:10.1063/1.4802990).
    count, spring, temperature = 30, 5.0, 600.0
    frames = FrameSet.from_atoms([Atoms("NaVPO", np.eye(4, 3) * 3, cell=[9] * 3, pbc=True)] * count)
    home = frames.positions.copy()

    def well(systems):
        away = systems.positions - home
        return Prediction(np.zeros((1, count)), -spring * away[None])

    walkers = Walkers.at_rest(frames)
    dynamics = Dynamics(timestep_fs=4.0, friction_per_fs=0.05)
    langevin = Langevin(walkers, well, dynamics, _generators(count))
    spreads, temperatures = [], []
    for step in range(3000):
        langevin.step(np.full(count, temperature))
        if step >= 200:
            spreads.append(np.square(walkers.positions - home).mean())
            temperatures.append(walkers.temperature().mean())
    assert np.mean(temperatures) == pytest.approx(temperature, rel=0.03)
    # Three of four atoms' worth of freedom, because the centre of mass is at rest.
    assert np.mean(spreads) == pytest.approx(BOLTZMANN_EV_K * temperature / spring * 3 / 4, rel=0.03)


def _energy_error(frames, committee, timestep_fs):
    walkers = Walkers.at_rest(frames)
    walkers.velocities += walkers.thermal_noise(np.array([80.0]), _generators(1))
    dynamics = Dynamics(timestep_fs=timestep_fs, friction_per_fs=1e-12)
    langevin = Langevin(walkers, committee.drive, dynamics, _generators(1))
    total = []
    for _ in range(int(200 / timestep_fs)):
        langevin.step(np.array([80.0]))
        total.append(langevin.energy[0] + walkers.kinetic_energy()[0])
    return np.ptp(total)


def test_without_friction_energy_is_conserved_to_second_order(crystals, pair_committee):
    frames, committee = crystals(), pair_committee()
    coarse, fine = (_energy_error(frames, committee, step) for step in (4.0, 2.0))
    assert coarse < 0.01
    assert coarse / fine == pytest.approx(4.0, rel=0.35)


def test_a_cell_moves_the_same_alone_and_in_company(crystals, pair_committee):
    frames, committee, dynamics = crystals(3), pair_committee(), Dynamics(timestep_fs=2.0)
    together = Langevin(Walkers.at_rest(frames), committee.drive, dynamics, _generators(3))
    alone = Langevin(Walkers.at_rest(frames.subset([2])), committee.drive, dynamics, _generators(3)[2:])
    for step in range(30):
        if step == 10:
            together.keep(np.array([0, 2]))
        together.step(np.full(len(together.walkers), 500.0))
        alone.step(np.array([500.0]))
    assert together.walkers.positions[32:] == pytest.approx(alone.walkers.positions, abs=1e-9)
    assert together.energy[1] == pytest.approx(alone.energy[0], abs=1e-9)


def test_closest_counts_images_and_ignores_far_pairs():
    # Covalent radius of O: 0.66. The image across the face is at 1.0.
    numbers = np.array([8, 8], dtype=np.int32)
    positions = np.array([[0.2, 0, 0], [9.2, 0, 0]])
    assert closest(numbers, positions, 10 * np.eye(3)) == pytest.approx((1.0 / 1.32, 1.0))
    # The nearest pair in angstrom need not be the nearest for its species.
    mixed = np.array([[0.0, 0, 0], [1.0, 0, 0], [0, 5.0, 0], [1.2, 5.0, 0]])
    elements = np.array([8, 8, 11, 11], dtype=np.int32)
    assert closest(elements, mixed, 20 * np.eye(3)) == pytest.approx((1.2 / 3.32, 1.0))
    assert closest(numbers, positions, 30 * np.eye(3)) == (np.inf, np.inf)
    positions[0, 0] = np.nan
    assert np.isnan(closest(numbers, positions, 10 * np.eye(3))).all()


def test_time_to_use_leaves_time_to_write():
    assert seconds_to_use({}) == np.inf
    assert seconds_to_use({"max_wallclock_s": 100}) == pytest.approx(90)
    assert seconds_to_use({"max_wallclock_s": 7200}) == pytest.approx(7080)


def test_wrong_settings_name_the_key():
    with pytest.raises(InputError, match=r"timestep_fs.*; frictoin"):
        read_settings(Dynamics, {"timestep_fs": -1, "frictoin": 1})
