"""Candidates that no label should be spent on, whatever their score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols, covalent_radii

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.neighbours import Pairs, find_pairs
from aiida_nvp.common.units import GRAM_PER_CM3_IN_AMU_ANGSTROM3
from aiida_nvp.common.vocabulary import SelectionReason

_REACH = 4.0
_SMALLEST_REACH = 2.0
"""A cell list of a shorter reach has more bins than atoms."""
_CHANCE: Final = 5.0
"""Standard deviations of the temperature of a cell in equilibrium that count as chance."""


@dataclass(frozen=True)
class PhysicalLimits:
    """What a frame must keep to.

    :param scale: two atoms stay farther apart than this times the sum of their covalent radii.
    :param shortest: pair such as ``P-O`` to the shortest distance in angstrom.
    :param density_g_cm3: lowest and highest mass density; None for any.
    :param temperature_spike: kinetic over thermostat temperature, above which a cell counts as exploding.
    """

    scale: float
    shortest: Mapping[str, float] = field(default_factory=dict)
    density_g_cm3: tuple[float, float] | None = None
    temperature_spike: float = np.inf


@dataclass(frozen=True)
class Fault:
    """What is wrong with a frame, and by how much."""

    reason: SelectionReason
    detail: str


def faults(frames: FrameSet, origins: Sequence[Mapping[str, Any]], limits: PhysicalLimits) -> list[Fault | None]:
    """Return (F,) the first thing that is unphysical about each frame, None where nothing is.

    :param origins: (F,) what is stored with the frames; read are ``temperature`` and ``temperature_now`` in K. A frame
        without them is not judged by its temperature.
    """
    return [
        _contact(frames, index, limits) or _density(frames, index, limits) or _spike(frames, index, origin, limits)
        for index, origin in enumerate(origins)
    ]


def shortest_distances(frames: FrameSet, index: int, reach: float = _REACH) -> dict[str, float]:
    """Return the shortest distance in angstrom of each pair of elements of one frame that is nearer than ``reach``.

    :return: for example ``{"O-P": 1.49}``, symbols in alphabetical order; periodic images count.
    """
    numbers = frames.numbers[frames.slice_of(index)]
    pairs = _pairs(frames, index, reach)
    shortest: dict[str, float] = {}
    for a, b, apart in zip(numbers[pairs.first], numbers[pairs.second], pairs.distance, strict=True):
        pair = _name(int(a), int(b))
        shortest[pair] = min(shortest.get(pair, np.inf), float(apart))
    return dict(sorted(shortest.items()))


def density_g_cm3(frames: FrameSet, index: int) -> float:
    """Return the mass density of one frame."""
    mass = float(atomic_masses[frames.numbers[frames.slice_of(index)]].sum())
    return mass / abs(float(np.linalg.det(frames.cells[index]))) / GRAM_PER_CM3_IN_AMU_ANGSTROM3


def _contact(frames: FrameSet, index: int, limits: PhysicalLimits) -> Fault | None:
    numbers = frames.numbers[frames.slice_of(index)]
    radii = covalent_radii[numbers]
    longest = max([0.0, *limits.shortest.values()])
    pairs = _pairs(frames, index, max(_SMALLEST_REACH, 2.0 * limits.scale * float(radii.max()), longest))
    allowed = limits.scale * (radii[pairs.first] + radii[pairs.second])
    for pair, shortest in limits.shortest.items():
        a, b = (atomic_numbers[symbol] for symbol in pair.split("-"))
        one, other = numbers[pairs.first], numbers[pairs.second]
        mine = ((one == a) & (other == b)) | ((one == b) & (other == a))
        allowed = np.where(mine, np.maximum(allowed, shortest), allowed)
    near = np.flatnonzero(pairs.distance < allowed)
    if not len(near):
        return None
    worst = near[np.argmin(pairs.distance[near] / allowed[near])]
    name = _name(int(numbers[pairs.first[worst]]), int(numbers[pairs.second[worst]]))
    return Fault(
        SelectionReason.TOO_CLOSE, f"{name} {pairs.distance[worst]:.2f} Å apart, at least {allowed[worst]:.2f}"
    )


def _density(frames: FrameSet, index: int, limits: PhysicalLimits) -> Fault | None:
    if limits.density_g_cm3 is None:
        return None
    low, high = limits.density_g_cm3
    found = density_g_cm3(frames, index)
    if low <= found <= high:
        return None
    return Fault(SelectionReason.DENSITY, f"{found:.2f} g/cm3, from {low:g} to {high:g} allowed")


def _spike(frames: FrameSet, index: int, origin: Mapping[str, Any], limits: PhysicalLimits) -> Fault | None:
    wanted, found = origin.get("temperature"), origin.get("temperature_now")
    if wanted is None or found is None or not wanted > 0:
        return None
    here = frames.slice_of(index)
    freedom = max(3 * (here.stop - here.start) - 3, 1)
    # The kinetic temperature of a small cell scatters by sqrt(2 / degrees of freedom) without any fault.
    allowed = max(limits.temperature_spike, 1.0 + _CHANCE * np.sqrt(2.0 / freedom))
    if found <= allowed * wanted:
        return None
    return Fault(SelectionReason.SPIKE, f"{found:.0f} K at a thermostat of {wanted:.0f} K")


def _name(a: int, b: int) -> str:
    return "-".join(sorted((chemical_symbols[a], chemical_symbols[b])))


def _pairs(frames: FrameSet, index: int, reach: float) -> Pairs:
    return find_pairs(frames.positions[frames.slice_of(index)], frames.cells[index], reach, half=True)
