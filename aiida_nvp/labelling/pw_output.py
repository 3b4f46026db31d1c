"""From what a labelling calculation wrote to labels in our units and signs.

pw.x (through aiida-quantumespresso) and the rehearsal job write the same arrays: energies in eV, forces in eV/angstrom,
stress in GPa with Quantum ESPRESSO's sign, which is opposite to ASE's: positive where the cell is squeezed and pushes
outwards. The energy is pw.x's "total energy": with smearing it contains -TS, and the forces are its derivative.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import GPA_EV_ANGSTROM3

ENERGY_UNIT, FORCES_UNIT, STRESS_UNIT = "eV", "ev / angstrom", "GPascal"
"""Names of the units as the calculations state them in their output parameters."""
_STATED = {"energy_units": ENERGY_UNIT, "forces_units": FORCES_UNIT, "stress_units": STRESS_UNIT}
_SCALARS = ("total_magnetization", "absolute_magnetization", "scf_iterations")

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class IonicStep:
    """One geometry with its labels.

    :param index: number of the ionic step, from 0.
    :param atoms: the configuration; labels sit in a SinglePointCalculator, stress only where it was kept.
    :param info: what else is known of the label: step, magnetisation, iterations.
    """

    index: int
    atoms: Atoms
    info: Mapping[str, Any]


@dataclass(frozen=True)
class LeftOut:
    """An ionic step that gives no label, and why."""

    index: int
    reason: str


def stress_from_pw(stress_gpa: FloatArray) -> FloatArray:
    """Return a stress in eV/angstrom^3 with ASE's sign from one in GPa with Quantum ESPRESSO's."""
    return -GPA_EV_ANGSTROM3 * np.asarray(stress_gpa, dtype=float)


def stress_to_pw(stress: FloatArray) -> FloatArray:
    """Return a stress in GPa with Quantum ESPRESSO's sign; the inverse of :func:`stress_from_pw`."""
    return -np.asarray(stress, dtype=float) / GPA_EV_ANGSTROM3


def check_units(parameters: Mapping[str, Any]) -> None:
    """Refuse output that states other units than those converted here.

    :raises InputError: naming the quantity.
    """
    for key, expected in _STATED.items():
        if parameters.get(key, expected) != expected:
            raise InputError(f"label: `{key}` is {parameters[key]!r}, only {expected!r} can be converted.")


def ionic_steps(
    arrays: Mapping[str, NDArray[Any]], start: Atoms, *, max_iterations: int, keep_stress: bool
) -> tuple[list[IonicStep], list[LeftOut]]:
    """Return the labelled steps of one calculation and those that give no label.

    :param arrays: ``positions`` (T, N, 3), ``cells`` (T, 3, 3), ``energy`` (T,), ``forces`` (T, N, 3), optionally
        ``stress`` (T, 3, 3) and one value a step of magnetisation and number of SCF iterations; units as above.
    :param start: what was labelled; gives species and periodicity.
    :param max_iterations: number of SCF iterations at which a cycle was cut off unconverged.
    :param keep_stress: whether the stress is trusted.
    :raises InputError: if an array is missing or numbers of steps or atoms disagree, so that geometries and labels
        cannot be paired.
    """
    missing = [name for name in ("positions", "cells", "energy", "forces") if name not in arrays]
    if missing:
        raise InputError(f"label: the calculation gave no {', '.join(missing)}.")
    energy, forces = np.asarray(arrays["energy"], dtype=float), np.asarray(arrays["forces"], dtype=float)
    n_steps = min(len(arrays["positions"]), len(arrays["cells"]), len(energy), len(forces))
    if len(arrays["positions"]) - n_steps > 1 or len({len(energy), len(forces), n_steps}) > 1:
        raise InputError("label: geometries, energies and forces of the calculation differ in number.")
    if n_steps and {np.shape(arrays["positions"])[1:], forces.shape[1:]} != {(len(start), 3)}:
        raise InputError(f"label: geometries or forces of the calculation are not those of {len(start)} atoms.")
    iterations = arrays.get("scf_iterations", np.zeros(n_steps))
    steps, left_out = [], []
    for index in range(n_steps):
        if index < len(iterations) and iterations[index] >= max_iterations:
            left_out.append(LeftOut(index, f"not self-consistent after {int(iterations[index])} iterations"))
        elif not (np.isfinite(energy[index]) and np.isfinite(forces[index]).all()):
            left_out.append(LeftOut(index, "energy or forces are not finite"))
        else:
            steps.append(_step(arrays, start, index, keep_stress=keep_stress))
    return steps, left_out


def _step(arrays: Mapping[str, NDArray[Any]], start: Atoms, index: int, *, keep_stress: bool) -> IonicStep:
    atoms = Atoms(start.numbers, arrays["positions"][index], cell=arrays["cells"][index], pbc=start.pbc)
    results = {"energy": float(arrays["energy"][index]), "forces": np.array(arrays["forces"][index], dtype=float)}
    if keep_stress and index < len(arrays.get("stress", ())):
        results["stress"] = stress_from_pw(arrays["stress"][index])[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    atoms.calc = SinglePointCalculator(atoms, **results)
    info: dict[str, Any] = {"step": index}
    for name in _SCALARS:
        if index < len(arrays.get(name, ())):
            value = arrays[name][index]
            info[name] = int(value) if name == "scf_iterations" else float(value)
    return IonicStep(index, atoms, info)
