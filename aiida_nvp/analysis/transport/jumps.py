"""Sites of mobile ions and the jumps between them, both from the run itself.

Sites are the peaks of the density. An ion belongs to a site from the moment it enters its core, a sphere of less than
half the distance to the next site, until it enters the core of another: rattling across a boundary is no jump
(core states: DOI 10.1021/acs.jctc.7b00599 uses the same idea). A jump back to the site before counts apart, because it
moves no charge in the end.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from aiida_nvp.analysis.channels.density import DensityGrid
from aiida_nvp.analysis.transport.paths import Paths
from aiida_nvp.common.errors import InputError

NOWHERE = -1
MOST_SITES = 5000
"""Every ion is held against every site, and every site against every other."""

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class SiteSettings:
    """How sites are found; lengths in angstrom.

    :param spacing: of the density grid; ``blur``: width of the Gaussian that smooths it.
    :param apart: two peaks closer than this are one site, that of the higher peak.
    :param least_ratio: a site is denser than this times the mean density.
    :param core: largest core radius; it is never more than ``core_share`` of the distance to the next site.
    """

    spacing: float = 0.4
    blur: float = 0.4
    apart: float = 1.5
    least_ratio: float = 2.0
    core: float = 1.0
    core_share: float = 0.4


@dataclass(frozen=True)
class Jumps:
    """What the ions did.

    :param sites: (S, 3) fractional coordinates; ``cores``: (S,) radii in angstrom.
    :param states: (T, N) site of each ion at each frame, -1 before it was in any core.
    :param jumps: (J, 4) frame, ion, from, to.
    :param back: (J,) whether the jump leads to the site that the ion had left in its jump before.
    :param lengths: (J,) angstrom between the sites.
    :param rate_per_ps: jumps of an ion in a picosecond, with ``rate_error_per_ps``, from the scatter over ions.
    :param residence_ps: mean time between two jumps of an ion, 1 / rate; None without jumps.
    :param in_core_share: share of ions and frames inside a core: how well sites describe the run.
    """

    sites: FloatArray
    cores: FloatArray
    states: IntArray
    jumps: IntArray
    back: NDArray[np.bool_]
    lengths: FloatArray
    rate_per_ps: float
    rate_error_per_ps: float
    residence_ps: float | None
    in_core_share: float


def find_sites(paths: Paths, species: str, settings: SiteSettings | None = None) -> FloatArray:
    """Return (S, 3) fractional coordinates of the peaks of the density of ``species``, densest first.

    :raises InputError: if there is no such ion.
    """
    settings = settings or SiteSettings()
    inverse = np.linalg.inv(paths.cell)
    grid = DensityGrid.for_cell(paths.cell, settings.spacing)
    for block in paths.blocks(paths.ions(species)):
        for frame in block:
            grid.add_fractional(frame @ inverse, paths.cell)
    density = grid.density(settings.blur)
    peak = (density == maximum_filter(density, size=3, mode="wrap")) & (density > settings.least_ratio * density.mean())
    places = np.argwhere(peak)
    if len(places) > MOST_SITES:
        raise InputError(
            f"the density of {species} has {len(places)} peaks; jumps are followed between {MOST_SITES} at most."
        )
    order = np.argsort(-density[tuple(places.T)], kind="stable")
    fractional = (places[order] + 0.5) / density.shape
    kept: list[FloatArray] = []
    for place in fractional:
        if not kept or _distances(np.array(kept) - place, paths.cell).min() >= settings.apart:
            kept.append(place)
    return np.array(kept).reshape(-1, 3)


def jumps(paths: Paths, species: str, settings: SiteSettings | None = None) -> Jumps:
    """Return the jumps of ``species`` between the peaks of its density.

    :raises InputError: if there is no such ion, or the density has less than two peaks.
    """
    settings = settings or SiteSettings()
    sites = find_sites(paths, species, settings)
    if len(sites) < len(("from", "to")):
        raise InputError(f"the density of {species} has {len(sites)} peaks; jumps need two sites at least.")
    between = np.stack([_distances(sites - site, paths.cell) for site in sites])
    np.fill_diagonal(between, np.inf)
    cores = np.minimum(settings.core, settings.core_share * between.min(axis=1))
    inverse = np.linalg.inv(paths.cell)
    inside = [_assign(block @ inverse, sites, paths.cell, cores) for block in paths.blocks(paths.ions(species))]
    cored = np.concatenate(inside, axis=1)
    states = _hold(cored)
    found = _changes(states)
    lengths = between[found[:, 2], found[:, 3]]
    duration = paths.interval_ps * (paths.n_frames - 1)
    each = np.bincount(found[:, 1], minlength=states.shape[1]) / duration
    rate = float(each.mean())
    error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
    return Jumps(
        sites=sites,
        cores=cores,
        states=states,
        jumps=found,
        back=_returns(found),
        lengths=lengths,
        rate_per_ps=rate,
        rate_error_per_ps=error,
        residence_ps=1 / rate if rate > 0 else None,
        in_core_share=float((cored != NOWHERE).mean()),
    )


def _distances(fractional: FloatArray, cell: FloatArray) -> FloatArray:
    nearest = fractional - np.rint(fractional)
    return np.asarray(np.linalg.norm(nearest @ cell, axis=-1))


@numba.njit(cache=True)
def _assign(fractional: FloatArray, sites: FloatArray, cell: FloatArray, cores: FloatArray) -> IntArray:
    frames, ions = fractional.shape[:2]
    found = np.full((frames, ions), NOWHERE, dtype=np.int64)
    for t in range(frames):
        for i in range(ions):
            for s in range(len(sites)):
                x = fractional[t, i, 0] - sites[s, 0]
                y = fractional[t, i, 1] - sites[s, 1]
                z = fractional[t, i, 2] - sites[s, 2]
                x, y, z = x - np.rint(x), y - np.rint(y), z - np.rint(z)
                square = 0.0
                for axis in range(3):
                    square += (x * cell[0, axis] + y * cell[1, axis] + z * cell[2, axis]) ** 2
                if square < cores[s] ** 2:
                    found[t, i] = s
                    break
    return found


def _hold(cored: IntArray) -> IntArray:
    """Return (T, N) the last core that each ion was in."""
    frames = np.arange(len(cored))[:, None]
    last = np.maximum.accumulate(np.where(cored != NOWHERE, frames, NOWHERE), axis=0)
    held = np.take_along_axis(cored, np.maximum(last, 0), axis=0)
    return np.where(last == NOWHERE, NOWHERE, held)


def _changes(states: IntArray) -> IntArray:
    before, after = states[:-1], states[1:]
    frame, ion = np.nonzero((before != after) & (before != NOWHERE))
    return np.stack([frame + 1, ion, before[frame, ion], after[frame, ion]], axis=1)


def _returns(found: IntArray) -> NDArray[np.bool_]:
    back = np.zeros(len(found), dtype=bool)
    origin: dict[int, int] = {}
    for row, (_, ion, start, end) in enumerate(found.tolist()):
        back[row] = origin.get(ion) == end
        origin[ion] = start
    return back
