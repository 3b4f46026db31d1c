"""pw.x input that a set of label settings asks for, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.vocabulary import LabelMode
from aiida_nvp.labelling.settings import KPointDensity, LabelSettings

TRUST_RADIUS_MAX_BOHR = 0.3
"""Longest ionic step: short ones keep the wave functions near the last solution and the labels near the start."""

RYDBERG_TIME_FS = 0.0483777
"""Atomic unit of time in Rydberg units, in which pw.x takes its time step."""
NEVER_CONVERGED = 1e-9
THERMOSTAT_STEPS = 6
"""Relaxation time of the thermostat in MD steps: it has to heat atoms at rest within a dozen steps."""


def pw_parameters(settings: LabelSettings, start: Mapping[str, float], n_atoms: int) -> dict[str, dict[str, Any]]:
    """Return the namelists for a cell of ``n_atoms`` atoms.

    Forces are always computed, stress only where it will be trusted. Symmetry is off: a start at exact symmetry would
    otherwise differ in kind from all other labels. The threshold on the energy grows with the cell: the error per atom
    is that of the settings.

    :param start: starting magnetisation by kind; a cell without any is not spin polarised.
    """
    system: dict[str, Any] = {
        "ecutwfc": settings.cutoff_wfc_ry,
        "ecutrho": settings.cutoff_rho_ry,
        "input_dft": settings.functional,
        "occupations": "smearing",
        "smearing": settings.smearing,
        "degauss": settings.degauss_ry,
        "nosym": True,
    }
    if start:
        system |= {"nspin": 2, "starting_magnetization": dict(start)}
    if settings.dispersion is not None:
        system["vdw_corr"] = settings.dispersion
    parameters: dict[str, dict[str, Any]] = {
        "CONTROL": {
            "calculation": "scf",
            "tprnfor": True,
            "tstress": settings.stress_converged,
            "disk_io": "low",
            "verbosity": "high",
        },
        "SYSTEM": system,
        "ELECTRONS": {
            "conv_thr": settings.conv_thr_per_atom_ry * n_atoms,
            "electron_maxstep": settings.electron_maxstep,
            "mixing_beta": settings.mixing_beta,
            "mixing_ndim": settings.mixing_ndim,
        },
    }
    if settings.mode is LabelMode.RELAX:
        parameters["CONTROL"] |= {"calculation": "relax", "nstep": settings.relax_steps}
        parameters["IONS"] = {"ion_dynamics": "bfgs", "trust_radius_max": TRUST_RADIUS_MAX_BOHR}
    if settings.mode is LabelMode.MD:
        parameters["CONTROL"] |= {
            "calculation": "md",
            "nstep": settings.md_steps,
            "dt": settings.md_timestep_fs / RYDBERG_TIME_FS,
            # Otherwise a quiet step passes for a converged one and ends the run.
            "etot_conv_thr": NEVER_CONVERGED,
            "forc_conv_thr": NEVER_CONVERGED,
        }
        parameters["IONS"] = {
            "ion_temperature": "svr",
            "tempw": settings.md_temperature,
            "nraise": THERMOSTAT_STEPS,
            "pot_extrapolation": "atomic",
        }
    return parameters


def real_gamma(settings: LabelSettings) -> bool:
    """Return whether pw.x samples the Gamma point with real wave functions.

    It cannot orthogonalise Hubbard projectors there; the same point is then a mesh of one, which gives the same energy.
    """
    orthogonal = settings.hubbard is not None and settings.hubbard.projectors == "ortho-atomic"
    return settings.kpoints == "gamma" and not orthogonal


def pw_mesh(settings: LabelSettings, cell: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return the k-point mesh of a cell; (1, 1, 1) for Gamma.

    :param cell: (3, 3) angstrom, rows are vectors; it counts where the settings ask for a density.
    """
    if isinstance(settings.kpoints, str):
        return (1, 1, 1)
    if not isinstance(settings.kpoints, KPointDensity):
        return settings.kpoints
    reciprocal = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    # A length that fits to the last digit must not get one point more on another machine.
    first, second, third = np.ceil(reciprocal / settings.kpoints.distance_per_angstrom - 1e-6).astype(int).clip(1)
    return int(first), int(second), int(third)


def pw_settings(settings: LabelSettings) -> dict[str, Any]:
    """Return the plugin settings beside the namelists."""
    return {"GAMMA_ONLY": True} if real_gamma(settings) else {}
