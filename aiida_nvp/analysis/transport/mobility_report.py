"""The standard account of the motion in one stage: numbers and curves, ready to be stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.transport.arrhenius import ROOM_TEMPERATURE, Point, arrhenius
from aiida_nvp.analysis.transport.conductivity import conductivity
from aiida_nvp.analysis.transport.diffusion import Diffusion, diffusion
from aiida_nvp.analysis.transport.displacements import DisplacementSettings, displacements
from aiida_nvp.analysis.transport.jumps import SiteSettings, jumps
from aiida_nvp.analysis.transport.msd import mean_square_displacement_of
from aiida_nvp.analysis.transport.paths import Paths
from aiida_nvp.analysis.transport.vibrations import vibrations
from aiida_nvp.common.errors import InputError

Arrays = dict[str, NDArray[np.float64]]

UNITS = {
    "lag": "ps",
    "msd": "angstrom^2",
    "diffusivity": "m^2/s",
    "alpha2": "1",
    "fs": "1",
    "vanhove": "1/angstrom",
    "dos": "1/THz",
    "frequency": "THz",
    "conductivity": "S/m",
    "activation": "eV",
    "rate": "1/ps",
}


@dataclass(frozen=True)
class MobilitySettings:
    """What to tell of the motion.

    :param mobile: species whose displacements and jumps are looked at one by one; none without it.
    :param charges: elementary charges of an ion by species, for the conductivity; none without them.
    :param displacements: lags, wave numbers and bins; ``sites``: how sites are found.
    """

    mobile: str | None = None
    charges: Mapping[str, float] = field(default_factory=dict)
    displacements: DisplacementSettings = field(default_factory=DisplacementSettings)
    sites: SiteSettings = field(default_factory=SiteSettings)


def mobility_of(
    paths: Paths, species: Sequence[str], temperature: float | None, settings: MobilitySettings
) -> tuple[dict[str, Any], Arrays]:
    """Return numbers and curves of one stage.

    What a run cannot give is told in a sentence under the same key.

    :param species: all of the run; ``temperature``: K, None if it is not known.
    :raises InputError: on a species that is not there.
    """
    arrays: Arrays = {}
    motions: dict[str, Diffusion] = {}
    for name in species:
        msd = mean_square_displacement_of(paths, name)
        arrays["lag_ps"] = msd.lag_ps
        arrays[f"msd_{name}"], arrays[f"msd_error_{name}"] = msd.total, msd.error
        arrays[f"msd_axes_{name}"] = msd.axes
        motions[name] = diffusion(paths, name, msd)
    numbers: dict[str, Any] = {"msd": {name: asdict(motion) for name, motion in motions.items()}}
    if settings.mobile is not None:
        numbers["displacements"] = _displacements(paths, settings, arrays)
        numbers["jumps"] = _jumps(paths, settings)
    if settings.charges:
        numbers["conductivity"] = _conductivity(paths, settings.charges, temperature, motions)
    numbers["vibrations"] = _vibrations(paths, arrays)
    return numbers, arrays


def activation(
    stages: Sequence[Mapping[str, Any]], species: str, glass_transition: float | None = None
) -> dict[str, Any]:
    """Return activation energy and what it promises at room temperature, from the stages where a species diffuses.

    :param stages: each with ``temperature`` and ``msd`` as :func:`mobility_of` gives them.
    :param glass_transition: K.
    :return: ``sentence`` alone where there are less than two temperatures.
    """
    points = [
        Point(float(stage["temperature"]), motion["diffusivity_m2_s"], motion["error_m2_s"])
        for stage in stages
        if stage.get("temperature") and (motion := stage["msd"].get(species, {})).get("diffusivity_m2_s")
    ]
    try:
        line = arrhenius(points, glass_transition)
    except InputError as error:
        return {"species": species, "sentence": _clause(error)}
    room = line.at(ROOM_TEMPERATURE)
    return {
        "species": species,
        "activation_ev": line.activation_ev,
        "activation_error_ev": line.activation_error_ev,
        "prefactor_m2_s": line.prefactor,
        "chi2_reduced": line.chi2_reduced,
        "temperatures": list(line.used),
        "above_tg": list(line.above_tg),
        "room": {**asdict(room), "unit": "m^2/s"},
        "sentence": line.sentence,
    }


def _displacements(paths: Paths, settings: MobilitySettings, arrays: Arrays) -> dict[str, Any]:
    name = str(settings.mobile)
    found = displacements(paths, name, settings.displacements)
    arrays["lag_displacement_ps"], arrays["r_vanhove"] = found.lag_ps, found.r
    arrays[f"alpha2_{name}"], arrays[f"alpha2_error_{name}"] = found.alpha2, found.alpha2_error
    arrays[f"fs_{name}"], arrays[f"fs_error_{name}"] = found.scattering, found.scattering_error
    arrays[f"vanhove_{name}"] = found.density
    largest = int(np.argmax(np.nan_to_num(np.abs(found.alpha2), nan=-1.0)))
    return {
        "species": name,
        "wave_numbers": list(found.wave_numbers),
        "largest_alpha2": {
            "value": found.alpha2[largest],
            "error": found.alpha2_error[largest],
            "lag_ps": found.lag_ps[largest],
        },
    }


def _jumps(paths: Paths, settings: MobilitySettings) -> dict[str, Any]:
    try:
        found = jumps(paths, str(settings.mobile), settings.sites)
    except InputError as error:
        return {"sentence": _clause(error)}
    count = len(found.jumps)
    return {
        "species": settings.mobile,
        "sites": len(found.sites),
        "jumps": count,
        "back_share": float(found.back.mean()) if count else None,
        "mean_length": float(found.lengths.mean()) if count else None,
        "rate_per_ps": found.rate_per_ps,
        "rate_error_per_ps": found.rate_error_per_ps,
        "residence_ps": found.residence_ps,
        "in_core_share": found.in_core_share,
        "sentence": f"{count} jumps between {len(found.sites)} sites; ions were in a core {found.in_core_share:.0%} of "
        "the time",
    }


def _conductivity(
    paths: Paths, charges: Mapping[str, float], temperature: float | None, motions: Mapping[str, Diffusion]
) -> dict[str, Any]:
    if temperature is None:
        return {"sentence": "a conductivity needs the one temperature of a stage, which is not stated or changes"}
    if missing := sorted(set(charges) - set(motions)):
        raise InputError(f"`charges` names {missing[0]!r}, which is not in the trajectory: {', '.join(motions)} are.")
    try:
        return asdict(conductivity(paths, charges, temperature, motions))
    except InputError as error:
        return {"sentence": _clause(error)}


def _clause(error: InputError) -> str:
    """Return the sentence of an error without its full stop, to stand within another."""
    return str(error).rstrip(".")


def _vibrations(paths: Paths, arrays: Arrays) -> dict[str, Any]:
    try:
        found = vibrations(paths)
    except InputError as error:
        return {"sentence": _clause(error)}
    arrays["frequency_thz"] = found.frequency_thz
    arrays.update({f"dos_{name}": values for name, values in found.partial.items()})
    return {"highest_thz": float(found.frequency_thz[-1]), "sentence": "from the steps between frames"}
