"""How far the quantity drifts that an integrator should conserve."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

WINDOW_PS = 0.25
"""Long enough for several vibrations, whose shadow energy comes and goes, to average out."""


@dataclass
class Drift:
    """Slope of the conserved energy per atom, window by window of :data:`WINDOW_PS`.

    A stage that moves the cell is not watched, and windows do not reach across stages.

    :param points: times (ps) and energies (eV an atom) of the window under way.
    :param stage: to which they belong.
    :param largest: largest slope of a window by size, with its sign, eV an atom and ps; ``windows``: how many.
    """

    points: list[tuple[float, float]] = field(default_factory=list)
    stage: int = -1
    largest: float = 0.0
    windows: int = 0

    def add(self, stage: int, time_ps: float, energy: float) -> float | None:
        """Take one value in; return the slope if it completes a window."""
        if stage != self.stage:
            self.points, self.stage = [], stage
        self.points.append((time_ps, energy))
        if time_ps - self.points[0][0] < WINDOW_PS:
            return None
        times, energies = np.array(self.points).T
        times -= times.mean()
        slope = float(times @ (energies - energies.mean()) / (times @ times))
        self.points = []
        self.windows += 1
        if not abs(slope) <= abs(self.largest):
            self.largest = slope
        return slope

    def forget(self) -> None:
        """Drop the window under way, and what was found with a time step that is no longer in use."""
        self.points, self.largest, self.windows = [], 0.0, 0

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Drift:
        """Return what :meth:`plain` told."""
        return cls(**{**values, "points": [(time, energy) for time, energy in values["points"]]})

    def summary(self) -> float | None:
        """Return the largest slope in meV an atom and ps, or None if no window was completed."""
        return round(1000 * self.largest, 3) if self.windows and np.isfinite(self.largest) else None
