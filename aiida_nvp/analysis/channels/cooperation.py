"""Whether mobile ions move together: clusters of neighbours and strings of replacements, against a random choice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numba
import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.channels.density import host_frame
from aiida_nvp.analysis.channels.winding import join, make_forest, pack, rank
from aiida_nvp.analysis.statistics import block_average
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import Pairs, find_pairs
from aiida_nvp.common.trajectory import Trajectory


@dataclass(frozen=True)
class CooperationSettings:
    """What counts as mobile, as neighbour and as replacement.

    :param window: t* in frames, for example where the non-Gaussian parameter is largest.
    :param neighbour_distance: angstrom; the first minimum of g(r) of the species with itself.
    :param replacement_distance: angstrom; an ion that comes this close to where another was has taken its place. About
        0.6 of the distance of neighbours (Donati et al. 1998, DOI 10.1103/PhysRevLett.80.2338).
    :param top_share: share of the ions with the largest displacement that counts as mobile.
    :param origins: time origins, evenly spaced.
    :param draws: random selections by origin.
    :param seed: of the selections.
    :raises InputError: on a value out of range.
    """

    window: int
    neighbour_distance: float
    replacement_distance: float
    top_share: float = 0.1
    origins: int = 50
    draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        for name in ("window", "neighbour_distance", "replacement_distance", "origins", "draws"):
            if not getattr(self, name) > 0:
                raise InputError(f"cooperation: `{name}` must be positive; it is {getattr(self, name)}.")
        if not 0 < self.top_share < 1:
            raise InputError(f"cooperation: `top_share` is a share between 0 and 1, not {self.top_share}.")


@dataclass(frozen=True)
class Cooperation:
    """Against what a random choice of as many ions shows; errors from blocks of time origins.

    :param n_mobile: ions that count as mobile.
    :param cluster_size: mean number of ions in the cluster of a mobile ion, with its standard error.
    :param null_cluster_size: the same of random ions.
    :param cluster_sizes: number of clusters of each size over all origins.
    :param largest_cluster: mean size of the largest cluster, with its error; ``null_largest_cluster`` of random ions.
    :param spanning_share: share of the origins at which a cluster winds around the cell; ``null_spanning_share``.
    :param string_length: mean number of ions in the string of a mobile ion, with its error; a lone ion is one.
    :param null_string_length: the same of random ions.
    :param string_lengths: number of strings of each length over all origins.
    """

    n_mobile: int
    cluster_size: tuple[float, float]
    null_cluster_size: tuple[float, float]
    cluster_sizes: dict[int, int]
    largest_cluster: tuple[float, float]
    null_largest_cluster: tuple[float, float]
    spanning_share: tuple[float, float]
    null_spanning_share: tuple[float, float]
    string_length: tuple[float, float]
    null_string_length: tuple[float, float]
    string_lengths: dict[int, int]


def cooperation(trajectory: Trajectory, species: str, settings: CooperationSettings) -> Cooperation:
    """Return clusters and strings of the mobile ions of a species, seen from the rest of the atoms.

    :raises InputError: on an unknown species, a window that does not fit, or too few ions for two mobile ones.
    """
    last = len(trajectory) - 1 - settings.window
    if last < 0:
        raise InputError(f"cooperation: a window of {settings.window} frames does not fit into {len(trajectory)}.")
    origins = np.unique(np.linspace(0, last, settings.origins).astype(np.int64))
    wanted = {*origins.tolist(), *(origins + settings.window).tolist()}
    kept = {index: here for index, here in enumerate(host_frame(trajectory, species)) if index in wanted}
    ions = len(kept[0])
    mobile = round(settings.top_share * ions)
    if mobile < len(("one", "other")):
        raise InputError(
            f"cooperation: a share of {settings.top_share:g} of {ions} ions of {species} is {mobile}; two are needed."
        )
    cell = trajectory.cells.mean(axis=0)
    generator = np.random.default_rng(settings.seed)
    found, nulls = [], []
    for origin in origins.tolist():
        start, end = kept[origin], kept[origin + settings.window]
        step = _Step.of(start, end, cell, settings)
        moved = np.sum(((end - start) @ cell) ** 2, axis=1)
        chosen = np.argsort(-moved, kind="stable")[:mobile]
        found.append(_Groups.of(step, chosen, ions))
        draws = [generator.choice(ions, mobile, replace=False) for _ in range(settings.draws)]
        nulls.append([_Groups.of(step, draw, ions) for draw in draws])
    return _summary(mobile, found, nulls)


@dataclass(frozen=True)
class _Links:
    """P pairs of ions and the (P, 3) periodic cells from the first to the second."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    cells: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Pairs, chosen: NDArray[np.bool_], ions: int) -> Self:
        return cls(
            pairs.first[chosen] % ions,
            pairs.second[chosen] % ions,
            np.rint(pairs.shift[chosen]).astype(np.int64),
        )


