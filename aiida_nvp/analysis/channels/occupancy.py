"""Whether ions keep to the channels and move more in them: a channel of the first half, tested on the second half."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.channels.clusters import clusters
from aiida_nvp.analysis.channels.density import DensityGrid, host_frame
from aiida_nvp.analysis.channels.estimate import Interval, bootstrap
from aiida_nvp.analysis.channels.sweep import sweep
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory

_ORIGINS = 200
_NULLS = 100
_TWO = 2


@dataclass(frozen=True)
class ChannelOccupancy:
    """Ions inside and outside of a channel that was found without the frames that are counted here.

    :param level: density of the first half at which its channel was cut, in 1/angstrom^3.
    :param volume_share: share of the volume in the channel: what ions without a preference would show.
    :param time_share: share of the time that ions of the second half spend in it.
    :param msd_inside: mean square displacement over the window of ions that start inside (angstrom^2).
    :param msd_outside: the same of ions that start outside.
    :param contrast: ratio of the two.
    :param null_time_share: 2.5, 50 and 97.5 % quantiles of ``time_share`` with the channel moved to random places.
    :param null_contrast: the same of ``contrast``: what a channel of this shape shows by chance.
    """

    level: float
    volume_share: float
    time_share: Interval | None
    msd_inside: Interval | None
    msd_outside: Interval | None
    contrast: Interval | None
    null_time_share: tuple[float, float, float] | None
    null_contrast: tuple[float, float, float] | None


@dataclass(frozen=True)
class OccupancySettings:
    """How the channel is found and tested.

    :param window: frames over which displacements are taken.
    :param spacing: edge of a cell of the grid (angstrom).
    :param blur: width of the Gaussian that smooths the density (angstrom).
    :param rank: winding rank at whose density the channel is cut; 1 is the threshold of percolation.
    :param seed: of the bootstrap and of the random places.
    :raises InputError: on a window that is not positive or a rank other than 1, 2 or 3.
    """

    window: int
    spacing: float = 0.5
    blur: float = 0.5
    rank: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if self.window < 1:
            raise InputError(f"occupancy: the window must be at least one frame, not {self.window}.")
        if self.rank not in {1, 2, 3}:
            raise InputError(f"occupancy: the winding rank of a channel is 1, 2 or 3, not {self.rank}.")


def channel_occupancy(trajectory: Trajectory, species: str, settings: OccupancySettings) -> ChannelOccupancy | None:
    """Compare ions inside and outside of the channel; None if the density of the first half does not percolate.

    Intervals are from drawing ions anew; one is None where no ion is on that side, or only one ion in all. At most 200
    evenly spaced origins of the second half count.

    :raises InputError: on an unknown species, or a second half that is no longer than the window.
    """
    half = len(trajectory) // 2
    last = len(trajectory) - 1 - settings.window
    if not 1 <= half <= last:
        raise InputError(
            f"occupancy: half of the {len(trajectory)} frames must be longer than the window of {settings.window}."
        )
    origins = np.unique(np.linspace(half, last, _ORIGINS).astype(np.int64))
    wanted = {*origins.tolist(), *(origins + settings.window).tolist()}
    grid = DensityGrid.for_cell(trajectory.cells[0], settings.spacing)
    later = {}
    frames = zip(host_frame(trajectory, species), trajectory.cells, strict=True)
    for index, (fractional, cell) in enumerate(frames):
        if index < half:
            grid.add_fractional(fractional, cell)
        elif index in wanted:
            later[index] = fractional
    smooth = grid.density(settings.blur)
    levels = sweep(smooth).levels
    if settings.rank not in levels:
        return None
    level = levels[settings.rank].density
    starts = np.stack([later[index] for index in origins.tolist()])
    ends = np.stack([later[index] for index in (origins + settings.window).tolist()])
    moved = np.sum(((ends - starts) @ grid.cell) ** 2, axis=2)
    return _compare(clusters(smooth >= level).channel, level, (starts, moved), settings.seed)


def _compare(
    channel: NDArray[np.bool_],
    level: float,
    paths: tuple[NDArray[np.float64], NDArray[np.float64]],
    seed: int,
) -> ChannelOccupancy:
    starts, moved = paths
    shape = np.array(channel.shape)
    index = np.floor(starts * shape).astype(np.int64) % shape
    flat = np.ravel_multi_index(tuple(np.moveaxis(index, 2, 0)), channel.shape)
    here = _Sides.of(channel, flat, moved)
    generator = np.random.default_rng(seed)
    shifts = generator.integers(shape, size=(_NULLS, 3))
    nulls = [_Sides.of(np.roll(channel, tuple(shift), axis=(0, 1, 2)), flat, moved) for shift in shifts]
    ions = np.arange(flat.shape[1])
    return ChannelOccupancy(
        level=level,
        volume_share=float(channel.mean()),
        time_share=_interval(here.time_share, here, seed),
        msd_inside=_interval(here.inside, here, seed),
        msd_outside=_interval(here.outside, here, seed),
        contrast=_interval(here.contrast, here, seed),
        null_time_share=_quantiles([null.time_share(ions) for null in nulls]),
        null_contrast=_quantiles([null.contrast(ions) for null in nulls]),
    )


@dataclass(frozen=True)
class _Sides:
    """By ion: how often it starts inside and outside, and the sum of its squared displacements from there."""

    n_inside: NDArray[np.float64]
    n_outside: NDArray[np.float64]
    sum_inside: NDArray[np.float64]
    sum_outside: NDArray[np.float64]

    @classmethod
    def of(cls, channel: NDArray[np.bool_], flat: NDArray[np.int64], moved: NDArray[np.float64]) -> Self:
        inside = channel.reshape(-1)[flat].astype(np.float64)
        n_inside, sum_inside = inside.sum(axis=0), (inside * moved).sum(axis=0)
        return cls(n_inside, len(flat) - n_inside, sum_inside, moved.sum(axis=0) - sum_inside)

    def time_share(self, ions: NDArray[np.int64]) -> float:
        return float(self.n_inside[ions].sum() / (self.n_inside[ions] + self.n_outside[ions]).sum())

    def inside(self, ions: NDArray[np.int64]) -> float:
        count = self.n_inside[ions].sum()
        return float(self.sum_inside[ions].sum() / count) if count else float("nan")

    def outside(self, ions: NDArray[np.int64]) -> float:
        count = self.n_outside[ions].sum()
        return float(self.sum_outside[ions].sum() / count) if count else float("nan")

    def contrast(self, ions: NDArray[np.int64]) -> float:
        outside = self.outside(ions)
        return self.inside(ions) / outside if outside > 0 else float("nan")


def _interval(statistic: Callable[[NDArray[np.int64]], float], sides: _Sides, seed: int) -> Interval | None:
    """Return the interval, or None for a statistic without ions on one of the sides."""
    ions = len(sides.n_inside)
    if ions < _TWO or not np.isfinite(statistic(np.arange(ions))):
        return None
    return bootstrap(statistic, ions, seed)


def _quantiles(values: Sequence[float]) -> tuple[float, float, float] | None:
    known = np.array(values)[np.isfinite(values)]
    if not len(known):
        return None
    low, middle, high = np.quantile(known, [0.025, 0.5, 0.975]).tolist()
    return low, middle, high
