"""All partial radial distribution functions in one pass over the pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.statistics import Curve, FloatArray, RunningBlocks
from aiida_nvp.analysis.structure.species import check_same, index_of, pair_names, species_of, symbol_of
from aiida_nvp.common.errors import InputError


@dataclass(frozen=True)
class PartialRdf:
    """One partial radial distribution function on B bins.

    :param g: (B,) mean over frames; 1 where the pairs are as frequent as in an ideal gas of the same atoms.
    :param error: (B,) standard error by blocks of frames.
    :param pairs: (B,) unordered pairs per frame, whose sum is the number of pairs within ``r_max``.
    """

    g: FloatArray
    error: FloatArray
    pairs: FloatArray


@dataclass(frozen=True)
class Rdf:
    """All partials of a run.

    :param r: (B,) bin centres in angstrom.
    :param edges: (B + 1,) bin edges in angstrom.
    :param partials: by pair name, the heavier species first (``P-O``).
    :param coordination: by ordered pair ``centre-ligand``: (B,) mean number of ligands of a centre nearer than the
        upper edge of the bin, the running coordination number n(r).
    :param composition: atoms of each species.
    :param density: mean number density in atoms per cubic angstrom.
    """

    r: FloatArray
    edges: FloatArray
    partials: dict[str, PartialRdf]
    coordination: dict[str, Curve]
    composition: dict[str, int]
    density: float

    @property
    def r_max(self) -> float:
        """End of the last bin, at most half the smallest perpendicular width of any cell."""
        return float(self.edges[-1])


class RadialDistribution:
    """Accumulates all partial g(r).

    Counts are divided by the exact shell volume and by N_a N_b / V, or N_a (N_a - 1) / 2V for like species, so that an
    ideal gas gives 1 at every size. A species with a single atom has no partial with itself.

    :param numbers: (N,) atomic numbers of every frame.
    :param bin_width: angstrom.
    :param r_max: angstrom; by default half the smallest perpendicular width of the cell, and where cells differ that of
        the smallest.
    :raises InputError: if the bin or the range is not positive.
    """

    def __init__(self, numbers: NDArray[Any], bin_width: float = 0.02, r_max: float | None = None) -> None:
        if not bin_width > 0 or (r_max is not None and not r_max > bin_width):
            raise InputError(
                f"bin_width must lie between 0 and the end of the range; it is {bin_width} with r_max {r_max}."
            )
        self._numbers = np.asarray(numbers)
        self._width, self._asked, self._limit, self._bins = bin_width, r_max, np.inf, 0
        self._names = pair_names(self._numbers)
        index = index_of(self._numbers)
        self._order = np.argsort(index, kind="stable")
        self._starts = np.searchsorted(index[self._order], np.arange(len(species_of(self._numbers)) + 1))
        self._blocks = RunningBlocks()
        self._inverse_volume = RunningBlocks()

    def add(self, frame: Frame) -> None:
        """Count the pairs of one frame.

        :raises InputError: if the range exceeds half the cell, the bin does not fit, or the atoms are others.
        """
        check_same(self._numbers, frame.numbers)
        half = 0.5 * float(frame.widths.min())
        if not self._bins:
            self._bins = int((half if self._asked is None else self._asked) / self._width + 1e-9)
        if self._width > half:
            raise InputError(
                f"bin_width must lie between 0 and {half:.3g} angstrom, half the cell; it is {self._width}."
            )
        if self._asked is not None and self._asked > half + 1e-9:
            raise InputError(
                f"g(r) reaches at most half the cell, {half:.3g} angstrom; r_max is {self._asked}: make it smaller."
            )
        # What a smaller cell miscounts beyond its half lies beyond the limit and is dropped in the end.
        self._limit = min(self._limit, half)
        columns = np.ascontiguousarray(frame.fractional[self._order].T, dtype=np.float32)
        # Rotating the cell to triangular form leaves distances alone and saves three products a pair.
        box = np.linalg.qr(frame.cell.T)[1].T.astype(np.float32)
        table = _count_pairs(columns, self._starts, box, self._bins, np.float32(1 / self._width))
        upper = np.triu_indices(len(table))
        counts = table[upper].astype(np.float64)
        self._blocks.add(np.stack([counts * frame.volume, counts]))
        self._inverse_volume.add(1 / frame.volume)

    @property
    def bins(self) -> int:
        """Bins that every frame so far fills."""
        return min(self._bins, int(min(self._limit, np.inf) / self._width + 1e-9)) if self._bins else 0

    def curve(self, function: Callable[[FloatArray], FloatArray]) -> Curve:
        """Return ``function`` of the (pairs, B) array of all g(r), in the order of ``pair_names``, with its error."""
        scale = self._scale()
        return self._blocks.curve(lambda counts: function(counts[0, :, : self.bins] * scale))

    def result(self) -> Rdf:
        """Return the means over the frames so far.

        :raises InputError: if there was none.
        """
        pairs = self._blocks.total[1, :, : self.bins] / self._blocks.samples
        curve = self.curve(lambda g: g)
        edges = self.edges
        partials = {
            name: PartialRdf(curve.mean[row], curve.error[row], pairs[row])
            for row, name in enumerate(self._names.values())
            if self._possible()[row]
        }
        species = species_of(self._numbers)
        return Rdf(
            r=0.5 * (edges[:-1] + edges[1:]),
            edges=edges,
            partials=partials,
            coordination=self._coordination(),
            composition={symbol_of(number): int((self._numbers == number).sum()) for number in species},
            density=len(self._numbers) * self._inverse_volume.number().mean,
        )

    @property
    def edges(self) -> FloatArray:
        """(B + 1,) bin edges in angstrom."""
        return np.arange(self.bins + 1, dtype=np.float64) * self._width

    def _coordination(self) -> dict[str, Curve]:
        running = self._blocks.curve(lambda counts: np.cumsum(counts[1, :, : self.bins], axis=1))
        found = {}
        for row, (a, b) in enumerate(self._names):
            for centre, ligand in dict.fromkeys([(a, b), (b, a)]):
                scale = (2 if a == b else 1) / int((self._numbers == centre).sum())
                name = f"{symbol_of(centre)}-{symbol_of(ligand)}"
                found[name] = Curve(running.mean[row] * scale, running.error[row] * scale)
        return found

    def _possible(self) -> FloatArray:
        """Return (pairs,) the unordered pairs of atoms that each pair of species has."""
        count = {number: int((self._numbers == number).sum()) for number in species_of(self._numbers)}
        return np.array([count[a] * (count[a] - 1) / 2 if a == b else count[a] * count[b] for a, b in self._names])

    def _scale(self) -> FloatArray:
        shells = 4 / 3 * np.pi * np.diff(self.edges**3)
        possible = np.maximum(self._possible(), 1e-300)[:, None]
        scale: FloatArray = 1 / (possible * shells)
        return np.where(self._possible()[:, None] > 0, scale, 0.0)


def first_minimum(r: FloatArray, g: FloatArray, smoothing: float = 0.05) -> float | None:
    """Return where the first shell ends: the lowest g(r) between the highest peak and the next return to 1.

    The highest peak, not the first, because a shell may be split, as that of vanadium in short and long bonds. None if
    there is no peak above 1.

    :param smoothing: standard deviation in angstrom of the Gaussian that takes counting noise off first.
    """
    smooth = gaussian_filter1d(g, smoothing / (r[1] - r[0]))
    top = int(np.argmax(smooth))
    if not smooth[top] > 1:
        return None
    below = np.flatnonzero(smooth[top:] < 1)
    if not len(below):
        return None
    back = np.flatnonzero(smooth[top + below[0] :] >= 1)
    end = top + below[0] + int(back[0]) if len(back) else len(g)
    return float(r[top + int(np.argmin(smooth[top:end]))])


@numba.njit(cache=True, fastmath=True)
def _count_pairs(
    fractional: NDArray[Any], starts: NDArray[Any], cell: NDArray[Any], bins: int, scale: np.float32
) -> NDArray[Any]:
    """Histogram all minimum-image distances of atoms sorted by species; (species, species, bins), upper triangle.

    Rounding fractional differences gives the nearest image of every pair closer than half the perpendicular width.
    """
    atoms, species = fractional.shape[1], len(starts) - 1
    counts = np.zeros((species, species, bins + 1), dtype=np.int64)
    slot = np.empty(atoms, dtype=np.int32)
    x, y, z = fractional[0], fractional[1], fractional[2]
    xx, yx, yy, zx, zy, zz = cell[0, 0], cell[1, 0], cell[1, 1], cell[2, 0], cell[2, 1], cell[2, 2]
    end = np.float32(bins)
    for a in range(species):
        for i in range(starts[a], starts[a + 1]):
            # Distances first, histogram after: the first loop has no branch and no scatter, so it vectorises.
            for j in range(i + 1, atoms):
                u = x[j] - x[i]
                v = y[j] - y[i]
                w = z[j] - z[i]
                u -= np.rint(u)
                v -= np.rint(v)
                w -= np.rint(w)
                dx = u * xx + v * yx + w * zx
                dy = v * yy + w * zy
                dz = w * zz
                slot[j] = np.int32(min(np.sqrt(dx * dx + dy * dy + dz * dz) * scale, end))
            for b in range(a, species):
                row = counts[a, b]
                for j in range(max(i + 1, starts[b]), starts[b + 1]):
                    row[slot[j]] += 1
    return counts[:, :, :bins]
