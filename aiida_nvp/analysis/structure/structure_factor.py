"""Structure factors: the sum over atoms at the reciprocal lattice of the cell, and the transform of g(r).

The sum has no truncation error and is right for small Q, where the transform is not; for large Q it costs more and is
noisy. Where both are good they agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numba
import numpy as np
from numpy.typing import NDArray

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.statistics import Curve, FloatArray, RunningBlocks, ratio
from aiida_nvp.analysis.structure.conventions import Convention, correlations_of, partials_of, total_of
from aiida_nvp.analysis.structure.rdf import Rdf
from aiida_nvp.analysis.structure.scattering import form_factors, neutron_lengths
from aiida_nvp.analysis.structure.species import check_same, index_of, pair_names, species_of, symbol_of
from aiida_nvp.common.errors import InputError

IntArray = NDArray[np.int64]
Radiation = Literal["neutron", "x-ray"]
_ATOMS_AT_ONCE = 256
_NUMBER = "N"


def weights_of(species: list[int], q: FloatArray, radiation: Radiation) -> FloatArray:
    """Return (S, Q) scattering lengths in fm, or form factors in electrons.

    :raises InputError: on another radiation or an element without a table.
    """
    if radiation == "neutron":
        return np.repeat(neutron_lengths(species)[:, None], len(q), axis=1)
    if radiation == "x-ray":
        return form_factors(species, q)
    raise InputError(f"radiation {radiation!r} is unknown; known are neutron and x-ray.")


class StructureFactor:
    """Accumulates <rho_a rho_b*> / N on bins of Q, from vectors of the reciprocal lattice.

    A bin with more vectors than ``per_bin`` is sampled, with other vectors in each frame: a glass at rest has a
    pattern of speckles that the same vectors would show again and again.

    :param numbers: (N,) atomic numbers of every frame.
    :param q_max: end of the range in 1/angstrom.
    :param bin_width: 1/angstrom.
    :param per_bin: vectors of a bin and frame.
    :param rng: draws the vectors.
    :raises InputError: if the range, the bin or the number is not positive.
    """

    def __init__(
        self,
        numbers: NDArray[Any],
        rng: np.random.Generator,
        q_max: float = 20.0,
        bin_width: float = 0.05,
        per_bin: int = 48,
    ) -> None:
        if not 0 < bin_width < q_max or per_bin < 1:
            raise InputError(
                f"S(Q) needs 0 < bin_width < q_max and per_bin > 0; they are {bin_width}, {q_max} and {per_bin}."
            )
        self._numbers, self._rng = np.asarray(numbers), rng
        self._width, self._bins, self._per_bin = bin_width, int(q_max / bin_width + 1e-9), per_bin
        self._species = species_of(self._numbers)
        index = index_of(self._numbers)
        self._order = np.argsort(index, kind="stable")
        self._starts = np.searchsorted(index[self._order], np.arange(len(self._species) + 1))
        self._blocks = RunningBlocks()

    @property
    def species(self) -> list[int]:
        """Atomic numbers, in the order of the partials."""
        return self._species

    @property
    def shares(self) -> FloatArray:
        """(S,) share of each species."""
        shares: FloatArray = np.diff(self._starts) / len(self._numbers)
        return shares

    def add(self, frame: Frame) -> None:
        """Sum over the atoms of one frame.

        :raises InputError: if the atoms are others.
        """
        check_same(self._numbers, frame.numbers)
        reciprocal = np.asarray(2 * np.pi * np.linalg.inv(frame.cell).T, dtype=np.float64)
        vectors = reciprocal_vectors(reciprocal, self._bins, self._width, self._per_bin, self._rng)
        length = np.linalg.norm(vectors @ reciprocal, axis=1)
        place = np.minimum((length / self._width).astype(np.int64), self._bins - 1)
        density = densities(frame.fractional[self._order], self._starts, vectors)
        pairs = np.triu_indices(len(self._species))
        products = (density[:, pairs[0]] * density[:, pairs[1]].conj()).real / len(self._numbers)
        columns = [np.ones(len(vectors)), length, *products.T]
        self._blocks.add(np.stack([np.bincount(place, column, self._bins) for column in columns]))

    def _correlations(self, sums: FloatArray, filled: NDArray[Any]) -> FloatArray:
        values = ratio(sums[2:, filled], sums[0, filled])
        table = np.empty((len(self._species),) * 2 + (values.shape[1],))
        rows, columns = np.triu_indices(len(self._species))
        table[rows, columns] = table[columns, rows] = values
        return table

    @property
    def _filled(self) -> NDArray[Any]:
        return np.flatnonzero(self._blocks.total[0] > 0)

    @property
    def q(self) -> FloatArray:
        """(Q,) mean length of the vectors in each bin that has any, in 1/angstrom."""
        total = self._blocks.total
        return np.asarray(ratio(total[1, self._filled], total[0, self._filled]))

    @property
    def vectors(self) -> FloatArray:
        """(Q,) vectors of each bin and frame; S(Q) of one frame scatters by its value over their square root."""
        return np.asarray(self._blocks.total[0, self._filled] / self._blocks.samples)

    def partials(self, convention: Convention = "faber-ziman") -> dict[str, Curve]:
        """Return by pair, the heavier species first, the partials with errors; ``N`` stands for numbers.

        :raises InputError: on an unknown convention, or if there was no frame.
        """
        filled, shares = self._filled, self.shares
        curve = self._blocks.curve(lambda sums: partials_of(self._correlations(sums, filled), shares, convention))
        names = [_NUMBER] * (len(curve.mean) - len(self._species)) + [symbol_of(number) for number in self._species]
        return {
            f"{names[a]}-{names[b]}": Curve(curve.mean[a, b], curve.error[a, b])
            for a, b in zip(*np.triu_indices(len(names)), strict=True)
        }

    def total(self, radiation: Radiation, convention: Convention = "faber-ziman") -> Curve:
        """Return the total structure factor of an experiment with errors.

        :raises InputError: on an unknown name, an element without a table, or if there was no frame.
        """
        filled, shares, weights = self._filled, self.shares, weights_of(self._species, self.q, radiation)
        return self._blocks.curve(lambda sums: total_of(self._correlations(sums, filled), shares, weights, convention))


@dataclass(frozen=True)
class Transformed:
    """Structure factors from g(r).

    :param q: (Q,) 1/angstrom.
    :param species: (S,) atomic numbers, the heaviest first.
    :param shares: (S,) their shares.
    :param correlations: (S, S, Q) <rho_a rho_b*> / N, without the forward peak.
    """

    q: FloatArray
    species: list[int]
    shares: FloatArray
    correlations: FloatArray

    def total(self, radiation: Radiation, convention: Convention = "faber-ziman") -> FloatArray:
        """Return the (Q,) total structure factor of an experiment.

        :raises InputError: on an unknown name or an element without a table.
        """
        weights = weights_of(self.species, self.q, radiation)
        return total_of(self.correlations, self.shares, weights, convention)


def from_rdf(rdf: Rdf, numbers: NDArray[Any], q: FloatArray, window: Literal["none", "lorch"] = "lorch") -> Transformed:
    """Return S_ab(Q) = 1 + 4 pi rho int r^2 (g_ab - 1) sin(Qr) / (Qr) M(r) dr, by Faber-Ziman inside.

    :param numbers: (N,) atomic numbers.
    :param q: (Q,) 1/angstrom, positive.
    :param window: M(r) = sin(pi r / r_max) / (pi r / r_max) takes the ripples of the end of g(r) away (Lorch 1969,
        DOI 10.1088/0022-3719/2/2/305) and blurs S(Q) by 5.4 / r_max; or none.
    """
    species = species_of(numbers)
    damping = np.sinc(rdf.r / rdf.r_max) if window == "lorch" else np.ones_like(rdf.r)
    kernel = np.sinc(np.multiply.outer(rdf.r, q) / np.pi) * (4 * np.pi * rdf.density * rdf.r**2 * damping)[:, None]
    kernel *= np.diff(rdf.edges)[:, None]
    table = np.ones((len(species), len(species), len(q)))
    for (first, second), name in pair_names(numbers).items():
        a, b = species.index(first), species.index(second)
        if name in rdf.partials:
            # The g(r) of like atoms is that of pairs of two, and an atom has N_a - 1 others.
            others = 1 - (1 / (numbers == first).sum() if a == b else 0.0)
            table[a, b] = table[b, a] = 1 + others * ((rdf.partials[name].g - 1) @ kernel)
    shares = np.array([(np.asarray(numbers) == number).mean() for number in species])
    return Transformed(np.asarray(q), species, shares, correlations_of(table, shares))


def reciprocal_vectors(
    reciprocal: FloatArray, bins: int, width: float, per_bin: int, rng: np.random.Generator
) -> IntArray:
    """Return (V, 3) indices of vectors of one half of reciprocal space, at most about ``per_bin`` in each bin.

    :param reciprocal: (3, 3) 1/angstrom, rows are vectors, with the factor 2 pi.
    :param bins: number of bins of ``width`` from zero.
    """
    density = 0.5 / abs(np.linalg.det(reciprocal))
    # Up to here all vectors are listed; further out directions are drawn and moved to the nearest vector.
    edge = min(bins * width, max(np.sqrt(4 * per_bin / (4 * np.pi * density * width)), 4 * width))
    listed = _half_space(reciprocal, edge)
    place = (np.linalg.norm(listed @ reciprocal, axis=1) / width).astype(np.int64)
    order = rng.permutation(len(listed))
    order = order[np.argsort(place[order], kind="stable")]
    first = np.searchsorted(place[order], place[order])
    chosen = order[np.arange(len(order)) - first < per_bin]
    start = int(edge / width + 1e-9)
    chosen = chosen[place[chosen] < start]
    # A bin beyond each end gives its neighbour as many vectors as it takes.
    wanted = np.repeat(np.arange(max(start - 1, 0), bins + 1), per_bin if start < bins else 0)
    drawn = _drawn(reciprocal, wanted, width, rng)
    found = np.linalg.norm(drawn @ reciprocal, axis=1) / width
    return np.concatenate([listed[chosen], drawn[(found >= start) & (found < bins)]])


def _half_space(reciprocal: FloatArray, radius: float) -> IntArray:
    # |h| <= radius |a| / 2 pi, with a the cell vector.
    limits = (radius * np.linalg.norm(np.linalg.inv(reciprocal), axis=0) + 1e-9).astype(np.int64)
    ranges = [np.arange(limits[0] + 1), *(np.arange(-limit, limit + 1) for limit in limits[1:])]
    indices = np.stack([axis.ravel() for axis in np.meshgrid(*ranges, indexing="ij")], axis=1)
    indices = indices[_ahead(indices)]
    inside: IntArray = indices[np.linalg.norm(indices @ reciprocal, axis=1) < radius]
    return inside


def _ahead(indices: IntArray) -> NDArray[np.bool_]:
    """Return (V,) which of each vector and its opposite counts."""
    h, k, m = indices.T
    ahead: NDArray[np.bool_] = (h > 0) | ((h == 0) & ((k > 0) | ((k == 0) & (m > 0))))
    return ahead


def _drawn(reciprocal: FloatArray, place: IntArray, width: float, rng: np.random.Generator) -> IntArray:
    """Return (V, 3) distinct vectors next to random points, one in the shell of each ``place``."""
    inner, outer = (place * width) ** 3, ((place + 1) * width) ** 3
    length = (inner + rng.random(len(place)) * (outer - inner)) ** (1 / 3)
    point = rng.normal(size=(len(place), 3))
    point *= (length / np.linalg.norm(point, axis=1))[:, None]
    indices = np.rint(point @ np.linalg.inv(reciprocal)).astype(np.int64)
    distinct: IntArray = np.unique(np.where(_ahead(indices)[:, None], indices, -indices), axis=0)
    return distinct


def densities(fractional: FloatArray, starts: IntArray, vectors: IntArray) -> NDArray[np.complex128]:
    """Return (V, S) sums of exp(i Q r) over the atoms of each species.

    :param fractional: (N, 3) coordinates along the cell vectors, sorted by species.
    :param starts: (S + 1,) where each species begins.
    :param vectors: (V, 3) indices of reciprocal vectors.
    """
    largest = np.abs(vectors).max(axis=0, initial=0).astype(np.int64)
    return np.asarray(_densities(fractional, starts, vectors, largest))


@numba.njit(cache=True)
def _phases(column: NDArray[Any], largest: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cosine and sine of 2 pi n x for -largest <= n <= largest, in single precision from a double recurrence."""
    atoms = len(column)
    cosine = np.empty((2 * largest + 1, atoms), dtype=np.float32)
    sine = np.empty((2 * largest + 1, atoms), dtype=np.float32)
    for i in range(atoms):
        c, s = np.cos(2 * np.pi * column[i]), np.sin(2 * np.pi * column[i])
        x, y = 1.0, 0.0
        for n in range(largest + 1):
            cosine[largest + n, i] = cosine[largest - n, i] = x
            sine[largest + n, i] = y
            sine[largest - n, i] = -y
            x, y = x * c - y * s, x * s + y * c
    return cosine, sine


