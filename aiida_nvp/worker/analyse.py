"""Stage ``analyse``: structure and transport of the stages of a trajectory.

Reads ``trajectory.h5``. ``input.json``: ``stages`` [{index, name, temperature}], ``pairs`` {"P-O": longest bond}, and
optionally ``mobile`` species, ``charges``, ``glass_transition``, ``bin_width``, ``forbidden_distance``,
``structure`` and ``structure_frames``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp import __version__
from aiida_nvp.analysis.channels.percolation import percolation
from aiida_nvp.analysis.frame import frames_of
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.coordination import Coordination
from aiida_nvp.analysis.structure.distances import ShortestDistances, ShortPairs
from aiida_nvp.analysis.structure.environment import BondObservable, Environment
from aiida_nvp.analysis.structure.network import Speciation
from aiida_nvp.analysis.structure.rdf import RadialDistribution, Rdf
from aiida_nvp.analysis.structure.report import UNITS as STRUCTURE_UNITS
from aiida_nvp.analysis.structure.report import StructureReport
from aiida_nvp.analysis.structure.species import pair_names
from aiida_nvp.analysis.structure.tally import Distribution
from aiida_nvp.analysis.transport.arrhenius import FEWEST_TEMPERATURES
from aiida_nvp.analysis.transport.mobility_report import UNITS as MOBILITY_UNITS
from aiida_nvp.analysis.transport.mobility_report import MobilitySettings, activation, mobility_of
from aiida_nvp.analysis.transport.paths import MemoryPaths, frame_interval
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory, read_trajectory
from aiida_nvp.worker.job import Job
from aiida_nvp.worker.settings import TRAJECTORY_FILE, AnalyseSettings

UNITS = STRUCTURE_UNITS | {
    "r": "angstrom",
    "g": "1",
    "distance": "angstrom",
    "cutoff": "angstrom",
    "time": "ps",
    "temperature": "K",
    "density_ratio": "1 (local density over mean density)",
    "barrier": "eV",
    "barrier_kt": "kT",
    **MOBILITY_UNITS,
}

SEARCH_RADIUS = 3.5
"""Shortest distances are looked for up to here, or up to the longest bond if that is longer (angstrom)."""

Arrays = dict[str, NDArray[np.float64]]


def run(job: Job) -> dict[str, Any]:
    """Analyse each stage, write the curves to ``arrays.npz`` and return the numbers.

    :raises InputError: on a damaged trajectory, an unknown species, a stage that is not there or is too short.
    """
    settings = AnalyseSettings.read(job.inputs)
    results, arrays = analyse(
        read_trajectory(job.path(TRAJECTORY_FILE)), settings, lambda index: job.progress(stage=index)
    )
    job.write_arrays(arrays)
    return results


def analyse(
    trajectory: Trajectory, settings: AnalyseSettings, tell: Callable[[int], None]
) -> tuple[dict[str, Any], Arrays]:
    """Return numbers as JSON values, and curves, of each stage.

    :param tell: is given the index of each stage that is done.
    :raises InputError: on an unknown species, a stage that is not there or is too short.
    """
    rules = BondRules(trajectory.numbers, settings.pairs, settings.structure.formers, settings.structure.ligand)
    arrays: Arrays = {}
    stages = []
    for stage in settings.stages:
        stages.append(_stage(trajectory, stage, settings, rules, arrays))
        tell(int(stage["index"]))
    results = _object(
        {
            "stages": stages,
            **_activation(stages, settings),
            "units": UNITS,
            "conventions": {
                "errors": "standard errors: blocks of frames for structure, groups of ions for displacements; "
                "diffusivities by generalised least squares",
                "pairs": "centre-ligand; g(r) names the heavier species first",
                "msd": "all time origins, motion of the centre of mass removed",
            },
            "version": __version__,
        }
    )
    return results, arrays


def _stage(
    trajectory: Trajectory, stage: Mapping[str, Any], settings: AnalyseSettings, rules: BondRules, arrays: Arrays
) -> dict[str, Any]:
    index = int(stage["index"])
    frames = trajectory.at_stage(index)
    try:
        interval = frame_interval(frames.time_ps)
    except InputError as error:
        raise InputError(f"stage {index}: {error}") from error
    sample = frames.select(np.unique(np.linspace(0, len(frames) - 1, settings.structure_frames).astype(np.int64)))
    prefix = f"stage_{index}_"
    return {
        **stage,
        "n_frames": len(frames),
        "interval_ps": interval,
        **_structure(sample, settings, rules, arrays, prefix),
        **_percolation(frames, settings.mobile, stage.get("temperature")),
        **_mobility(frames, stage.get("temperature"), settings, arrays, prefix),
    }


def _structure(
    frames: Trajectory, settings: AnalyseSettings, rules: BondRules, arrays: Arrays, prefix: str
) -> dict[str, Any]:
    rdf = RadialDistribution(frames.numbers, settings.bin_width)
    coordination = {pair: Coordination(rules, pair) for pair in settings.pairs}
    bridging = {pair: Speciation(rules, pair) for pair in settings.pairs}
    shortest = ShortestDistances(frames.numbers)
    close = ShortPairs(frames.numbers, dict.fromkeys(pair_names(frames.numbers).values(), settings.forbidden_distance))
    more = StructureReport(rules, list(settings.pairs), settings.structure, len(frames))
    by_bonds: list[BondObservable] = [*coordination.values(), *bridging.values(), shortest, close, more]
    for frame in frames_of(frames):
        rdf.add(frame)
        environment = Environment.of(frame, rules, max(SEARCH_RADIUS, settings.forbidden_distance, more.reach))
        for observable in by_bonds:
            observable.add(environment)
    found = rdf.result()
    numbers, curves = more.result(found)
    arrays.update({f"{prefix}{name}": curve for name, curve in curves.items()})
    return {
        "rdf": _rdf(found, arrays, prefix),
        "coordination": {
            pair: {"cutoff": settings.pairs[pair], **_counts(counts.result())} for pair, counts in coordination.items()
        },
        "bridging": {pair: _counts(species.result().same) for pair, species in bridging.items()},
        "shortest_distance": shortest.result(),
        "short_pairs": {"limit": settings.forbidden_distance, **asdict(close.result().total)},
        "structure": numbers,
    }


def _percolation(frames: Trajectory, mobile: str | None, temperature: float | None) -> dict[str, Any]:
    """Return the entry ``percolation``, or none where no species was asked for; barriers in eV need a temperature."""
    if mobile is None:
        return {}
    return {"percolation": {"species": mobile, **asdict(percolation(frames, mobile, temperature=temperature or None))}}


def _rdf(rdf: Rdf, arrays: Arrays, prefix: str) -> dict[str, Any]:
    arrays[f"{prefix}r"] = rdf.r
    summary: dict[str, Any] = {"r_max": rdf.r_max, "highest_peak": {}}
    for name, partial in rdf.partials.items():
        # AiiDA accepts letters, digits and underscores in the name of an array.
        key = name.replace("-", "_")
        arrays[f"{prefix}g_{key}"] = partial.g
        arrays[f"{prefix}g_error_{key}"] = partial.error
        peak = int(np.argmax(partial.g))
        summary["highest_peak"][name] = {"r": rdf.r[peak], "g": partial.g[peak], "error": partial.error[peak]}
    return summary


def _counts(counts: Distribution) -> dict[str, Any]:
    shares = {str(n): {"share": share.mean, "error": share.error} for n, share in counts.shares.items()}
    return {"mean": counts.mean, "error": counts.error, "shares": shares}


def _mobility(
    frames: Trajectory, temperature: float | None, settings: AnalyseSettings, arrays: Arrays, prefix: str
) -> dict[str, Any]:
    wanted = MobilitySettings(settings.mobile, settings.charges)
    numbers, curves = mobility_of(MemoryPaths(frames), sorted(set(frames.symbols)), temperature, wanted)
    arrays.update({f"{prefix}{name}": values for name, values in curves.items()})
    return numbers


def _activation(stages: list[dict[str, Any]], settings: AnalyseSettings) -> dict[str, Any]:
    """Return the entry ``activation`` where a mobile species was seen at two temperatures at least."""
    temperatures = {stage["temperature"] for stage in stages if stage.get("temperature")}
    if settings.mobile is None or len(temperatures) < FEWEST_TEMPERATURES:
        return {}
    return {"activation": activation(stages, settings.mobile, settings.glass_transition)}


def _object(values: Mapping[str, object]) -> dict[str, Any]:
    return {key: _plain(item) for key, item in values.items()}


def _plain(value: object) -> object:
    """Return JSON values: numpy scalars become numbers, what is not finite becomes null."""
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
