from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.pw_output import check_units, ionic_steps, stress_from_pw, stress_to_pw

START = Atoms("NaO", positions=[[0, 0, 0], [2, 2, 2]], cell=[4] * 3, pbc=True)


def arrays(steps=3, **changes):
    rng = np.random.default_rng(0)
    stress = rng.normal(size=(steps, 3, 3))
    values = {
        "positions": np.repeat(START.positions[None], steps, axis=0) + rng.normal(size=(steps, 2, 3)),
        "cells": np.repeat(START.cell.array[None], steps, axis=0),
        "energy": rng.normal(size=steps),
        "forces": rng.normal(size=(steps, 2, 3)),
        "stress": stress + stress.transpose(0, 2, 1),
        "scf_iterations": np.array([9, 12, 10][:steps]),
        "total_magnetization": np.linspace(0, 1, steps),
    }
    return {name: value for name, value in (values | changes).items() if value is not None}


def read(values, max_iterations=100, keep_stress=True):
    return ionic_steps(values, START, max_iterations=max_iterations, keep_stress=keep_stress)


def test_every_step_keeps_its_own_labels():
    values = arrays()
    steps, left_out = read(values)
    assert left_out == []
    for index, step in enumerate(steps):
        assert step.atoms.get_potential_energy() == values["energy"][index]
        np.testing.assert_array_equal(step.atoms.get_forces(), values["forces"][index])
        np.testing.assert_allclose(step.atoms.get_stress(voigt=False), stress_from_pw(values["stress"][index]))
        assert step.info["step"] == index
        assert step.info["scf_iterations"] == [9, 12, 10][index]
        assert step.info["total_magnetization"] == pytest.approx(index / 2)


def test_ten_kilobar_of_pressure_is_a_negative_stress_in_ase():
    """1 GPa = 0.00624150907 eV/angstrom^3 (CODATA 2018)."""
    np.testing.assert_allclose(stress_from_pw(np.eye(3)), -0.00624150907 * np.eye(3), rtol=1e-8)
    values = np.random.default_rng(1).normal(size=(3, 3))
    np.testing.assert_allclose(stress_to_pw(stress_from_pw(values)), values, rtol=1e-12)


def test_steps_without_self_consistency_are_left_out_and_named():
    steps, left_out = read(arrays(), max_iterations=12)
    assert [step.index for step in steps] == [0, 2]
    assert [(entry.index, entry.reason) for entry in left_out] == [(1, "not self-consistent after 12 iterations")]


def test_a_value_that_is_not_finite_is_no_label():
    energy = np.array([-1.0, np.nan, -2.0])
    steps, left_out = read(arrays(energy=energy))
    assert [step.index for step in steps] == [0, 2]
    assert left_out[0].reason == "energy or forces are not finite"


def test_a_stress_that_is_not_trusted_is_not_kept():
    steps, _ = read(arrays(), keep_stress=False)
    assert all("stress" not in step.atoms.calc.results for step in steps)
    without, _ = read(arrays(stress=None))
    assert all("stress" not in step.atoms.calc.results for step in without)


def test_geometries_and_labels_must_pair():
    with pytest.raises(InputError, match="gave no forces"):
        read(arrays(forces=None))
    with pytest.raises(InputError, match="differ in number"):
        read(arrays(energy=np.zeros(2)))
    longer = arrays(4)
    shorter = {name: longer[name][:3] for name in ("energy", "forces")}
    steps, _ = read(longer | shorter | {"scf_iterations": np.array([9, 9, 9])})
    assert len(steps) == 3


def test_other_units_are_refused():
    check_units({"energy_units": "eV", "forces_units": "ev / angstrom", "stress_units": "GPascal"})
    check_units({})
    with pytest.raises(InputError, match=r"`stress_units` is 'kbar'"):
        check_units({"stress_units": "kbar"})
