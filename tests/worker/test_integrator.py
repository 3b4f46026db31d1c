from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.md.langevinbaoab import LangevinBAOAB
from ase.units import GPa, fs

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.units import BOLTZMANN_EV_K, GPA_EV_ANGSTROM3
from aiida_nvp.uncertainty.committee import Prediction
from aiida_nvp.worker.course import Condition
from aiida_nvp.worker.integrator import Integrator
from aiida_nvp.worker.md import Walkers


def _generators(count):
    return [np.random.default_rng([3, index]) for index in range(count)]


def _free(systems):
    """No forces at all."""
    count = len(systems.cells)
    stress = np.zeros((1, count, 3, 3))
    return Prediction(np.zeros((1, count)), np.zeros((1, len(systems.numbers), 3)), stress=stress)


def test_einstein_crystal_samples_equipartition():
    # BAOAB samples the positions of a harmonic well without time-step error (doi:10.1063/1.4802990).
    count, spring, temperature = 30, 5.0, 600.0
    frames = FrameSet.from_atoms([Atoms("NaVPO", np.eye(4, 3) * 3, cell=[9] * 3, pbc=True)] * count)
    home = frames.positions.copy()

    def well(systems):
        away = systems.positions - home
        return Prediction(np.zeros((1, count)), -spring * away[None])

    walkers = Walkers.at_rest(frames)
    integrator = Integrator(walkers, well, _generators(count))
    spreads, temperatures = [], []
    for step in range(2500):
        integrator.step([Condition(temperature, 4.0, 0.05)] * count)
        if step >= 200:
            spreads.append(np.square(walkers.positions - home).mean())
            temperatures.append(walkers.temperature().mean())
    assert np.mean(temperatures) == pytest.approx(temperature, rel=0.03)
    # Three of four atoms' worth of freedom, because the centre of mass is at rest.
    assert np.mean(spreads) == pytest.approx(BOLTZMANN_EV_K * temperature / spring * 3 / 4, rel=0.03)


def _energy_error(frames, committee, timestep_fs):
    walkers = Walkers.at_rest(frames)
    walkers.velocities += walkers.thermal_noise(np.array([80.0]), _generators(1))
    integrator = Integrator(walkers, committee.drive, _generators(1))
    total = []
    for _ in range(int(200 / timestep_fs)):
        integrator.step([Condition(80.0, timestep_fs)])
        total.append(integrator.energy[0] + walkers.kinetic_energy()[0])
    return np.ptp(total)


def test_without_thermostat_energy_is_conserved_to_second_order(crystals, pair_committee):
    frames, committee = crystals(), pair_committee()
    coarse, fine = (_energy_error(frames, committee, step) for step in (4.0, 2.0))
    assert coarse < 0.01
    assert coarse / fine == pytest.approx(4.0, rel=0.35)


@pytest.mark.parametrize("thermostat", [{"friction_per_fs": 0.05}, {"rescaling_fs": 20.0}])
def test_what_a_thermostat_gives_is_no_drift(crystals, pair_committee, thermostat):
    walkers = Walkers.at_rest(crystals())
    integrator = Integrator(walkers, pair_committee().drive, _generators(1))
    total, conserved = [], []
    for _ in range(150):
        integrator.step([Condition(600.0, 2.0, **thermostat)])
        total.append(integrator.energy[0] + walkers.kinetic_energy()[0])
        conserved.append(integrator.conserved_energy()[0])
    assert np.ptp(total) > 0.5
    assert np.ptp(conserved) < 0.05


def test_bussi_samples_the_canonical_kinetic_energy():
    count, temperature = 400, 500.0
    frames = FrameSet.from_atoms([Atoms("NaVPO", np.eye(4, 3) * 3, cell=[9] * 3, pbc=True)] * count)
    walkers = Walkers.at_rest(frames)
    walkers.velocities += walkers.thermal_noise(np.full(count, temperature), _generators(count))
    integrator = Integrator(walkers, _free, _generators(count))
    kinetic = []
    for step in range(200):
        integrator.step([Condition(temperature, 5.0, rescaling_fs=20.0)] * count)
        if step % 20 == 19:
            kinetic.append(walkers.kinetic_energy())
    # Nine degrees of freedom: a gamma distribution with shape 9/2 and scale kT.
    scale = BOLTZMANN_EV_K * temperature
    assert np.mean(kinetic) == pytest.approx(4.5 * scale, rel=0.03)
    assert np.var(kinetic) == pytest.approx(4.5 * scale**2, rel=0.12)


