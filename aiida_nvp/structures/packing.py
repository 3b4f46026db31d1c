"""Random cells of a glass at a given density, with sane bonds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from aiida_nvp.common.elements import ANION, CATIONS
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import find_pairs
from aiida_nvp.structures.composition import Composition
from aiida_nvp.structures.toy import KEEP_PAIRS_FROM, Bonds, Table, assign_bonds, relax

FloatArray = NDArray[np.float64]

ROUNDS: Final = 8
"""Times that bonds are assigned anew and relaxed; with each, the search for oxygens narrows."""
EXTRA_ROUNDS: Final = 6
"""More rounds, taken only while atoms overlap or rigid cations lack a neighbour."""
STEPS: Final = 120
HURRIED_STEPS: Final = 50
REACHES: Final = (2.6, 1.4)
"""Search radius of the first and last round in units of the bond length."""
STARTS: Final = 12
SHELL: Final = 1.35
"""An oxygen nearer than this times the bond length is counted as neighbour (2.1 angstrom around P)."""
RIGID_SHARE: Final = 0.95
DENSEST_ATOMS_PER_ANGSTROM3: Final = 0.16
DENSITY_STEP: Final = 0.93
DENSITY_TRIALS: Final = 25


@dataclass(frozen=True)
class _Packed:
    positions: FloatArray
    energy: float
    fits: bool
    rigid_share: float


def pack(
    composition: Composition,
    density_g_cm3: float,
    seed: int | Sequence[int],
    minimum: Mapping[str, float] | None = None,
) -> Atoms:
    """Return a cubic cell at the density, atoms sorted by species in the order of the composition.

    Points are drawn at random; every cation is given its usual number of nearest oxygens; bonds and contacts are
    relaxed; bonds are assigned anew, and so on. The first start with sane bonds is kept. Equal arguments give equal
    cells.

    :param seed: a seed or a sequence of them, as of :func:`numpy.random.default_rng`.
    :param minimum: shortest distances that replace the usual ones, for example ``{"O-O": 2.2}``.
    :raises InputError: if the density is not positive or the atoms do not fit; the message names a density that works.
    """
    if not density_g_cm3 > 0:
        raise InputError(f"a density of {density_g_cm3:g} g/cm3 is impossible; oxide glasses have 2 to 6 g/cm3.")
    shortest = _check_minimum(composition, minimum or {})
    if composition.number_density(density_g_cm3) < DENSEST_ATOMS_PER_ANGSTROM3:
        packed = _best(composition, density_g_cm3, seed, shortest)
        if packed is not None:
            return _to_atoms(composition, density_g_cm3, packed)
    raise InputError(_too_dense(composition, density_g_cm3, seed, shortest))


def _best(
    composition: Composition, density: float, seed: int | Sequence[int], minimum: Mapping[str, float]
) -> _Packed | None:
    rng = np.random.default_rng(seed)
    trials = []
    for _ in range(STARTS):
        trial = _one_start(composition, density, rng, minimum)
        trials.append(trial)
        # The first good one, not the best of many: in a tiny cell the best is always the same one.
        if trial.fits and trial.rigid_share >= RIGID_SHARE:
            break
    fitting = [trial for trial in trials if trial.fits]
    return max(fitting, key=lambda trial: (trial.rigid_share >= RIGID_SHARE, -trial.energy), default=None)


def _one_start(
    composition: Composition, density: float, rng: np.random.Generator, minimum: Mapping[str, float]
) -> _Packed:
    symbols = composition.symbols
    table = Table.of(symbols, minimum)
    edge = composition.volume(density) ** (1 / 3)
    cell = np.eye(3) * edge
    positions, energy = relax(rng.random((len(symbols), 3)) * edge, cell, table, Bonds.none(), STEPS // 4)
    fits = False
    for reach in np.concatenate([np.linspace(*REACHES, ROUNDS), np.full(EXTRA_ROUNDS, REACHES[-1])]):
        if fits and reach == REACHES[-1] and _rigid_share(symbols, positions, cell) >= RIGID_SHARE:
            break
        bonds = assign_bonds(positions, cell, symbols, float(reach))
        # Bonds that are assigned anew in a moment need no tight minimum, which a large cell would be slow to find.
        hurried = len(symbols) >= KEEP_PAIRS_FROM and reach > REACHES[-1]
        positions, energy = relax(positions, cell, table, bonds, HURRIED_STEPS if hurried else STEPS)
        fits = not table.overlaps(find_pairs(positions, cell, float(table.floor.max())))
    return _Packed(positions, energy, fits, _rigid_share(symbols, positions, cell))


def _rigid_share(symbols: Sequence[str], positions: FloatArray, cell: FloatArray) -> float:
    """Return the share of rigid cations that have exactly their usual number of oxygens."""
    names = np.array(symbols)
    right, total = 0, 0
    for symbol in sorted({s for s in symbols if s in CATIONS and CATIONS[s].rigid}):
        element = CATIONS[symbol]
        pairs = find_pairs(positions, cell, SHELL * element.bond)
        bonded = (names[pairs.first] == symbol) & (names[pairs.second] == ANION)
        counts = np.bincount(pairs.first[bonded], minlength=len(names))
        right += int((counts[names == symbol] == element.coordination).sum())
        total += int((names == symbol).sum())
    return right / total if total else 1.0


def _to_atoms(composition: Composition, density: float, packed: _Packed) -> Atoms:
    edge = composition.volume(density) ** (1 / 3)
    atoms = Atoms(composition.symbols, positions=packed.positions, cell=[edge] * 3, pbc=True)
    atoms.wrap()
    return atoms


def _too_dense(
    composition: Composition, density: float, seed: int | Sequence[int], minimum: Mapping[str, float]
) -> str:
    start = min(density, composition.mass_density(composition.n_atoms / DENSEST_ATOMS_PER_ANGSTROM3))
    for step in range(1, DENSITY_TRIALS):
        trial = start * DENSITY_STEP**step
        if _one_start(composition, trial, np.random.default_rng(seed), minimum).fits:
            return (
                f"{composition.formula} cannot be packed at {density:.4g} g/cm3 without atoms that overlap; "
                f"{trial:.3g} g/cm3 can be reached."
            )
    return f"{composition.formula} cannot be packed with these shortest distances; shorten them: {dict(minimum)}."


def _check_minimum(composition: Composition, minimum: Mapping[str, float]) -> Mapping[str, float]:
    for pair, distance in minimum.items():
        ends = pair.split("-")
        if len(ends) != len(("from", "to")) or any(end not in composition.counts for end in ends):
            raise InputError(f"shortest distance of `{pair}`: write a pair of the species present, for example P-O.")
        if not distance > 0:
            raise InputError(f"shortest distance of `{pair}` is {distance:g} angstrom; a positive length is expected.")
    return minimum
