"""Shortest distances, and pairs closer than matter allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import Number, RunningBlocks
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.species import pair_names, parse
from aiida_nvp.common.errors import InputError


class ShortestDistances:
    """Keeps the shortest distance of each pair of species in any frame.

    :param numbers: (N,) atomic numbers of every frame.
    """

    def __init__(self, numbers: NDArray[Any]) -> None:
        self._names = pair_names(np.asarray(numbers))
        self._shortest = dict.fromkeys(self._names.values(), np.inf)

    def add(self, environment: Environment) -> None:
        """Look at one frame."""
        for (a, b), name in self._names.items():
            distances = environment.around(a, b, environment.reach).distance
            self._shortest[name] = min(self._shortest[name], distances.min(initial=np.inf))

    def result(self) -> dict[str, float | None]:
        """Return by pair name the shortest distance in angstrom, None where none was within reach."""
        return {name: float(value) if np.isfinite(value) else None for name, value in self._shortest.items()}


@dataclass(frozen=True)
class ClosePairs:
    """Pairs closer than their limit.

    :param by_pair: mean number a frame by pair of species.
    :param total: mean number a frame of all.
    """

    by_pair: dict[str, Number]
    total: Number


class ShortPairs:
    """Accumulates the number of pairs closer than a limit, each pair once.

    :param numbers: (N,) atomic numbers of every frame.
    :param limits: angstrom by pair of species.
    :raises InputError: on an unknown species or a limit that is not positive.
    """

    def __init__(self, numbers: NDArray[Any], limits: Mapping[str, float]) -> None:
        self._limits = {name: (parse(name, 2, np.asarray(numbers)), limit) for name, limit in limits.items()}
        for name, limit in limits.items():
            if not limit > 0:
                raise InputError(f"the shortest sound distance of {name} must be positive; it is {limit}.")
        self._blocks = RunningBlocks()

    def add(self, environment: Environment) -> None:
        """Count the pairs of one frame."""
        found = []
        for (a, b), limit in self._limits.values():
            directed = len(environment.around(a, b, limit))
            found.append(directed / 2 if a == b else float(directed))
        self._blocks.add(found)

    def result(self) -> ClosePairs:
        """Return the means over the frames so far."""
        curve = self._blocks.curve()
        return ClosePairs(
            {name: curve.number(row) for row, name in enumerate(self._limits)},
            self._blocks.number(lambda counts: counts.sum(axis=-1)),
        )
