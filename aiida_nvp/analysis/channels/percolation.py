"""Whether the space that mobile ions visit joins up through the periodic cell, in which directions, at what barrier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from aiida_nvp.analysis.channels.clusters import clusters
from aiida_nvp.analysis.channels.density import DensityGrid, density_parts
from aiida_nvp.analysis.channels.estimate import Estimate, from_halves
from aiida_nvp.analysis.channels.sweep import Sweep, sweep
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory
from aiida_nvp.common.units import BOLTZMANN_EV_K

_RANKS = (1, 2, 3)
_HALVES = 2
_MARGIN = 2.0
_FINE_KT = 0.1
"""Changes of a barrier below this are no matter of the length of a run."""


@dataclass(frozen=True)
class RankLevel:
    """Where a winding rank first appears.

    :param rank: 1 channel, 2 sheet, 3 network.
    :param ratio: highest density, relative to the mean, at which the denser part has this rank; None if it never does.
    :param error: half the difference between the two halves of the run; None where one has no such density.
    """

    rank: int
    ratio: float | None
    error: float | None


@dataclass(frozen=True)
class Percolation:
    """How the density of mobile ions percolates.

    :param visited_rank: winding rank of all cells of the grid that were visited.
    :param visited_share: their share of the volume.
    :param threshold_ratio: highest density, relative to the mean, at which the denser part still percolates; None if
        even the whole visited part does not.
    :param threshold_error: half the difference between the two halves of the run; None where one has no threshold.
    :param threshold_drift: threshold of the whole run less the mean of its halves, which saw half as much: where it is
        large against the error, the run is too short for its threshold.
    :param threshold_share: share of the volume at or above the threshold.
    :param channel_share: share of the volume in the clusters that percolate at the threshold.
    :param channel_occupancy: share of the ions in them, on average over time.
    :param winding: integer rows that span the winding vectors of the first channel, in cells of the simulation.
    :param levels: density at which each rank appears.
    :param barrier_kt: ln(highest density of the first channel / threshold), in kT.
    :param barrier: the same in eV; None without a temperature.
    :param barrier_drift_kt: barrier of the whole run less the mean of its halves. Noise of the counts raises barriers,
        and so does a bottleneck that was hardly visited; both show here and not in the error.
    :param n_sites: density maxima that stand out of their surroundings by one kT.
    :param n_sites_enclosed: those from which no path leads on at any density above zero.
    :param site_barrier_kt: median over the others of ln(density of the site / density at which it percolates).
    :param site_barrier: the same in eV; None without a temperature.
    :param sentence: what to tell the user.
    """

    visited_rank: int
    visited_share: float
    threshold_ratio: float | None
    threshold_error: float | None
    threshold_drift: float | None
    threshold_share: float | None
    channel_share: float | None
    channel_occupancy: float | None
    winding: tuple[tuple[int, ...], ...]
    levels: tuple[RankLevel, ...]
    barrier_kt: Estimate
    barrier: Estimate | None
    barrier_drift_kt: float | None
    n_sites: int
    n_sites_enclosed: int
    site_barrier_kt: Estimate
    site_barrier: Estimate | None
    sentence: str


def percolation(
    trajectory: Trajectory,
    species: str,
    spacing: float = 0.5,
    blur: float = 0.5,
    temperature: float | None = None,
) -> Percolation:
    """Describe the percolation of the density of ``species``.

    :param spacing: edge of a cell of the grid (angstrom).
    :param blur: width of the Gaussian that smooths the counts before a threshold is sought (angstrom).
    :param temperature: K, for barriers in eV.
    :raises InputError: on an unknown species, or a temperature that is not positive.
    """
    if temperature is not None and not temperature > 0:
        raise InputError(f"percolation: the temperature of barriers must be positive, not {temperature} K.")
    halves = density_parts(trajectory, species, spacing, min(len(trajectory), _HALVES))
    whole = sum(halves[1:], halves[0])
    return describe(whole, halves if len(halves) == _HALVES else [], blur, temperature)


def describe(
    whole: DensityGrid, halves: Sequence[DensityGrid], blur: float, temperature: float | None = None
) -> Percolation:
    """Describe a density that was collected frame by frame.

    :param halves: the grids of the two halves of the run, for the errors; none if there are none.
    :raises InputError: if the grid has no frame.
    """
    smooth = whole.density(blur)
    found = sweep(smooth)
    parts = [_Part.of(part, blur) for part in halves]
    here = _Part.of(whole, blur, found)
    visited = whole.counts > 0
    threshold = found.levels[1].density if found.levels else None
    channel = clusters(smooth >= threshold).channel if threshold is not None else None
    levels = [from_halves(here.levels[rank], [part.levels[rank] for part in parts]) for rank in _RANKS]
    barrier = from_halves(here.barrier, [part.barrier for part in parts])
    drift = _drift(here.barrier, [part.barrier for part in parts])
    site_barrier = from_halves(here.site_barrier, [part.site_barrier for part in parts])
    return Percolation(
        visited_rank=clusters(visited).rank,
        visited_share=float(visited.mean()),
        threshold_ratio=levels[0].value,
        threshold_error=levels[0].error,
        threshold_drift=_drift(here.levels[1], [part.levels[1] for part in parts]),
        threshold_share=None if threshold is None else float((smooth >= threshold).mean()),
        channel_share=None if channel is None else float(channel.mean()),
        channel_occupancy=None if channel is None else float(smooth[channel].sum() / smooth.sum()),
        winding=tuple(tuple(row) for row in found.levels[1].basis.tolist()) if found.levels else (),
        levels=tuple(RankLevel(rank, level.value, level.error) for rank, level in zip(_RANKS, levels, strict=True)),
        barrier_kt=barrier,
        barrier=_in_ev(barrier, temperature),
        barrier_drift_kt=drift,
        n_sites=len(found.sites),
        n_sites_enclosed=int(np.isnan(found.exits).sum()),
        site_barrier_kt=site_barrier,
        site_barrier=_in_ev(site_barrier, temperature),
        sentence=_sentence(found, barrier, drift),
    )


def _sentence(found: Sweep, barrier: Estimate, drift: float | None) -> str:
    if not found.levels:
        return "what the ions visited does not join up through the cell"
    rank = len(found.levels[1].basis)
    shape = ("channel", "sheet", "network")[rank - 1]
    text = f"the densest way through the cell is a {shape} (rank {rank}) with a barrier of {barrier.value:.2f} kT"
    if drift is None or barrier.error is None:
        return f"{text}; one half of the run does not percolate, so how sure that is is not known"
    if abs(drift) > _MARGIN * max(barrier.error, _FINE_KT):
        return (
            f"{text}; it still moves by {drift:+.2f} kT when the run doubles: too short a run, and a bound from above"
        )
    return f"{text} +- {barrier.error:.2f}"


@dataclass(frozen=True)
class _Part:
    """What one part of a run says: densities of the ranks over the mean, and barriers in kT."""

    levels: dict[int, float | None]
    barrier: float | None
    site_barrier: float | None

    @classmethod
    def of(cls, grid: DensityGrid, blur: float, found: Sweep | None = None) -> Self:
        smooth = grid.density(blur)
        found = sweep(smooth) if found is None else found
        mean = float(smooth.mean())
        levels = {rank: found.levels[rank].density / mean if rank in found.levels else None for rank in _RANKS}
        first = found.levels.get(1)
        free = ~np.isnan(found.exits)
        return cls(
            levels,
            None if first is None else float(np.log(first.peak / first.density)),
            float(np.median(np.log(found.peaks[free] / found.exits[free]))) if free.any() else None,
        )


def _drift(whole: float | None, halves: Sequence[float | None]) -> float | None:
    known = [value for value in halves if value is not None]
    return None if whole is None or len(known) < _HALVES else whole - sum(known) / _HALVES


def _in_ev(barrier: Estimate, temperature: float | None) -> Estimate | None:
    if temperature is None:
        return None
    scale = BOLTZMANN_EV_K * temperature
    return Estimate(*(None if number is None else number * scale for number in (barrier.value, barrier.error)))
