"""How many labels one trajectory and one kind of frame may take."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from aiida_nvp.common.vocabulary import SelectionReason
from aiida_nvp.selection.filters import Fault
from aiida_nvp.selection.kinds import COMPOSITION, TEMPERATURE
from aiida_nvp.selection.settings import BatchSettings

_ROUNDING_PS: Final = 1e-9


class Quotas:
    """Counts what is taken and refuses what would be too much of one sort.

    :param trajectories: (F,) key of the trajectory of each candidate; ``times``: (F,) ps within it, NaN where unknown.
    :param kinds: (F,) of :func:`aiida_nvp.selection.kinds.kinds`.
    :param known: key of a trajectory to the times of its labelled frames, ps.
    """

    def __init__(
        self,
        trajectories: Sequence[str],
        times: Sequence[float],
        kinds: Sequence[Mapping[str, str]],
        known: Mapping[str, Sequence[float]],
        settings: BatchSettings,
    ) -> None:
        """Begin with what is labelled."""
        self._trajectories, self._times, self._kinds, self._settings = trajectories, times, kinds, settings
        self._taken = {key: list(found) for key, found in known.items()}
        self._count: Counter[tuple[str, str]] = Counter()

    def take(self, index: int) -> None:
        """Count a candidate that is in the batch."""
        self._taken.setdefault(self._trajectories[index], []).append(self._times[index])
        self._count.update(self._kinds[index].items())

    def of_trajectory(self, index: int) -> Fault | None:
        """Return why the trajectory of a candidate can give no more labels, if so."""
        taken = self._taken.get(self._trajectories[index], [])
        if len(taken) >= self._settings.max_per_replica:
            return Fault(SelectionReason.QUOTA, f"{len(taken)} labels from it")
        apart = np.abs(np.array(taken, dtype=float) - self._times[index])
        near = apart < self._settings.min_apart_ps - _ROUNDING_PS
        if near.any():
            return Fault(SelectionReason.APART, f"{apart[near].min():.3f} ps from another")
        return None

    def of_kind(self, index: int) -> Fault | None:
        """Return why a batch holds enough of a candidate's kind, if so."""
        for quality, value in self._kinds[index].items():
            limit = math.ceil(self._share(quality) * self._settings.budget)
            if self._count[quality, value] >= limit:
                return Fault(SelectionReason.KIND, f"{quality} {value}, at most {limit} of {self._settings.budget}")
        return None

    def _share(self, quality: str) -> float:
        settings = self._settings
        shares = {COMPOSITION: settings.composition_share, TEMPERATURE: settings.temperature_share}
        return shares.get(quality, settings.coordination_share)
