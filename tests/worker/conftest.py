"""Analytic members: exact forces through the interface of a trained model."""

import numpy as np
import pytest
from ase.build import bulk

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import Answer, Committee

CUTOFF = 4.0


class PairMember:
    """Lennard-Jones pairs with sigma 2 angstrom, cut and shifted; ``broken_after`` calls it gives no numbers."""

    def __init__(self, epsilon, broken_after=None, before_call=None):
        self.epsilon = epsilon
        self.broken_after = broken_after
        self.before_call = before_call
        self.calls = 0

    def evaluate(self, graph):
        self.calls += 1
        if self.before_call is not None:
            self.before_call(self.calls)
        r2 = np.square(graph.vectors).sum(axis=1)
        sixth = (4.0 / r2) ** 3
        shift = (2.0 / CUTOFF) ** 12 - (2.0 / CUTOFF) ** 6
        energy = 0.5 * np.bincount(graph.first, 4 * self.epsilon * (sixth**2 - sixth - shift), len(graph.numbers))
        slope = 2 * self.epsilon * (6 * sixth - 12 * sixth**2) / r2
        factor = np.nan if self.broken_after is not None and self.calls > self.broken_after else 1.0
        crowded = np.bincount(graph.first, sixth**2, len(graph.numbers))[:, None]
        return Answer(factor * energy, factor * slope[:, None] * graph.vectors, crowded)


@pytest.fixture
def pair_committee():
    """Return a function that makes a committee of pair members; by default they differ by a few percent."""

    def _make(*members):
        return Committee(members or [PairMember(0.2), PairMember(0.21), PairMember(0.19)], CUTOFF, ["O"])

    return _make


@pytest.fixture
def pair_member():
    """The class itself, for members with faults."""
    return PairMember


@pytest.fixture
def crystals():
    """Return a function that makes rattled close-packed cells near the minimum of the pair potential."""

    def _make(count=1, repeat=(2, 2, 2), seed=0):
        frames = [bulk("O", "fcc", a=3.15, cubic=True).repeat(repeat) for _ in range(count)]
        for index, atoms in enumerate(frames):
            atoms.rattle(0.03, seed=seed + index)
        return FrameSet.from_atoms(frames)

    return _make
