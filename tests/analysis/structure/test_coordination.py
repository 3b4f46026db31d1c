"""Coordination of crystals, split shells, scans of the cutoff."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.coordination import Coordination, CutoffScan, ShortAndLong, ShortBonds
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.common.errors import InputError

# VO5: one short bond up, four of 1.9 around, and a weak sixth at 2.4 below; P holds one of the four.
VANADIUM = [23, 8, 8, 8, 8, 8, 8, 15]
PLACES = np.array(
    [[0, 0, 0], [0, 0, 1.6], [1.9, 0, 0], [-1.9, 0, 0], [0, 1.9, 0], [0, -1.9, 0], [0, 0, -2.4], [3.4, 0, 0]]
)


@pytest.fixture
def pyramid(frame):
    return frame(VANADIUM, PLACES + 0.3, np.eye(3) * 12)


@pytest.mark.parametrize(
    ("name", "cutoff", "expected"),
    [("fcc", 3.4, 12), ("fcc", 4.2, 18), ("bcc", 3.7, 8), ("bcc", 4.2, 14), ("sc", 4.2, 6), ("diamond", 2.0, 4)],
)
@pytest.mark.parametrize("repeat", [1, 2])
def test_crystals(crystal, name, cutoff, expected, repeat):
    frame = crystal(name, repeat=repeat)
    rules = BondRules(frame.numbers, {"Cu-Cu": cutoff})
    coordination = Coordination(rules, "Cu-Cu")
    for _ in range(3):
        coordination.add(Environment.of(frame, rules))
    found = coordination.result()
    assert (found.mean, found.error) == (pytest.approx(expected), 0)
    assert {n: (share.mean, share.error) for n, share in found.shares.items()} == {expected: (1.0, 0.0)}


def test_short_and_long_bonds(pyramid):
    rules = BondRules(pyramid.numbers, {"V-O": 2.6})
    split = ShortAndLong(rules, "V-O", 2.2)
    split.add(Environment.of(pyramid, rules))
    found = split.result()
    assert (found.short.mean, found.long.mean) == (5, 1)
    assert list(found.shares) == [(5, 1)]
    assert found.short_length.mean == pytest.approx((1.6 + 4 * 1.9) / 5)
    assert found.long_length.mean == pytest.approx(2.4)


def test_vanadyl(pyramid):
    rules = BondRules(pyramid.numbers, {"V-O": 2.6, "P-O": 1.8}, formers=["V", "P"])
    environment = Environment.of(pyramid, rules)
    double, all_short = ShortBonds(rules, "V-O", 1.76), ShortBonds(rules, "V-O", 2.0)
    for observable in (double, all_short):
        observable.add(environment)
    assert double.result().per_centre.mean == 1
    assert double.result().terminal.mean == 1
    assert double.result().length.mean == pytest.approx(1.6)
    # Of the five oxygens within 2 angstrom one is held by P as well.
    assert all_short.result().terminal.mean == pytest.approx(4 / 5)


def test_scan_agrees_with_every_single_cutoff(gas):
    frames = [gas(0, atoms=300)] * 2
    rules = BondRules(frames[0].numbers, {"P-O": 3.5})
    cutoffs = np.linspace(1.5, 3.5, 21)
    scan = CutoffScan(rules, "P-O", cutoffs)
    single = [Coordination(rules, "P-O", cutoff) for cutoff in cutoffs]
    for frame in frames:
        environment = Environment.of(frame, rules)
        for observable in (scan, *single):
            observable.add(environment)
    found = scan.result()
    for place, observable in enumerate(single):
        one = observable.result()
        assert found.mean.mean[place] == pytest.approx(one.mean)
        for n, share in one.shares.items():
            assert found.shares[n].mean[place] == pytest.approx(share.mean)
    np.testing.assert_allclose(sum(share.mean for share in found.shares.values()), 1)
    assert (np.diff(found.mean.mean) >= 0).all()


def test_slope_is_zero_on_the_plateau(pyramid):
    rules = BondRules(pyramid.numbers, {"V-O": 2.6})
    scan = CutoffScan(rules, "V-O", [1.7, 1.8, 1.85, 2.0, 2.1, 2.2, 2.5])
    scan.add(Environment.of(pyramid, rules))
    found = scan.result()
    np.testing.assert_array_equal(found.mean.mean, [1, 1, 1, 5, 5, 5, 6])
    assert found.slope[4] == 0
    assert found.slope[2] > 5


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_invariant(gas, disguised, seed):
    frame = gas(seed, atoms=80)
    results = []
    doubled = Frame(
        np.tile(frame.numbers, 2), np.concatenate([frame.positions, frame.positions + frame.cell[1]]),
        frame.cell * np.array([[1], [2], [1]]),
    )  # fmt: skip
    for seen in (frame, disguised(frame, seed), doubled):
        rules = BondRules(seen.numbers, {"Na-O": 3.0})
        coordination = Coordination(rules, "Na-O")
        coordination.add(Environment.of(seen, rules))
        results.append({n: round(share.mean, 12) for n, share in coordination.result().shares.items()})
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("pair", ["V-O", "P", "P-O-P", "X-O", "Xx-O"])
def test_unknown_pairs(gas, pair):
    with pytest.raises(InputError, match="not two species of the trajectory, which has Na, O, P"):
        BondRules(gas(0).numbers, {pair: 2.0})


@pytest.mark.parametrize(
    ("lengths", "formers", "sentence"),
    [
        ({"P-O": 0}, [], "must be positive"),
        ({"P-O": float("nan")}, [], "must be positive"),
        ({"P-O": 2.0, "O-P": 2.1}, [], "given twice, 2.0 and 2.1"),
        ({"P-O": 2.0}, ["P", "Na"], "Na is to form the network but has no bond length; give Na-O"),
        ({"P-O": 2.0}, ["Si"], "species 'Si' is not a species of the trajectory"),
    ],
)
def test_bad_rules(gas, lengths, formers, sentence):
    with pytest.raises(InputError, match=sentence):
        BondRules(gas(0).numbers, lengths, formers)


def test_bad_settings(gas):
    frame = gas(0)
    rules = BondRules(frame.numbers, {"P-O": 2.0})
    with pytest.raises(InputError, match="bond length of Na-O must be positive"):
        Coordination(rules, "Na-O")
    with pytest.raises(InputError, match="split of P-O must lie between 0 and its cutoff"):
        ShortAndLong(rules, "P-O", 2.5)
    with pytest.raises(InputError, match="must be positive and rise"):
        CutoffScan(rules, "P-O", [2.0, 1.5])
    far = Coordination(rules, "P-O", 6.0)
    with pytest.raises(InputError, match=r"known up to 2.0 angstrom and P-O asks for 6.0"):
        far.add(Environment.of(frame, rules))
    crowd = Coordination(rules, "Na-O", 9.0)
    with pytest.raises(InputError, match="shorten the cutoff"):
        crowd.add(Environment.of(frame, rules, 9.0))
