"""How far ions get in a time, as a distribution: self van Hove function, non-Gaussian parameter, self scattering.

    P(r, t) = 4 pi r^2 G_s(r, t), the density of displacements of length r
    alpha_2(t) = 3 <r^4> / (5 <r^2>^2) - 1, zero for Gaussian displacements (DOI 10.1103/PhysRev.136.A405)
    F_s(q, t) = <sin(q r) / (q r)>, the average over directions of q (DOI 10.1103/PhysRev.95.249)

All come from the same displacements, in one pass over the paths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.statistics import Curve, RunningBlocks, ratio
from aiida_nvp.analysis.transport.paths import Paths
from aiida_nvp.common.errors import InputError

GROUPS = 10
MOST_ORIGINS = 200
"""Time origins used at a lag, evenly spaced: neighbouring ones say little new."""

FloatArray = NDArray[np.float64]
_Function = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class DisplacementSettings:
    """What to collect.

    :param wave_numbers: q of F_s in 1/angstrom; ``lags``: how many, equally spaced in their logarithm.
    :param bin_width: of P(r, t) in angstrom; ``r_max``: its end; what lies beyond is counted as ``tail``.
    """

    wave_numbers: Sequence[float] = (0.5, 1.0, 2.0)
    lags: int = 20
    bin_width: float = 0.1
    r_max: float = 10.0

    def __post_init__(self) -> None:
        """Check the values.

        :raises InputError: if one of them is not positive.
        """
        if not (self.bin_width > 0 and self.r_max > self.bin_width and self.lags > 0):
            raise InputError("displacements need a positive bin width, a longer range and at least one lag.")
        if any(not q > 0 for q in self.wave_numbers):
            raise InputError(f"wave numbers must be positive; they are {list(self.wave_numbers)} per angstrom.")


@dataclass(frozen=True)
class Displacements:
    """Distributions at L lags; errors are standard errors over groups of ions, NaN for a single ion.

    :param lag_ps: (L,).
    :param alpha2: (L,) with ``alpha2_error``.
    :param wave_numbers: (Q,) in 1/angstrom; ``scattering``: (Q, L) F_s with ``scattering_error``.
    :param r: (R,) middle of each bin in angstrom; ``density``: (L, R) P(r, t) in 1/angstrom; ``tail``: (L,) share that
        went farther.
    """

    lag_ps: FloatArray
    alpha2: FloatArray
    alpha2_error: FloatArray
    wave_numbers: FloatArray
    scattering: FloatArray
    scattering_error: FloatArray
    r: FloatArray
    density: FloatArray
    tail: FloatArray


def displacements(paths: Paths, species: str, settings: DisplacementSettings | None = None) -> Displacements:
    """Return the distributions of the displacements of ``species``.

    :raises InputError: if there is no such ion.
    """
    settings = settings or DisplacementSettings()
    ions = paths.ions(species)
    longest = max(paths.n_frames // 2, 1)
    lags = np.unique(np.geomspace(1, longest, settings.lags).round().astype(int))
    sums = _Sums(lags, min(GROUPS, len(ions)), settings)
    first = 0
    for block in paths.blocks(ions):
        sums.add(block, first)
        first += block.shape[1]
    return sums.result(paths.interval_ps)


@dataclass
class _Sums:
    """Sums over origins and ions, one row a group of ions."""

    lags: NDArray[np.int64]
    groups: int
    settings: DisplacementSettings
    _q: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._q = np.asarray(self.settings.wave_numbers, dtype=float)
        self._edges = np.arange(0, self.settings.r_max + self.settings.bin_width / 2, self.settings.bin_width)
        shape = (self.groups, len(self.lags))
        self._count, self._second, self._fourth = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._waves = np.zeros((*shape, len(self._q)))
        self._bins = np.zeros((len(self.lags), len(self._edges)))

    def add(self, block: FloatArray, first: int) -> None:
        """Take (T, n, 3) paths of the ions from place ``first`` on."""
        group = (first + np.arange(block.shape[1])) % self.groups
        for place, lag in enumerate(self.lags):
            origins = np.unique(np.linspace(0, len(block) - lag - 1, MOST_ORIGINS).astype(int))
            square = ((block[origins + lag] - block[origins]) ** 2).sum(axis=2)
            length = np.sqrt(square)
            np.add.at(self._count[:, place], group, float(len(origins)))
            np.add.at(self._second[:, place], group, square.sum(axis=0))
            np.add.at(self._fourth[:, place], group, (square**2).sum(axis=0))
            for wave, q in enumerate(self._q):
                np.add.at(self._waves[:, place, wave], group, np.sinc(q * length / np.pi).sum(axis=0))
            # The last bin takes all that is farther.
            where = np.minimum((length.ravel() / self.settings.bin_width).astype(int), len(self._edges) - 1)
            self._bins[place] += np.bincount(where, minlength=len(self._edges))

    def result(self, interval_ps: float) -> Displacements:
        """Return averages and their errors."""
        alpha2 = self._over_groups(lambda n, s, f, _: 0.6 * ratio(f * n, s**2) - 1)
        waves = self._over_groups(lambda n, _s, _f, w: w / n[:, None])
        total = self._bins.sum(axis=1, keepdims=True)
        return Displacements(
            lag_ps=interval_ps * self.lags.astype(np.float64),
            alpha2=alpha2.mean,
            alpha2_error=alpha2.error,
            wave_numbers=self._q,
            scattering=waves.mean.T,
            scattering_error=waves.error.T,
            r=self._edges[:-1] + self.settings.bin_width / 2,
            density=self._bins[:, :-1] / (total * self.settings.bin_width),
            tail=self._bins[:, -1] / total[:, 0],
        )

    def _over_groups(self, function: _Function) -> Curve:
        """Return a function of the sums with its error, each group of ions being a block."""
        parts = (self._count, self._second, self._fourth, self._waves)
        ends = np.cumsum([part[0].size for part in parts])[:-1]
        shapes = [part[0].shape for part in parts]
        blocks = RunningBlocks(self.groups)
        for group in range(self.groups):
            blocks.add(np.concatenate([part[group].ravel() for part in parts]))

        def shaped(flat: FloatArray) -> FloatArray:
            split = zip(np.split(flat, ends), shapes, strict=True)
            return function(*(part.reshape(shape) for part, shape in split))

        return blocks.curve(shaped)
