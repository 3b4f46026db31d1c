"""g(r) and n(r) against exact answers."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vesin import NeighborList

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.rdf import RadialDistribution, first_minimum
from aiida_nvp.common.errors import InputError


def rdf_of(*frames, **options):
    rdf = RadialDistribution(frames[0].numbers, **options)
    for frame in frames:
        rdf.add(frame)
    return rdf.result()


def test_ideal_gas_is_one_within_the_counting_error(gas):
    frames = [gas(0)] + [Frame(gas(0).numbers, gas(seed).positions, gas(0).cell) for seed in range(1, 60)]
    rdf = rdf_of(*frames, bin_width=0.2)
    assert set(rdf.partials) == {"P-P", "P-Na", "P-O", "Na-Na", "Na-O", "O-O"}
    deviations = []
    for partial in rdf.partials.values():
        pairs = partial.pairs * len(frames)
        enough = pairs > 30
        deviations.append(((partial.g - 1) * np.sqrt(pairs))[enough])
    deviations = np.concatenate(deviations)
    assert np.abs(deviations).max() < 4.5
    assert 0.8 < deviations.std() < 1.2


def test_integral_is_the_number_of_pairs_of_a_neighbour_list(gas):
    frame = gas(1, atoms=300)
    rdf = rdf_of(frame, bin_width=0.1)
    (i,) = NeighborList(cutoff=rdf.r_max, full_list=False).compute(
        points=frame.positions, box=frame.cell, periodic=True, quantities="i"
    )
    # Single precision may carry a pair that sits on the very edge over it.
    assert sum(partial.pairs.sum() for partial in rdf.partials.values()) == pytest.approx(len(i), abs=2)
    assert rdf.r_max <= frame.widths.min() / 2


def test_number_of_pairs_of_the_synthetic_glass(glass):
    frame = glass()
    half = frame.widths.min() / 2
    rdf = rdf_of(frame, bin_width=half / 750, r_max=half)
    assert sum(partial.pairs.sum() for partial in rdf.partials.values()) == pytest.approx(1049088, abs=3)
    assert len(rdf.partials) == 10


def test_fcc_shells_hold_12_and_6_atoms(crystal):
    frame = crystal("fcc", repeat=7)
    rdf = rdf_of(frame, bin_width=0.05)
    pairs = rdf.partials["Cu-Cu"].pairs
    assert pairs[np.abs(rdf.r - 4 / np.sqrt(2)) < 0.2].sum() == 12 * len(frame.numbers) / 2
    running = rdf.coordination["Cu-Cu"].mean
    upper = rdf.edges[1:]
    assert running[np.searchsorted(upper, 3.5)] == pytest.approx(12)
    assert running[np.searchsorted(upper, 4.5)] == pytest.approx(18)


def test_running_coordination_counts_each_way(frame):
    # One P with four O around it, and one Na far away.
    legs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) * 1.54 / np.sqrt(3)
    one = frame([15, 8, 8, 8, 8, 11], [*([[0, 0, 0], *legs]), [5, 5, 5]], np.eye(3) * 12)
    n = rdf_of(one, one, bin_width=0.05).coordination
    at = 39
    assert n["P-O"].mean[at] == pytest.approx(4)
    assert n["O-P"].mean[at] == pytest.approx(1)
    assert n["P-Na"].mean[at] == 0
    assert n["P-O"].error[at] == 0
    assert n["O-O"].mean[-1] == pytest.approx(3)


def test_cells_that_breathe_end_at_the_smallest_half(gas):
    frame = gas(3)
    small = Frame(frame.numbers, frame.positions * 0.9, frame.cell * 0.9)
    both = rdf_of(frame, small, bin_width=0.25)
    assert both.r_max <= small.widths.min() / 2
    assert both.r_max == rdf_of(small, frame, bin_width=0.25).r_max
    assert both.density == pytest.approx((frame.numbers.size / frame.volume) * (1 + 0.9**-3) / 2)
    alone = rdf_of(small, bin_width=0.25)
    shared = rdf_of(frame, bin_width=0.25, r_max=alone.r_max)
    np.testing.assert_allclose(
        both.partials["Na-O"].g, (alone.partials["Na-O"].g + shared.partials["Na-O"].g) / 2, rtol=1e-12
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_invariant_under_translation_permutation_and_wrapping(gas, disguised, seed):
    frame = gas(seed, atoms=60)
    # Single precision may carry a pair over the edge of a bin, never further: cumulative counts differ by such pairs.
    ours, theirs = rdf_of(frame, bin_width=0.5), rdf_of(disguised(frame, seed), bin_width=0.5)
    for name, partial in ours.partials.items():
        assert np.abs(np.cumsum(partial.pairs) - np.cumsum(theirs.partials[name].pairs)).max() <= 1


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_a_supercell_has_the_same_coordination(gas, seed):
    frame = gas(seed, atoms=40)
    shifts = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1]), axis=-1).reshape(-1, 3) @ frame.cell
    positions = (frame.positions[None] + shifts[:, None]).reshape(-1, 3)
    large = Frame(np.tile(frame.numbers, 8), positions, frame.cell * 2)
    small, big = rdf_of(frame, bin_width=0.5), rdf_of(large, bin_width=0.5)
    for name, curve in small.coordination.items():
        tolerance = 2 / min(small.composition.values())
        assert np.abs(curve.mean - big.coordination[name].mean[: len(curve.mean)]).max() <= tolerance


def test_single_atom_of_a_species_has_no_partial_with_itself(frame):
    rdf = rdf_of(frame([11, 8], [[0, 0, 0], [2, 2, 2]], np.eye(3) * 8))
    assert list(rdf.partials) == ["Na-O"]


@pytest.mark.parametrize("width", [0, -1, 50, float("nan")])
def test_bad_bin_width(gas, width):
    with pytest.raises(InputError, match="bin_width must lie"):
        rdf_of(gas(0), bin_width=width)


def test_bad_range_and_other_atoms(gas):
    with pytest.raises(InputError, match="at most half the cell"):
        rdf_of(gas(0), r_max=50)
    with pytest.raises(InputError, match="does not fit an observable of 200 atoms"):
        rdf_of(gas(0), gas(0, atoms=20))
    with pytest.raises(InputError, match="at least one frame"):
        RadialDistribution(gas(0).numbers).result()


def test_end_of_a_split_shell():
    r = np.arange(0.01, 6, 0.02)

    def peak(place, height, width):
        return height * np.exp(-0.5 * ((r - place) / width) ** 2)

    # Short and long bonds with a deep gap at 1.75; the shell ends before the second one at 3.4.
    g = peak(1.6, 8, 0.05) + peak(1.93, 10, 0.08) + peak(3.4, 2, 0.35) + (r > 3.4)
    assert 2.2 < first_minimum(r, g) < 2.5
    assert first_minimum(r, np.full_like(r, 0.5)) is None
