"""Names of species and of their pairs, and where they stand in an array."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError


def species_of(numbers: NDArray[Any]) -> list[int]:
    """Return the atomic numbers present, the heaviest first."""
    return sorted({int(number) for number in numbers}, reverse=True)


def symbol_of(number: int) -> str:
    """Return the chemical symbol."""
    return str(chemical_symbols[number])


def pair_names(numbers: NDArray[Any]) -> dict[tuple[int, int], str]:
    """Return ``{(Z_a, Z_b): "A-B"}`` for all pairs of species present, the heavier first."""
    pairs = combinations_with_replacement(species_of(numbers), 2)
    return {(a, b): f"{symbol_of(a)}-{symbol_of(b)}" for a, b in pairs}


def parse(name: str, length: int, numbers: NDArray[Any]) -> tuple[int, ...]:
    """Return the atomic numbers of ``"P-O"`` or ``"P-O-P"``.

    :param length: how many species the name has.
    :raises InputError: if the name is not that many species of ``numbers``.
    """
    parts = tuple(atomic_numbers.get(symbol, 0) for symbol in name.split("-"))
    if len(parts) != length or not set(species_of(numbers)).issuperset(parts):
        shown = ", ".join(sorted(symbol_of(number) for number in species_of(numbers)))
        kind = {1: "species", 2: "pair", 3: "triplet"}[length]
        wanted = {1: "a species", 2: "two species", 3: "three species"}[length]
        raise InputError(f"{kind} {name!r} is not {wanted} of the trajectory, which has {shown}.")
    return parts


def atoms_of(numbers: NDArray[Any], species: str, what: str = "species") -> NDArray[np.int64]:
    """Return the indices of the atoms of a species.

    :param what: how an error calls it.
    :raises InputError: if there are none.
    """
    chosen = np.flatnonzero(numbers == atomic_numbers.get(species, 0))
    if not len(chosen):
        shown = ", ".join(sorted(symbol_of(number) for number in species_of(numbers)))
        raise InputError(f"{what} {species!r} is not in the trajectory, which has {shown}.")
    return chosen.astype(np.int64)


def index_of(numbers: NDArray[Any], species: Sequence[int] | None = None) -> NDArray[np.int64]:
    """Return (N,) the place of each atom's species in ``species``, by default in :func:`species_of`."""
    table = np.full(max(atomic_numbers.values()) + 1, -1, dtype=np.int64)
    known = species_of(numbers) if species is None else species
    table[list(known)] = np.arange(len(known))
    place: NDArray[np.int64] = table[np.asarray(numbers, dtype=np.int64)]
    return place


def check_same(numbers: NDArray[Any], other: NDArray[Any]) -> None:
    """Refuse a frame of other atoms than those an observable was made for.

    :raises InputError: if the atomic numbers differ.
    """
    if len(numbers) != len(other) or not np.array_equal(numbers, other):
        raise InputError(
            f"a frame of {len(other)} atoms does not fit an observable of {len(numbers)} atoms; all frames of a run "
            "need the same species in the same order."
        )
