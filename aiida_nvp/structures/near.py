"""Neighbour pairs of a large cell that is being relaxed, kept until an atom has moved too far for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SKIN: Final = 0.9
"""Angstrom beyond the cutoff up to which pairs are kept: fewer searches against more pairs to look through."""


@dataclass
class NearPairs:
    """Pairs of a cubic cell, each once, that may touch; the edge is more than twice the longest contact and the skin.

    :param edge: angstrom.
    :param kinds: (N,) species of each atom; ``contact``: (S, S) angstrom.
    """

    edge: float
    kinds: IntArray
    contact: FloatArray
    _reference: FloatArray | None = None
    _first: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _second: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _shift: FloatArray = field(default_factory=lambda: np.empty((0, 3)))
    _contact: FloatArray = field(default_factory=lambda: np.empty(0))

    def touching(self, positions: FloatArray) -> tuple[IntArray, IntArray, FloatArray, FloatArray]:
        """Return both atoms of the pairs that touch, the vectors (P, 3) between them, and their contacts."""
        if self._reference is None or np.square(positions - self._reference).sum(axis=1).max() > (0.5 * SKIN) ** 2:
            self._search(positions)
        apart = positions[self._second] - positions[self._first] + self._shift
        # Few of the pairs touch: what comes after looks at those alone.
        near = np.flatnonzero(np.einsum("ij,ij->i", apart, apart) < self._contact**2)
        return self._first[near], self._second[near], apart[near], self._contact[near]

    def _search(self, positions: FloatArray) -> None:
        tree = cKDTree(np.mod(positions, self.edge), boxsize=self.edge * (1.0 + 1e-12))
        pairs = tree.query_pairs(float(self.contact.max()) + SKIN, output_type="ndarray")
        first, second = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
        apart = positions[second] - positions[first]
        shift = -self.edge * np.rint(apart / self.edge)
        contact = self.contact[self.kinds[first], self.kinds[second]]
        keep = np.flatnonzero(np.square(apart + shift).sum(axis=1) < (contact + SKIN) ** 2)
        self._first, self._second, self._shift, self._contact = first[keep], second[keep], shift[keep], contact[keep]
        self._reference = positions.copy()
