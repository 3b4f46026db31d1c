"""Rings of crystals, single rings, and a second code."""

import numpy as np
import pytest
from ase.build import bulk
from matscipy.rings import ring_statistics

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.bonds import BondRules, Links
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.rings import Rings, count_rings
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.neighbours import find_pairs


def rings_of(positions, cell, cutoff, largest=10):
    pairs = find_pairs(np.asarray(positions, dtype=float), np.asarray(cell, dtype=float), cutoff, half=True)
    links = Links(pairs.first, pairs.second, np.rint(pairs.shift).astype(int), np.ones(len(pairs.first), dtype=int))
    counts = count_rings(links, len(positions), largest)
    return {n: counts[n] / len(positions) for n in np.flatnonzero(counts)}


@pytest.mark.parametrize("repeat", [1, 2, 3])
def test_diamond_has_two_six_rings_an_atom_in_any_cell(repeat):
    atoms = bulk("C", cubic=False).repeat(repeat)
    assert rings_of(atoms.positions, atoms.cell.array, 1.7) == pytest.approx({6: 2.0})


@pytest.mark.parametrize("repeat", [1, 4])
def test_simple_cubic_has_squares_and_hexagons(repeat):
    atoms = bulk("Po", "sc", a=3.0).repeat(repeat)
    assert rings_of(atoms.positions, atoms.cell.array, 3.1, largest=8) == pytest.approx({4: 3.0, 6: 4.0})


def test_graphene_has_half_a_hexagon_an_atom():
    cell = np.array([[2.46, 0, 0], [-1.23, 2.46 * np.sqrt(3) / 2, 0], [0, 0, 20]])
    assert rings_of(np.array([[0, 0, 0], [1 / 3, 2 / 3, 0]]) @ cell, cell, 1.6) == pytest.approx({6: 0.5})


@pytest.mark.parametrize("size", range(3, 13))
def test_a_single_ring_of_any_size(size):
    around = 2 * np.pi * np.arange(size) / size
    radius = 1.0 / (2 * np.sin(np.pi / size))
    positions = radius * np.stack([np.cos(around), np.sin(around), 0 * around], axis=1)
    assert rings_of(positions, np.eye(3) * 40, 1.01, largest=12) == pytest.approx({size: 1 / size})
    if size > 3:
        assert rings_of(positions, np.eye(3) * 40, 1.01, largest=size - 1) == {}


def test_a_chain_through_the_faces_is_no_ring():
    assert rings_of([[k * 1.0, 0, 0] for k in range(6)], np.diag([6.0, 20, 20]), 1.1) == {}


def test_beta_cristobalite_has_two_six_rings_a_former():
    silicon = bulk("Si", "diamond", a=7.16, cubic=True)
    pairs = find_pairs(silicon.positions, silicon.cell.array, 3.2, half=True)
    oxygen = silicon.positions[pairs.first] + 0.5 * (
        silicon.positions[pairs.second] + pairs.shift @ silicon.cell.array - silicon.positions[pairs.first]
    )
    numbers = np.array([15] * 8 + [8] * len(oxygen))
    frame = Frame(numbers, np.concatenate([silicon.positions, oxygen]), silicon.cell.array)
    rules = BondRules(numbers, {"P-O": 1.7}, formers=["P"])
    rings = Rings(rules)
    rings.add(Environment.of(frame, rules))
    found = rings.result()
    assert {n: number.mean for n, number in found.per_former.items()} == {6: 2.0}
    assert found.mean_size.mean == 6
    assert found.largest == 10


def test_disordered_net_agrees_with_a_second_code():
    # The rings of a gas of hard-ish spheres; matscipy counts each ring once, by its number of atoms.
    rng = np.random.default_rng(5)
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(3)
    atoms.positions += rng.normal(scale=0.35, size=atoms.positions.shape)
    theirs = ring_statistics(atoms, 2.75, maxlength=10)
    mine = rings_of(atoms.positions, atoms.cell.array, 2.75, largest=9)
    known = {n: count / len(atoms) for n, count in enumerate(theirs) if count and n <= 9}
    assert len(known) > 4
    assert mine == pytest.approx(known)


def test_bond_switched_net_has_the_known_statistics():
    # 4-connected net, 30 % of its bonds switched; figures of six seeds of another program, mean and spread of one net.
    known = {5: (0.244, 0.017), 6: (0.679, 0.041), 7: (0.656, 0.028), 8: (0.363, 0.040)}
    atoms = bulk("Si", "diamond", a=5.43, cubic=True).repeat(4)
    pairs = find_pairs(atoms.positions, atoms.cell.array, 2.5)
    shifts = {(a, b): tuple(s) for a, b, s in zip(pairs.first, pairs.second, pairs.shift.astype(int), strict=True)}
    linked = {a: {b for x, b in shifts if x == a} for a in range(len(atoms))}
    rng = np.random.default_rng(0)
    for _ in range(int(0.3 * len(atoms))):
        b = int(rng.integers(len(atoms)))
        c = int(rng.choice(sorted(linked[b])))
        left = sorted(linked[b] - {c} - linked[c])
        right = sorted(linked[c] - {b} - linked[b])
        if not left or not right:
            continue
        a, d = int(rng.choice(left)), int(rng.choice(right))
        if a == d:
            continue
        middle = np.array(shifts[b, c])
        for x, y, shift in ((b, d, middle + shifts[c, d]), (a, c, np.array(shifts[a, b]) + middle)):
            linked[x].add(y), linked[y].add(x)
            shifts[x, y], shifts[y, x] = tuple(shift), tuple(-shift)
        for x, y in ((a, b), (c, d)):
            linked[x].discard(y), linked[y].discard(x)
    once = [(x, y) for x in linked for y in linked[x] if x < y]
    first, second = (np.array(side) for side in zip(*once, strict=True))
    links = Links(first, second, np.array([shifts[pair] for pair in once]), np.ones(len(once), dtype=int))
    counts = count_rings(links, len(atoms), 8) / len(atoms)
    for n, (mean, spread) in known.items():
        assert counts[n] == pytest.approx(mean, abs=3.5 * spread)


def test_bad_input_gives_a_sentence(gas):
    frame = gas(0)
    with pytest.raises(InputError, match="name the formers"):
        Rings(BondRules(frame.numbers, {"P-O": 2.0}))
    rules = BondRules(frame.numbers, {"P-O": 2.0}, formers=["P"])
    with pytest.raises(InputError, match="3 to 24 formers; it is 2"):
        Rings(rules, largest=2)
    dense = BondRules(frame.numbers, {"P-O": 5.5}, formers=["P"])
    with pytest.raises(InputError, match="formers lie within 12 links"):
        Rings(dense, largest=24).add(Environment.of(frame, dense))
