"""S(Q) against ideal gases, crystals, plain sums and the transform of g(r)."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.conventions import CONVENTIONS
from aiida_nvp.analysis.structure.rdf import RadialDistribution
from aiida_nvp.analysis.structure.structure_factor import (
    StructureFactor,
    densities,
    from_rdf,
    reciprocal_vectors,
    weights_of,
)
from aiida_nvp.common.errors import InputError


def factor_of(*frames, **options):
    factor = StructureFactor(frames[0].numbers, np.random.default_rng(7), **options)
    for frame in frames:
        factor.add(frame)
    return factor


def same_atoms(gas, frames, **options):
    numbers = gas(0, **options).numbers
    return [Frame(numbers, gas(seed, **options).positions, gas(0).cell) for seed in range(frames)]


def _between(vectors, low, high):
    length = np.linalg.norm(vectors, axis=1)
    return (length >= low) & (length < high)


def test_sums_are_those_of_exponentials(gas):
    frame = gas(3, atoms=600)
    reciprocal = 2 * np.pi * np.linalg.inv(frame.cell).T
    vectors = reciprocal_vectors(reciprocal, 200, 0.1, 20, np.random.default_rng(0))
    order = np.argsort(frame.numbers, kind="stable")
    starts = np.array([0, *np.flatnonzero(np.diff(frame.numbers[order])) + 1, 600])
    found = densities(frame.fractional[order], starts, vectors)
    phases = np.exp(1j * frame.positions[order] @ (vectors @ reciprocal).T)
    plain = np.stack([phases[start:end].sum(axis=0) for start, end in pairwise(starts)], axis=1)
    assert np.abs(found - plain).max() < 2e-3


def test_vectors_are_distinct_of_one_half_and_complete_near_the_centre():
    reciprocal = 2 * np.pi * np.linalg.inv([[12.0, 0, 0], [3, 11, 0], [-2, 1, 13]]).T
    vectors = reciprocal_vectors(reciprocal, 100, 0.1, 30, np.random.default_rng(0))
    assert len(np.unique(vectors, axis=0)) == len(vectors)
    assert not (set(map(tuple, vectors)) & set(map(tuple, -vectors)))
    grid = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3), axis=-1).reshape(-1, 3)
    for low, high in ((0.0, 1.0), (1.0, 2.0)):
        inside = _between(grid @ reciprocal, low, high)
        assert _between(vectors @ reciprocal, low, high).sum() == (inside.sum() - (low == 0)) / 2
    counts = np.bincount((np.linalg.norm(vectors @ reciprocal, axis=1) / 0.1).astype(int))
    assert counts[40:].min() >= 14
    assert counts[40:].max() <= 45
    assert counts[40:].mean() == pytest.approx(29, abs=1.5)


def test_ideal_gas_is_one_within_the_speckles(gas):
    frames = same_atoms(gas, 40)
    factor = factor_of(*frames, q_max=8.0, bin_width=0.2)
    for name, partial in factor.partials("ashcroft-langreth").items():
        first, second = name.split("-")
        spread = 1 / np.sqrt(factor.vectors * len(frames)) * (1 if first == second else np.sqrt(0.5))
        scaled = (partial.mean - (first == second)) / spread
        assert np.abs(scaled).max() < 5
        assert 0.7 < scaled.std() < 1.3
    for radiation in ("neutron", "x-ray"):
        for convention in ("faber-ziman", "ashcroft-langreth"):
            total = factor.total(radiation, convention)
            assert np.abs((total.mean - 1) / total.error).mean() < 1.6


def test_errors_cover_the_truth(gas):
    covered = []
    for run in range(12):
        numbers = gas(0).numbers
        frames = [Frame(numbers, gas(100 * run + seed).positions, gas(0).cell) for seed in range(20)]
        total = factor_of(*frames, q_max=4.0, bin_width=0.2).partials("bhatia-thornton")["N-N"]
        covered.append(np.abs(total.mean - 1) < total.error)
    assert 0.55 < np.mean(covered) < 0.8


def test_fcc_scatters_by_n_at_its_own_vectors_only(crystal):
    frame = crystal("fcc", repeat=6)
    factor = factor_of(frame, q_max=6.0, bin_width=0.01, per_bin=10**6)
    total = factor.partials()["Cu-Cu"].mean
    for index, allowed in (((1, 1, 1), True), ((2, 0, 0), True), ((2, 2, 0), True)):
        q = 2 * np.pi / 4.0 * np.linalg.norm(index)
        peak = np.argmin(np.abs(factor.q - q))
        assert (total[peak] > 1) == allowed
    # The sum rule of one bin: a bragg peak among silent vectors.
    silent = np.abs(total) < 1e-6
    assert silent.mean() > 0.9
    bright = factor.vectors * total
    # {111}: four vectors of one half, each as bright as there are atoms.
    assert bright[np.argmin(np.abs(factor.q - 2 * np.pi / 4 * np.sqrt(3)))] == pytest.approx(4 * 216, rel=1e-4)


def test_rock_salt_tells_number_from_concentration():
    from ase.build import bulk

    salt = bulk("NaCl", "rocksalt", a=5.64, cubic=True).repeat(3)
    factor = factor_of(Frame(salt.numbers, salt.positions, salt.cell.array), q_max=4.0, bin_width=0.01, per_bin=10**6)
    at = {name: np.argmin(np.abs(factor.q - 2 * np.pi / 5.64 * np.sqrt(n))) for name, n in (("111", 3), ("200", 4))}
    partials = factor.partials("bhatia-thornton")
    # Odd reflections see the difference of the two ions, even ones their sum.
    assert partials["N-N"].mean[at["111"]] == pytest.approx(0, abs=1e-4)
    assert partials["N-N"].mean[at["200"]] > 10
    assert partials["Cl-Cl"].mean[at["200"]] == pytest.approx(0, abs=1e-4)
    assert partials["Cl-Cl"].mean[at["111"]] > 10
    assert partials["N-Cl"].mean[at["111"]] == pytest.approx(0, abs=1e-4)
    assert partials["Cl-Cl"].mean == pytest.approx(partials["Na-Na"].mean)


def test_gas_of_dimers_is_exact():
    # <sin(Qd) / Qd> over random directions of a bond of 1.6 angstrom, by the sum and from g(r).
    numbers = np.array([15, 8] * 400)
    rng = np.random.default_rng(0)
    rdf, factor = RadialDistribution(numbers), StructureFactor(numbers, rng, q_max=12.0, bin_width=0.2, per_bin=300)
    for _ in range(25):
        centre, bond = rng.random((400, 1, 3)) * 24, rng.normal(size=(400, 1, 3))
        bond *= 0.8 / np.linalg.norm(bond, axis=2, keepdims=True)
        frame = Frame(numbers, np.concatenate([centre - bond, centre + bond], axis=1).reshape(-1, 3), np.eye(3) * 24)
        rdf.add(frame)
        factor.add(frame)
    exact = np.sin(1.6 * factor.q) / (1.6 * factor.q)
    mixed = factor.partials()["P-O"]
    assert np.abs((mixed.mean - 1 - 2 * exact) / mixed.error).mean() < 1.2
    assert np.abs(mixed.mean - 1 - 2 * exact)[5:].max() < 0.08
    transformed = from_rdf(rdf.result(), numbers, factor.q, "lorch")
    number = transformed.correlations.sum(axis=(0, 1)) - 1
    for radiation in ("neutron", "x-ray"):
        phosphorus, oxygen = weights_of([15, 8], factor.q, radiation)
        known = 1 + phosphorus * oxygen * exact / ((phosphorus + oxygen) / 2) ** 2
        assert factor.total(radiation).mean[5:] == pytest.approx(known[5:], abs=0.06)
        assert from_rdf(rdf.result(), numbers, factor.q, "none").total(radiation)[5:] == pytest.approx(
            known[5:], abs=0.06
        )
    # The window damps a distance r by sin(x) / x with x = pi r / r_max.
    assert number[5:] == pytest.approx(exact[5:] * np.sinc(1.6 / 12), abs=0.06)


def test_conventions_agree_about_the_intensity(gas):
    factor = factor_of(gas(2), q_max=4.0)
    shares, weights = factor.shares, weights_of(factor.species, factor.q, "x-ray")
    mean, square = shares @ weights, shares @ weights**2
    totals = {name: factor.total("x-ray", name).mean for name in CONVENTIONS}
    assert totals["ashcroft-langreth"] * square == pytest.approx(totals["bhatia-thornton"] * mean**2)
    assert (totals["faber-ziman"] - 1) * mean**2 + square == pytest.approx(totals["bhatia-thornton"] * mean**2)
    fz, al = factor.partials("faber-ziman"), factor.partials("ashcroft-langreth")
    for a, b, name in ((0, 1, "P-Na"), (0, 0, "P-P"), (1, 2, "Na-O")):
        root = np.sqrt(shares[a] * shares[b])
        assert al[name].mean == pytest.approx((a == b) + root * (fz[name].mean - 1))
    bt = factor.partials("bhatia-thornton")
    # Concentrations of all species add up to nothing.
    assert bt["N-P"].mean + bt["N-Na"].mean + bt["N-O"].mean == pytest.approx(0 * factor.q, abs=1e-9)
    assert bt["P-P"].mean + bt["P-Na"].mean + bt["P-O"].mean == pytest.approx(0 * factor.q, abs=1e-9)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_invariant(gas, disguised, seed):
    frame = gas(seed, atoms=80)
    options = {"q_max": 3.0, "bin_width": 0.1, "per_bin": 10**6}
    one, other = (factor_of(seen, **options) for seen in (frame, disguised(frame, seed)))
    for name, partial in one.partials().items():
        assert other.partials()[name].mean == pytest.approx(partial.mean, abs=2e-3)


def test_bad_input_gives_a_sentence(gas):
    with pytest.raises(InputError, match="0 < bin_width < q_max"):
        StructureFactor(gas(0).numbers, np.random.default_rng(0), q_max=-1)
    factor = factor_of(gas(0), q_max=3.0)
    with pytest.raises(InputError, match="radiation 'muon'"):
        factor.total("muon")
    with pytest.raises(InputError, match="convention 'keen'"):
        factor.partials("keen")
    with pytest.raises(InputError, match="convention 'keen'"):
        factor.total("neutron", "keen")
    with pytest.raises(InputError, match="does not fit"):
        factor.add(gas(0, atoms=10))