@numba.njit(cache=True, fastmath=True)
def _densities(
    fractional: NDArray[Any], starts: NDArray[Any], vectors: NDArray[Any], largest: NDArray[Any]
) -> NDArray[Any]:
    species, count = len(starts) - 1, len(vectors)
    total = np.zeros((count, species), dtype=np.complex128)
    for a in range(species):
        for begin in range(starts[a], starts[a + 1], _ATOMS_AT_ONCE):
            end = min(begin + _ATOMS_AT_ONCE, starts[a + 1])
            cx, sx = _phases(fractional[begin:end, 0], largest[0])
            cy, sy = _phases(fractional[begin:end, 1], largest[1])
            cz, sz = _phases(fractional[begin:end, 2], largest[2])
            for v in range(count):
                h, k, m = vectors[v, 0] + largest[0], vectors[v, 1] + largest[1], vectors[v, 2] + largest[2]
                ax, bx, ay, by, az, bz = cx[h], sx[h], cy[k], sy[k], cz[m], sz[m]
                real, imaginary = np.float32(0), np.float32(0)
                for i in range(end - begin):
                    c = ax[i] * ay[i] - bx[i] * by[i]
                    s = ax[i] * by[i] + bx[i] * ay[i]
                    real += c * az[i] - s * bz[i]
                    imaginary += c * bz[i] + s * az[i]
                total[v, a] += complex(real, imaginary)
    return total
