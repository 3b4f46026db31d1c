"""Label one structure with the rehearsal potential, or every step of a short relaxation or MD run.

Input: ``mode`` (single_point | relax | md), ``relax_steps``, ``md_steps``, ``md_temperature``, ``md_timestep_fs``,
``max_force``, ``numbers``, ``positions``, ``cell``, ``pbc``.
Output: ``steps``, ``wall_time_seconds``, units and version; ``arrays.npz`` with the arrays that pw.x would give, in its
units and signs (see :mod:`aiida_nvp.labelling.pw_output`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ase import Atoms
from ase.md.langevin import Langevin
from ase.optimize import BFGS

from aiida_nvp.common.errors import WorkerError
from aiida_nvp.common.frame import frame_id
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.common.units import FEMTOSECOND_ASE
from aiida_nvp.common.vocabulary import LabelMode
from aiida_nvp.labelling.pw_output import ENERGY_UNIT, FORCES_UNIT, STRESS_UNIT, stress_to_pw
from aiida_nvp.labelling.rehearsal import REHEARSAL_VERSION, RehearsalPotential
from aiida_nvp.worker.job import Job

ERROR_TOO_CLOSE = "ERROR_ATOMS_TOO_CLOSE"
LONGEST_STEP_ANGSTROM = 0.15
FORCE_CONVERGED = 0.01
THERMOSTAT_STEPS = 6
"""Time constant of the thermostat in MD steps, as in the pw.x runs that this stands in for."""


def run(job: Job) -> dict[str, Any]:
    """Run the stage.

    :raises WorkerError: with ``ERROR_ATOMS_TOO_CLOSE`` if a force is too large for the potential to mean anything.
    """
    start = time.monotonic()
    inputs = job.inputs
    atoms = Atoms(inputs["numbers"], inputs["positions"], cell=inputs["cell"], pbc=inputs["pbc"])
    atoms.calc = RehearsalPotential()
    steps = [_label(atoms, float(inputs["max_force"]))]
    for _ in _MOVES[LabelMode(inputs["mode"])](atoms, inputs):
        steps.append(_label(atoms, float(inputs["max_force"])))
        if job.stop_requested:
            break
    job.write_arrays({name: np.array([step[name] for step in steps]) for name in steps[0]})
    return {
        "steps": len(steps),
        "wall_time_seconds": round(time.monotonic() - start, 3),
        "energy_units": ENERGY_UNIT,
        "forces_units": FORCES_UNIT,
        "stress_units": STRESS_UNIT,
        "potential": f"rehearsal {REHEARSAL_VERSION}",
    }


def _stay(_atoms: Atoms, _inputs: Mapping[str, Any]) -> Iterator[None]:
    yield from ()


def _relax(atoms: Atoms, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Yield after each step towards the minimum."""
    with BFGS(atoms, logfile=None, maxstep=LONGEST_STEP_ANGSTROM) as optimiser:
        for _ in range(int(inputs["relax_steps"]) - 1):
            if np.linalg.norm(atoms.get_forces(), axis=1).max() < FORCE_CONVERGED:
                return
            optimiser.step()
            yield


def _heat(atoms: Atoms, inputs: Mapping[str, Any]) -> Iterator[None]:
    """Yield after each step of MD from rest; the noise is the same for the same structure."""
    seed = derive_seed(0, "rehearsal MD", frame_id(atoms))
    step_fs = float(inputs["md_timestep_fs"])
    dynamics = Langevin(
        atoms,
        step_fs * FEMTOSECOND_ASE,
        temperature_K=float(inputs["md_temperature"]),
        friction=1.0 / (THERMOSTAT_STEPS * step_fs * FEMTOSECOND_ASE),
        fixcm=False,
        rng=np.random.default_rng(seed),
    )
    for _ in range(int(inputs["md_steps"]) - 1):
        dynamics.run(1)
        yield


_MOVES = {LabelMode.SINGLE_POINT: _stay, LabelMode.RELAX: _relax, LabelMode.MD: _heat}


def _label(atoms: Atoms, max_force: float) -> dict[str, Any]:
    forces = atoms.get_forces()
    largest = float(np.linalg.norm(forces, axis=1).max())
    if not largest < max_force:
        message = f"a force of {largest:.0f} eV/angstrom is beyond {max_force:.0f}: atoms are too close for a label."
        raise WorkerError(ERROR_TOO_CLOSE, message)
    return {
        "positions": atoms.positions.copy(),
        "cells": atoms.cell.array.copy(),
        "energy": float(atoms.get_potential_energy()),
        "forces": forces.copy(),
        "stress": stress_to_pw(atoms.get_stress(voigt=False)),
        "scf_iterations": 1,
    }