@dataclass(frozen=True)
class _Step:
    """Neighbours at the start of a window, and who has taken whose place at its end."""

    neighbours: _Links
    replacements: _Links

    @classmethod
    def of(
        cls, start: NDArray[np.float64], end: NDArray[np.float64], cell: NDArray[np.float64], how: CooperationSettings
    ) -> Self:
        ions = len(start)
        near = find_pairs(start @ cell, cell, how.neighbour_distance, half=True)
        both = find_pairs(np.concatenate([start, end]) @ cell, cell, how.replacement_distance)
        taken = (both.first < ions) & (both.second >= ions) & (both.first != both.second - ions)
        return cls(_Links.of(near, np.ones(len(near.first), dtype=np.bool_), ions), _Links.of(both, taken, ions))


@dataclass(frozen=True)
class _Groups:
    """Sizes of the clusters and strings of some ions, and whether a cluster winds around the cell."""

    clusters: NDArray[np.int64]
    strings: NDArray[np.int64]
    spans: bool

    @classmethod
    def of(cls, step: _Step, chosen: NDArray[np.int64], ions: int) -> Self:
        node = np.full(ions, -1, dtype=np.int64)
        node[chosen] = np.arange(len(chosen))
        near, taken = step.neighbours, step.replacements
        clusters, winding = _components(node, near.first, near.second, near.cells)
        strings, _ = _components(node, taken.first, taken.second, taken.cells)
        return cls(clusters, strings, winding > 0)


@numba.njit(cache=True)
def _components(
    node: NDArray[Any], first: NDArray[Any], second: NDArray[Any], cells: NDArray[Any]
) -> tuple[NDArray[Any], int]:
    """Return the sizes of the components of the ions with a node, and the largest winding rank among them."""
    forest = make_forest(int((node >= 0).sum()))
    winding = 0
    for pair in range(len(first)):
        a, b = node[first[pair]], node[second[pair]]
        if a >= 0 and b >= 0:
            root, _ = join(forest, a, b, pack(cells[pair, 0], cells[pair, 1], cells[pair, 2]))
            winding = max(winding, rank(forest.basis[root]))
    roots = np.array([n for n in range(len(forest.parent)) if forest.parent[n] == n], dtype=np.int64)
    return forest.size[roots].astype(np.int64), winding


def _summary(mobile: int, found: Sequence[_Groups], nulls: Sequence[Sequence[_Groups]]) -> Cooperation:
    def compare(measure: Callable[[_Groups], float]) -> tuple[tuple[float, float], tuple[float, float]]:
        ours = block_average(np.array([measure(groups) for groups in found]))
        theirs = block_average(np.array([np.mean([measure(groups) for groups in draws]) for draws in nulls]))
        return (float(ours[0]), float(ours[1])), (float(theirs[0]), float(theirs[1]))

    cluster_size, null_cluster_size = compare(lambda groups: _around_an_ion(groups.clusters))
    largest, null_largest = compare(lambda groups: float(groups.clusters.max()))
    spanning, null_spanning = compare(lambda groups: float(groups.spans))
    length, null_length = compare(lambda groups: _around_an_ion(groups.strings))
    return Cooperation(
        n_mobile=mobile,
        cluster_size=cluster_size,
        null_cluster_size=null_cluster_size,
        cluster_sizes=_histogram([groups.clusters for groups in found]),
        largest_cluster=largest,
        null_largest_cluster=null_largest,
        spanning_share=spanning,
        null_spanning_share=null_spanning,
        string_length=length,
        null_string_length=null_length,
        string_lengths=_histogram([groups.strings for groups in found]),
    )


def _around_an_ion(sizes: NDArray[np.int64]) -> float:
    return float((sizes**2).sum() / sizes.sum())


def _histogram(sizes: Sequence[NDArray[np.int64]]) -> dict[int, int]:
    values, counts = np.unique(np.concatenate(sizes), return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
