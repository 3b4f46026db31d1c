"""Bond angles of crystals and of random directions."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.angles import BondAngles
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.common.errors import InputError


def angles_of(frame, lengths, triplets, **options):
    rules = BondRules(frame.numbers, lengths)
    angles = BondAngles(rules, triplets, **options)
    angles.add(Environment.of(frame, rules))
    return angles.result()


def test_diamond_has_six_tetrahedral_angles(crystal):
    found = angles_of(crystal("diamond", a=4.0, repeat=2), {"Cu-Cu": 1.9}, ["Cu-Cu-Cu"])["Cu-Cu-Cu"]
    assert found.mean_deg.mean == pytest.approx(np.degrees(np.arccos(-1 / 3)), abs=1e-6)
    assert found.width_deg.mean == pytest.approx(0, abs=1e-3)
    assert found.per_centre.mean == 6
    assert found.angle_deg[found.density.mean > 0].tolist() == [109.0]
    assert found.density.mean.sum() * 2.0 == pytest.approx(1)


def test_fcc_has_66_angles_of_four_kinds(crystal):
    found = angles_of(crystal("fcc", a=4.0, repeat=2), {"Cu-Cu": 3.0}, ["Cu-Cu-Cu"], bin_deg=6)["Cu-Cu-Cu"]
    shares = found.density.mean * 6 * 66
    kinds = {float(angle): round(float(share)) for angle, share in zip(found.angle_deg, shares, strict=True) if share}
    # 60, 90, 120 and 180 degrees lie on edges of bins, and rounding may carry them one bin down.
    assert sum(kinds.values()) == 66
    near = {edge: sum(n for angle, n in kinds.items() if abs(angle - edge) < 6) for edge in (60, 90, 120, 180)}
    assert near == {60: 24, 90: 12, 120: 24, 180: 6}


def test_names_tell_ends_apart(frame):
    # P in the middle of O-P-O at 90 degrees, Na on one O at 120.
    positions = [[5, 5, 5], [6.5, 5, 5], [5, 6.5, 5], [6.5 + 2.4 / 2, 5 + 2.4 * np.sqrt(3) / 2, 5]]
    one = frame([15, 8, 8, 11], positions, np.eye(3) * 12)
    found = angles_of(one, {"P-O": 1.8, "Na-O": 2.6}, ["O-P-O", "P-O-Na", "P-O-P"])
    assert found["O-P-O"].mean_deg.mean == pytest.approx(90)
    assert found["P-O-Na"].mean_deg.mean == pytest.approx(120)
    assert found["P-O-Na"].per_centre.mean == 0.5
    assert found["P-O-P"].per_centre.mean == 0
    assert np.isnan(found["P-O-P"].mean_deg.mean)


def test_random_directions_follow_the_sine(gas):
    found = angles_of(gas(0, atoms=3000, species=(8,)), {"O-O": 3.0}, ["O-O-O"], bin_deg=10)["O-O-O"]
    edges = np.radians(np.arange(0, 181, 10))
    assert found.density.mean * 10 == pytest.approx(-np.diff(np.cos(edges)) / 2, abs=2e-3)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 1000))
def test_invariant(gas, disguised, seed):
    frame = gas(seed, atoms=90)
    doubled = Frame(
        np.tile(frame.numbers, 2), np.concatenate([frame.positions, frame.positions + frame.cell[1]]),
        frame.cell * np.array([[1], [2], [1]]),
    )  # fmt: skip
    lengths, triplets = {"P-O": 2.6, "Na-O": 3.0}, ["O-P-O", "P-O-Na", "O-Na-O"]
    found = [angles_of(seen, lengths, triplets) for seen in (frame, disguised(frame, seed), doubled)]
    for name in triplets:
        assert found[1][name].mean_deg.mean == pytest.approx(found[0][name].mean_deg.mean, nan_ok=True)
        assert found[2][name].per_centre.mean == pytest.approx(found[0][name].per_centre.mean)
        assert found[2][name].mean_deg.mean == pytest.approx(found[0][name].mean_deg.mean, nan_ok=True)


@pytest.mark.parametrize(
    ("triplets", "options", "sentence"),
    [
        (["O-V-O"], {}, "triplet 'O-V-O' is not three species"),
        (["O-P-Na"], {}, "angle O-P-Na needs a bond length for P-Na"),
        (["O-P-O"], {"bin_deg": 7}, "180 degrees must be a multiple"),
        (["O-P-O"], {"bin_deg": 0}, "180 degrees must be a multiple"),
        (["P-O-Na", "Na-O-P"], {}, "given twice, P-O-Na and Na-O-P"),
    ],
)
def test_bad_input_gives_a_sentence(gas, triplets, options, sentence):
    with pytest.raises(InputError, match=sentence):
        angles_of(gas(0), {"P-O": 1.9, "Na-O": 2.6}, triplets, **options)
