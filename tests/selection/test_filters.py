import numpy as np
import pytest
from ase import Atoms
from ase.data import covalent_radii

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import SelectionReason
from aiida_nvp.selection.filters import PhysicalLimits, density_g_cm3, faults, shortest_distances


def dimer(distance, edge=10.0):
    return Atoms("PO", positions=[[0.1, 0, 0], [0.1 + distance, 0, 0]], cell=[edge] * 3, pbc=True)


def found(frames, origins=None, **limits):
    frames = FrameSet.from_atoms(frames)
    return faults(frames, origins or [{}] * len(frames), PhysicalLimits(**{"scale": 0.6, **limits}))


def test_threshold_lies_at_the_scaled_radii():
    limit = 0.6 * (covalent_radii[15] + covalent_radii[8])
    near, far = found([dimer(limit - 1e-3), dimer(limit + 1e-3)])
    assert near.reason is SelectionReason.TOO_CLOSE
    assert near.detail == f"O-P {limit - 1e-3:.2f} Å apart, at least {limit:.2f}"
    assert far is None


def test_a_pair_has_a_bound_of_its_own_where_it_is_the_stricter_one():
    assert found([dimer(1.3)], shortest={"O-P": 1.4})[0].detail == "O-P 1.30 Å apart, at least 1.40"
    assert found([dimer(1.3)], shortest={"P-O": 1.4})[0] is not None
    assert found([dimer(1.3)], shortest={"O-O": 1.4, "P-O": 1.2}) == [None]
    assert found([dimer(0.9)], shortest={"P-O": 0.5})[0].reason is SelectionReason.TOO_CLOSE
    assert found([dimer(4.4)], shortest={"P-O": 4.5})[0] is not None


def test_images_count():
    frames = [dimer(5.0, edge=6.0)]
    assert shortest_distances(FrameSet.from_atoms(frames), 0) == pytest.approx({"O-P": 1.0})
    assert found(frames)[0].reason is SelectionReason.TOO_CLOSE


def test_shortest_of_each_pair():
    atoms = Atoms("OPO", positions=[[0, 0, 0], [1.5, 0, 0], [1.5, 1.6, 0]], cell=[12] * 3, pbc=True)
    assert shortest_distances(FrameSet.from_atoms([atoms]), 0) == pytest.approx({"O-O": np.hypot(1.5, 1.6), "O-P": 1.5})


def test_density():
    # (30.974 + 15.999) g/mol in 1000 cubic angstrom
    density = 46.973 / 6.02214076e23 / 1e-21
    assert density_g_cm3(FrameSet.from_atoms([dimer(1.5)]), 0) == pytest.approx(density, rel=1e-4)
    assert found([dimer(1.5)], density_g_cm3=(0.9 * density, 1.1 * density)) == [None]
    assert found([dimer(1.5)], density_g_cm3=(1.1 * density, 2.0))[0].reason is SelectionReason.DENSITY


def test_temperature_spike_and_the_scatter_of_small_cells():
    big = Atoms("O64", positions=[[3 * x, 3 * y, 3 * z] for x in range(4) for y in range(4) for z in range(4)])
    big.set_cell([12] * 3)
    big.pbc = True
    origin = {"temperature": 1000.0, "temperature_now": 2100.0}
    assert found([big], [origin], temperature_spike=2.0)[0].detail == "2100 K at a thermostat of 1000 K"
    assert found([big], [origin], temperature_spike=2.2) == [None]
    # two atoms have three degrees of freedom: five standard deviations are four times the mean
    assert found([dimer(1.5)], [origin], temperature_spike=2.0) == [None]
    assert found([dimer(1.5)], [{**origin, "temperature_now": 5080.0}], temperature_spike=2.0) == [None]
    hot = {**origin, "temperature_now": 1000.0 * (1 + 5 * np.sqrt(2 / 3)) + 1}
    assert found([dimer(1.5)], [hot], temperature_spike=2.0)[0].reason is SelectionReason.SPIKE
    assert found([big], [{"temperature": 1000.0}], temperature_spike=2.0) == [None]


def test_no_frame():
    assert found([]) == []
