"""Ionic conductivity from the motion of charges: of single ions, of all of them together, and the ratio of the two.

    Nernst-Einstein    sigma_NE = 1 / (V k T) sum over species of N_s q_s^2 D_s
    Einstein-Helfand   sigma = lim <(M(t) - M(0))^2> / (6 t V k T),  M = sum of q_i r_i
    Haven ratio        H = sigma_NE / sigma

(DOI 10.1016/0022-3093(91)90308-P; 10.1063/1.4890741). M is one path however many ions there are, so its diffusivity has
the error of a single walker: a collective conductivity needs runs about as many times longer as there are ions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from aiida_nvp.analysis.transport.diffusion import Diffusion, Scatter, judge_motion
from aiida_nvp.analysis.transport.msd import msd_by_axis
from aiida_nvp.analysis.transport.paths import Paths
from aiida_nvp.common.errors import InputError

_ELEMENTARY_CHARGE_C = float(units._e)
_BOLTZMANN_J_K = float(units._k)
_ANGSTROM3_IN_M3 = 1e-30

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Conductivity:
    """Conductivity in S/m; None where the motion does not give it.

    :param nernst_einstein_s_m: of ions that do not know of each other.
    :param collective_s_m: with all correlations.
    :param haven: their ratio; below 1 where ions follow each other.
    :param left_out: charged species that do not diffuse, counted as at rest in the first.
    :param sentence: what to tell the user.
    """

    nernst_einstein_s_m: float | None
    nernst_einstein_error_s_m: float | None
    collective_s_m: float | None
    collective_error_s_m: float | None
    haven: float | None
    haven_error: float | None
    left_out: tuple[str, ...]
    sentence: str


def conductivity(
    paths: Paths, charges: Mapping[str, float], temperature: float, motions: Mapping[str, Diffusion]
) -> Conductivity:
    """Return the conductivity of the species that carry ``charges``.

    :param paths: of all ions; the frame of reference is theirs.
    :param charges: of an ion of each species, in elementary charges; species that are absent carry none.
    :param temperature: K.
    :param motions: the diffusion of each of these species.
    :raises InputError: on a temperature that is not positive, no charge, or a species that is not there.
    """
    if not temperature > 0:
        raise InputError(f"a conductivity needs a temperature above 0 K; it is {temperature} K.")
    if not any(charges.values()):
        raise InputError("a conductivity needs a charge of at least one species, such as `charges: {Na: 1}`.")
    single, left_out = _nernst_einstein(paths, charges, temperature, motions)
    total = msd_by_axis(charge_path(paths, charges)[:, None, :]).sum(axis=1)
    motion = judge_motion(total, Scatter(paths.n_frames, paths.interval_ps, ions=1, cage=0.0))
    scale = si_per_diffusivity(paths.volume, temperature)
    collective = _scaled(motion, scale)
    ratio = _ratio(single, collective)
    return Conductivity(*single, *collective, *ratio, left_out, _sentence(single, motion, left_out))


def charge_path(paths: Paths, charges: Mapping[str, float]) -> FloatArray:
    """Return (T, 3) sum of charge times position, in elementary charges times angstrom.

    Where the charges do not add up to nothing, their counter-charge rests in the host: the way of the centre of mass of
    all species without a charge is taken off.
    """
    path: FloatArray = np.zeros((paths.n_frames, 3))
    total = 0.0
    for species, charge in charges.items():
        ions = paths.ions(species)
        total += charge * len(ions)
        for block in paths.blocks(ions):
            path += charge * block.sum(axis=1)
    host = np.setdiff1d(np.unique(paths.numbers), [atomic_numbers[species] for species in charges])
    if not total or not len(host):
        return path
    middle, mass = np.zeros((paths.n_frames, 3)), 0.0
    for number in host:
        ions = np.flatnonzero(paths.numbers == number)
        mass += atomic_masses[number] * len(ions)
        for block in paths.blocks(ions):
            middle += atomic_masses[number] * block.sum(axis=1)
    return path - total * middle / mass


def si_per_diffusivity(volume: float, temperature: float) -> float:
    """Return S/m for a diffusivity of the charge displacement of 1 m^2/s in units of squared elementary charges.

    :param volume: angstrom^3; ``temperature``: K.
    """
    return _ELEMENTARY_CHARGE_C**2 / (volume * _ANGSTROM3_IN_M3 * _BOLTZMANN_J_K * temperature)


def _nernst_einstein(
    paths: Paths, charges: Mapping[str, float], temperature: float, motions: Mapping[str, Diffusion]
) -> tuple[tuple[float | None, float | None], tuple[str, ...]]:
    value, variance = 0.0, 0.0
    left_out = []
    for species, charge in charges.items():
        motion = motions[species]
        if not charge:
            continue
        if motion.diffusivity_m2_s is None or motion.error_m2_s is None:
            left_out.append(species)
            continue
        each = len(paths.ions(species)) * charge**2 * si_per_diffusivity(paths.volume, temperature)
        value += each * motion.diffusivity_m2_s
        variance += (each * motion.error_m2_s) ** 2
    return ((value, variance**0.5) if value > 0 else (None, None)), tuple(left_out)


def _scaled(motion: Diffusion, scale: float) -> tuple[float | None, float | None]:
    if motion.diffusivity_m2_s is None or motion.error_m2_s is None:
        return None, None
    return motion.diffusivity_m2_s * scale, motion.error_m2_s * scale


def _ratio(
    single: tuple[float | None, float | None], collective: tuple[float | None, float | None]
) -> tuple[float | None, float | None]:
    top, top_error, bottom, bottom_error = *single, *collective
    if top is None or top_error is None or bottom is None or bottom_error is None:
        return None, None
    ratio = top / bottom
    return ratio, ratio * float(np.hypot(top_error / top, bottom_error / bottom))


def _sentence(single: tuple[float | None, float | None], motion: Diffusion, left_out: tuple[str, ...]) -> str:
    rest = f"; {', '.join(left_out)} counted as at rest" if left_out else ""
    if motion.diffusivity_m2_s is None:
        if single[0] is None:
            return "no charged species diffuses in this run, so it gives no conductivity"
        return f"from single ions only{rest}: the common displacement of the charges is {motion.sentence}"
    if single[0] is None:
        return "from all charges together only: no species diffuses by itself"
    return f"from single ions and from all of them together{rest}"
