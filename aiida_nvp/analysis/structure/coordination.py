"""Coordination numbers, bridging oxygens and shortest distances from one list of neighbours a frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import block_average
from aiida_nvp.analysis.structure.rdf import pair_names
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import Pairs, find_pairs
from aiida_nvp.common.trajectory import Trajectory

SEARCH_RADIUS = 3.5
"""Shortest distances are looked for up to here, or up to the longest bond if that is longer (angstrom)."""


@dataclass(frozen=True)
class Distribution:
    """How an integer count per atom is distributed.

    :param mean: mean over atoms and frames.
    :param error: its standard error by blocks of frames.
    :param shares: share of the atoms with count n, with its standard error, for each n that occurs.
    """

    mean: float
    error: float
    shares: dict[int, tuple[float, float]]


@dataclass(frozen=True)
class Bonding:
    """What the bonds of a trajectory say.

    :param coordination: by pair ``centre-ligand``: ligands within the cutoff of a centre.
    :param bridging: by the same pair: Q^n, ligands of a centre that bond to a second centre of the same species.
    :param shortest: by pair name: the shortest distance in any frame, None if none was below the search radius.
    :param short_pairs: mean number of pairs a frame closer than the forbidden distance, and its error.
    """

    coordination: dict[str, Distribution]
    bridging: dict[str, Distribution]
    shortest: dict[str, float | None]
    short_pairs: tuple[float, float]


def species_of_pair(pair: str, numbers: NDArray[np.int32]) -> tuple[int, int]:
    """Return the atomic numbers of ``"P-O"``.

    :raises InputError: if the name is no pair of species of the trajectory.
    """
    present = {int(number) for number in numbers}
    parts = tuple(atomic_numbers.get(symbol, 0) for symbol in pair.split("-"))
    if len(parts) != len(("centre", "ligand")) or not present.issuperset(parts):
        shown = ", ".join(sorted({name.split("-")[0] for name in pair_names(numbers).values()}))
        raise InputError(f"pair {pair!r} is not two species of the trajectory, which has {shown}.")
    return parts[0], parts[1]


def bonding(trajectory: Trajectory, cutoffs: Mapping[str, float], forbidden: float = 1.1) -> Bonding:
    """Count bonds in every frame.

    :param cutoffs: longest bond in angstrom by pair ``centre-ligand``.
    :param forbidden: no two atoms belong closer than this (angstrom).
    :raises InputError: on an unknown species or a cutoff that is not positive.
    """
    for pair, cutoff in cutoffs.items():
        species_of_pair(pair, trajectory.numbers)
        if not cutoff > 0:
            raise InputError(f"the bond length of {pair} must be positive; it is {cutoff}.")
    radius = max([SEARCH_RADIUS, forbidden, *cutoffs.values()])
    coordination: dict[str, list[NDArray[np.int64]]] = {pair: [] for pair in cutoffs}
    bridging: dict[str, list[NDArray[np.int64]]] = {pair: [] for pair in cutoffs}
    names = pair_names(trajectory.numbers)
    shortest = dict.fromkeys(names.values(), np.inf)
    short_pairs = []
    for positions, cell in zip(trajectory.positions.astype(np.float64), trajectory.cells, strict=True):
        pairs = find_pairs(positions, cell, radius)
        for pair, cutoff in cutoffs.items():
            counts, bridges = _bonds(pairs, trajectory.numbers, species_of_pair(pair, trajectory.numbers), cutoff)
            coordination[pair].append(counts)
            bridging[pair].append(bridges)
        _update_shortest(shortest, pairs, trajectory.numbers)
        short_pairs.append((pairs.distance < forbidden).sum() / 2)
    mean, error = block_average(np.array(short_pairs))
    return Bonding(
        coordination={pair: _distribution(np.stack(counts)) for pair, counts in coordination.items()},
        bridging={pair: _distribution(np.stack(counts)) for pair, counts in bridging.items()},
        shortest={name: float(value) if np.isfinite(value) else None for name, value in shortest.items()},
        short_pairs=(float(mean), float(error)),
    )


def _bonds(
    pairs: Pairs, numbers: NDArray[np.int32], pair: tuple[int, int], cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    centre, ligand = pair
    bonded = (numbers[pairs.first] == centre) & (numbers[pairs.second] == ligand) & (pairs.distance < cutoff)
    centres, ligands = pairs.first[bonded], pairs.second[bonded]
    bridge = np.bincount(ligands, minlength=len(numbers)) > 1
    here = numbers == centre
    counts = np.bincount(centres, minlength=len(numbers))[here]
    return counts, np.bincount(centres[bridge[ligands]], minlength=len(numbers))[here]


def _distribution(counts: NDArray[np.int64]) -> Distribution:
    """Summarise (T, N) counts."""
    mean, error = block_average(counts.mean(axis=1))
    shares = {}
    for value in np.unique(counts):
        share, spread = block_average((counts == value).mean(axis=1))
        shares[int(value)] = (float(share), float(spread))
    return Distribution(float(mean), float(error), shares)


def _update_shortest(shortest: dict[str, float], pairs: Pairs, numbers: NDArray[np.int32]) -> None:
    first, second = numbers[pairs.first], numbers[pairs.second]
    for (a, b), name in pair_names(numbers).items():
        distances = pairs.distance[(first == a) & (second == b)]
        shortest[name] = min(shortest[name], distances.min(initial=np.inf))
