"""The report on structure: one neighbour list a frame, and every observable that the settings ask for fed from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from math import ceil
from typing import Any, Protocol

import numpy as np
from ase.data import atomic_masses

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.statistics import FloatArray, RunningBlocks
from aiida_nvp.analysis.structure.angles import BondAngles
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.cavities import Cavities
from aiida_nvp.analysis.structure.coordination import CutoffScan, Scan, ShortAndLong, ShortBonds
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.flags import Flags
from aiida_nvp.analysis.structure.network import Ligands, Linkages, Speciation
from aiida_nvp.analysis.structure.pair_functions import as_measured
from aiida_nvp.analysis.structure.polyhedra import Polyhedra, PolyhedraResult
from aiida_nvp.analysis.structure.rdf import RadialDistribution, Rdf
from aiida_nvp.analysis.structure.rings import Rings
from aiida_nvp.analysis.structure.scattering import XRAY_SOURCE
from aiida_nvp.analysis.structure.settings import StructureSettings
from aiida_nvp.analysis.structure.species import symbol_of
from aiida_nvp.analysis.structure.structure_factor import Radiation, StructureFactor
from aiida_nvp.analysis.structure.values import named, record
from aiida_nvp.analysis.structure.voronoi import VoronoiVolumes
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.units import GRAM_PER_CM3_IN_AMU_ANGSTROM3

UNITS = {
    "q": "1/angstrom",
    "s": "1",
    "n": "1",
    "angles": "degree",
    "bad": "1/degree",
    "tau5": "1",
    "G": "1/angstrom^2",
    "T": "1/angstrom^2",
    "scan": "1",
    "density_g_cm3": "g/cm^3",
    "number_density": "1/angstrom^3",
    "length": "angstrom",
    "volume": "angstrom^3",
}
"""Units of the quantities that the names of curves begin with, and of numbers."""

DEFINITIONS = {
    "rings": "shortest-path (primitive) rings; the size is the number of formers; per former",
    "polyhedra": "nearest ideal polyhedron by sorted bond angles, irregular beyond 20 degrees; tau4 and tau5",
    "species": "Q^n_m: n ligands shared with the same species, m with another former",
    "linkages": "ligands between two formers, a tricluster counted for each pair; numbers a frame",
    "red_flags": "numbers a frame; two formers that share a ligand do not count as bonded to each other",
    "cavities": "clearance from spheres of the given radii on a grid; passing_radius crosses the cell",
    "s_of_q": "sum over reciprocal vectors of the cell; bins with many vectors are sampled anew in each frame",
    "measured": "G(r) = 4 pi r rho (g - 1) and T(r) = 4 pi r rho g from the Faber-Ziman S(Q) up to q_max",
}
"""What the numbers of each group mean, told beside them."""

_PEAK_BELOW = 6.0
_RADIATIONS: tuple[Radiation, ...] = ("neutron", "x-ray")


class _Observable(Protocol):
    def add(self, environment: Environment) -> None: ...

    def result(self) -> object: ...


class StructureReport:
    """Accumulates the report.

    :param rules: bonds, with the formers and the ligand of the settings.
    :param pairs: the bonds by name, ``centre-ligand``.
    :param settings: what is asked.
    :param frames: how many will come; those for cavities are spread over them.
    :raises InputError: if the settings do not fit the species.
    """

    def __init__(self, rules: BondRules, pairs: Sequence[str], settings: StructureSettings, frames: int) -> None:
        numbers = rules.numbers
        self._rules, self._settings = rules, settings
        self._groups = _per_pair(rules, pairs, settings)
        self._single = _of_network(rules, settings)
        self._angles = BondAngles(rules, _triplets(pairs, settings))
        self._factor = StructureFactor(
            numbers, np.random.default_rng(settings.seed), settings.q_max, settings.q_bin, max(settings.q_vectors, 1)
        )
        self._volumes = VoronoiVolumes(numbers)
        self._cavities = Cavities(numbers, settings.radii, settings.probe, settings.grid)
        self._void_every = ceil(frames / settings.void_frames) if settings.void_frames else 0
        self._density = RunningBlocks()

    @property
    def reach(self) -> float:
        """How far neighbours must be known, in angstrom."""
        settings = self._settings
        asked = [*settings.split.values(), *settings.double.values(), *(scan[1] for scan in settings.scan.values())]
        flags = self._single.get("red_flags")
        return max([self._rules.longest, flags.reach if isinstance(flags, Flags) else 0.0, *asked])

    def add(self, environment: Environment) -> None:
        """Take the next frame, with its neighbours up to ``reach``."""
        for observables in self._groups.values():
            for observable in observables.values():
                observable.add(environment)
        for observable in (*self._single.values(), self._angles):
            observable.add(environment)
        frame = environment.frame
        if self._settings.q_vectors:
            self._factor.add(frame)
        if self._void_every and self._density.samples % self._void_every == 0:
            self._volumes.add(frame)
            self._cavities.add(frame)
        self._density.add(1 / frame.volume)

    def result(self, rdf: Rdf) -> tuple[dict[str, Any], dict[str, FloatArray]]:
        """Return numbers as plain values, and curves by name, of the frames so far.

        :param rdf: g(r) of the same frames.
        :raises InputError: if there was no frame.
        """
        density = self._density.curve(lambda inverse: np.array([len(self._rules.numbers), self._mass]) * inverse)
        numbers: dict[str, Any] = {
            "number_density": record(density.number(0)),
            "density_g_cm3": record(density.number(1)),
        }
        curves: dict[str, FloatArray] = {}
        for name, coordination in rdf.coordination.items():
            curves |= named("n", name, coordination)
        for group, observables in self._groups.items():
            found = {name: observable.result() for name, observable in observables.items()}
            numbers[group] = record(found)
            curves |= _curves_of(found)
        numbers |= {name: record(observable.result()) for name, observable in self._single.items()}
        self._add_angles(numbers, curves)
        self._add_scattering(rdf, numbers, curves)
        if self._void_every:
            numbers["voronoi"] = record(self._volumes.result())
            radii = {symbol_of(number): radius for number, radius in self._cavities.radii.items()}
            numbers["cavities"] = {
                **record(self._cavities.result()), "probe": self._settings.probe, "radii": radii,
            }  # fmt: skip
        numbers["definitions"] = DEFINITIONS
        return numbers, curves

    @property
    def _mass(self) -> float:
        """Of all atoms, in g/cm^3 times cubic angstrom."""
        return float(atomic_masses[self._rules.numbers].sum()) / GRAM_PER_CM3_IN_AMU_ANGSTROM3

    def _add_angles(self, numbers: dict[str, Any], curves: dict[str, FloatArray]) -> None:
        found = self._angles.result()
        numbers["angles"] = record(found)
        for name, angles in found.items():
            curves["angles"] = angles.angle_deg
            curves |= named("bad", name, angles.density)

    def _add_scattering(self, rdf: Rdf, numbers: dict[str, Any], curves: dict[str, FloatArray]) -> None:
        settings = self._settings
        if settings.q_vectors:
            curves["q"] = self._factor.q
            for name, partial in self._factor.partials(settings.convention).items():
                curves |= named("s", name, partial)
            numbers["s_of_q"] = {"convention": settings.convention, "form_factors": XRAY_SOURCE}
            for radiation in _RADIATIONS:
                numbers["s_of_q"][radiation] = self._total(radiation, curves)
        numbers["measured"] = []
        for asked in settings.measured:
            functions = as_measured(rdf, self._rules.numbers, asked.radiation, asked.q_max, asked.window)
            key = f"{_key(asked.radiation)}_{len(numbers['measured'])}"
            curves |= {f"G_{key}": functions.big_g, f"T_{key}": functions.t}
            numbers["measured"].append({**asked.model_dump(), "curve": f"G_{key}"})

    def _total(self, radiation: Radiation, curves: dict[str, FloatArray]) -> dict[str, Any]:
        try:
            total = self._factor.total(radiation, self._settings.convention)
        except InputError as error:
            return {"missing": str(error)}
        curves |= named("s", _key(radiation), total)
        inside = np.flatnonzero((self._factor.q < _PEAK_BELOW) & np.isfinite(total.mean))
        peak = int(inside[np.argmax(total.mean[inside])])
        return {"highest_peak": {"q": float(self._factor.q[peak]), **record(total.number(peak))}}


def structure_of(
    frames: Sequence[Frame], pairs: Mapping[str, float], settings: StructureSettings | None = None
) -> tuple[dict[str, Any], dict[str, FloatArray]]:
    """Return the whole report on frames of the same atoms.

    :param pairs: longest bond in angstrom by ``centre-ligand``.
    :return: numbers as plain values, and curves by name; ``UNITS`` has their units.
    :raises InputError: on no frame, or settings that do not fit the species.
    """
    if not frames:
        raise InputError("a report on structure needs at least one frame.")
    settings = settings or StructureSettings()
    rules = BondRules(frames[0].numbers, pairs, settings.formers, settings.ligand)
    rdf = RadialDistribution(frames[0].numbers)
    report = StructureReport(rules, list(pairs), settings, len(frames))
    for frame in frames:
        rdf.add(frame)
        report.add(Environment.of(frame, rules, report.reach))
    found = rdf.result()
    numbers, curves = report.result(found)
    return numbers, {"r": found.r, **curves}


def _per_pair(rules: BondRules, pairs: Sequence[str], settings: StructureSettings) -> dict[str, dict[str, _Observable]]:
    polyhedra = pairs if settings.polyhedra is None else settings.polyhedra
    scans = {pair: np.arange(first, last + step / 2, step) for pair, (first, last, step) in settings.scan.items()}
    return {
        "polyhedra": {pair: Polyhedra(rules, pair) for pair in polyhedra},
        "split": {pair: ShortAndLong(rules, pair, length) for pair, length in settings.split.items()},
        "double": {pair: ShortBonds(rules, pair, length) for pair, length in settings.double.items()},
        "scan": {pair: CutoffScan(rules, pair, cutoffs) for pair, cutoffs in scans.items()},
        "species": {
            f"{symbol_of(former)}-{symbol_of(rules.ligand)}": Speciation(
                rules, f"{symbol_of(former)}-{symbol_of(rules.ligand)}"
            )
            for former in rules.formers
        },
    }


def _of_network(rules: BondRules, settings: StructureSettings) -> dict[str, _Observable]:
    if not rules.formers:
        return {}
    found: dict[str, _Observable] = {"ligands": Ligands(rules), "linkages": Linkages(rules)}
    if settings.largest_ring:
        found["rings"] = Rings(rules, settings.largest_ring)
    found["red_flags"] = Flags(rules, settings.forbidden)
    return found


def _triplets(pairs: Sequence[str], settings: StructureSettings) -> list[str]:
    """Return the angles asked for, or those at every centre, and those of formers at a shared ligand."""
    if settings.angles is not None:
        return list(settings.angles)
    at_centres = ["-".join([ligand, centre, ligand]) for centre, ligand in (pair.split("-") for pair in pairs)]
    at_ligands = [f"{a}-{settings.ligand}-{b}" for a, b in combinations_with_replacement(settings.formers, 2)]
    return [*at_centres, *at_ligands]


def _curves_of(found: Mapping[str, object]) -> dict[str, FloatArray]:
    curves: dict[str, FloatArray] = {}
    for name, result in found.items():
        if isinstance(result, PolyhedraResult) and np.isfinite(result.tau5.mean):
            curves |= named("tau5", name, result.tau5_density)
        if isinstance(result, Scan):
            curves[f"cutoff_{_key(name)}"] = result.cutoffs
            curves |= named("scan", name, result.mean)
            for count, share in result.shares.items():
                curves |= named("scan", f"{name}-{count}", share)
    return curves


def _key(name: str) -> str:
    """Return a name of letters, digits and underscores."""
    return {"x-ray": "xray"}.get(name, name.replace("-", "_"))