def test_an_ideal_gas_under_pressure_has_the_volumes_of_the_ensemble():
    # V is distributed as V^N exp(-PV/kT): a gamma distribution with shape N + 1 and scale kT/P.
    count, size, temperature, pressure = 40, 64, 1000.0, 1.0
    scale = BOLTZMANN_EV_K * temperature / (pressure * GPA_EV_ANGSTROM3)
    edge = ((size + 1) * scale) ** (1 / 3)
    rng = np.random.default_rng(2)
    gas = [Atoms(f"O{size}", rng.random((size, 3)) * edge, cell=[edge] * 3, pbc=True) for _ in range(count)]
    walkers = Walkers.at_rest(FrameSet.from_atoms(gas))
    walkers.velocities += walkers.thermal_noise(np.full(count, temperature), _generators(count))
    integrator = Integrator(walkers, _free, _generators(count))
    volumes = []
    for step in range(2000):
        integrator.step([Condition(temperature, 4.0, 0.05, float("inf"), pressure, 1000.0, 1.0)] * count)
        if step >= 500 and step % 50 == 0:
            volumes.append(walkers.volume())
    assert np.mean(volumes) == pytest.approx((size + 1) * scale, rel=0.02)
    assert np.var(volumes) == pytest.approx((size + 1) * scale**2, rel=0.25)


def test_a_crystal_under_pressure_has_the_volume_that_ase_finds(crystals, pair_committee):
    frames, temperature, pressure, count = crystals(6), 300.0, 2.0, 6
    walkers = Walkers.at_rest(frames)
    walkers.velocities += walkers.thermal_noise(np.full(count, temperature), _generators(count))
    integrator = Integrator(walkers, pair_committee().drive, _generators(count))
    ours = []
    for step in range(900):
        integrator.step([Condition(temperature, 4.0, 0.02, float("inf"), pressure, 200.0, 0.02)] * count)
        if step >= 300:
            ours.append(walkers.volume().mean())
    atoms = frames.atoms(0)
    atoms.calc = LennardJones(sigma=2.0, epsilon=0.2, rc=4.0)
    settings = {
        "externalstress": -pressure * GPa,
        "hydrostatic": True,
        "T_tau": 50 * fs,
        "P_tau": 200 * fs,
        "P_mass": 2880.0,
    }
    dynamics = LangevinBAOAB(atoms, 4 * fs, temperature_K=temperature, rng=np.random.default_rng(2), **settings)
    theirs = []
    for step in range(2500):
        dynamics.run(1)
        if step >= 500:
            theirs.append(atoms.get_volume())
    relaxed = frames.atoms(0).get_volume()
    assert abs(np.mean(theirs) / relaxed - 1) > 0.02
    assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.005)


def test_a_potential_without_stress_cannot_move_the_cell(crystals):
    integrator = Integrator(Walkers.at_rest(crystals()), lambda s: replace(_free(s), stress=None), _generators(1))
    with pytest.raises(InputError, match="no stress"):
        integrator.step([Condition(300.0, 1.0, pressure_gpa=0.0)])


@pytest.mark.parametrize("others", [{}, {"rescaling_fs": 50.0}, {"pressure_gpa": 1.0, "compressibility_per_gpa": 0.02}])
def test_a_cell_moves_the_same_alone_and_in_company(crystals, pair_committee, others):
    frames, committee = crystals(3), pair_committee()
    condition = Condition(500.0, 2.0, 0.02, **{"barostat_fs": 1000.0, **others})
    company = Condition(900.0, 1.0)
    together = Integrator(Walkers.at_rest(frames.subset([0, 1])), committee.drive, _generators(3)[:2])
    together.join(Integrator(Walkers.at_rest(frames.subset([2])), committee.drive, _generators(3)[2:]))
    alone = Integrator(Walkers.at_rest(frames.subset([2])), committee.drive, _generators(3)[2:])
    for step in range(30):
        if step == 10:
            together.keep(np.array([0, 2]))
        together.step([company] * (len(together.walkers) - 1) + [condition])
        alone.step([condition])
    assert together.walkers.positions[32:] == pytest.approx(alone.walkers.positions, abs=1e-9)
    assert together.walkers.cells[1] == pytest.approx(alone.walkers.cells[0], abs=1e-9)
    assert together.energy[1] == pytest.approx(alone.energy[0], abs=1e-9)
    assert together.conserved_energy()[1] == pytest.approx(alone.conserved_energy()[0], abs=1e-9)
