"""Free volume, cavities and passages of crystals and of holes that are known."""

import numpy as np
import pytest

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.cavities import Cavities, clearance
from aiida_nvp.common.errors import InputError


def look(frame, **options):
    cavities = Cavities(frame.numbers, **options)
    cavities.add(frame)
    return cavities.result()


def test_free_share_is_what_one_sphere_leaves(frame):
    one = frame([8], [[1, 2, 3]], [[10, 0, 0], [3, 9, 0], [-2, 1, 11]])
    found = look(one, radii={"O": 3.0}, spacing=0.25)
    assert found.free_share.mean == pytest.approx(1 - 4 / 3 * np.pi * 27 / 990, abs=2e-3)
    assert found.cavities_per_nm3.mean == pytest.approx(1000 / 990)


def test_largest_hole_and_passage_of_simple_cubic(crystal):
    # Centre of the cube: a sqrt(3) / 2 from the atoms; centre of its face, through which one gets out: a / sqrt(2).
    found = look(crystal("sc", a=4.0, repeat=2), radii={"Cu": 1.0}, spacing=0.25)
    assert found.largest_radius.mean == pytest.approx(2 * np.sqrt(3) - 1, abs=1e-9)
    assert found.largest_ever == found.largest_radius.mean
    assert found.passing_radius.mean == pytest.approx(2 * np.sqrt(2) - 1, abs=1e-9)


def test_cavities_are_counted_where_the_probe_cannot_pass(crystal):
    frame = crystal("sc", a=4.0, repeat=2)
    closed = look(frame, radii={"Cu": 1.0}, probe=2 * np.sqrt(2) - 1 + 0.05, spacing=0.25)
    assert closed.cavities_per_nm3.mean * frame.volume / 1000 == pytest.approx(8)
    open_ = look(frame, radii={"Cu": 1.0}, probe=2 * np.sqrt(2) - 1 - 0.05, spacing=0.25)
    assert open_.cavities_per_nm3.mean * frame.volume / 1000 == pytest.approx(1)
    assert open_.void_share.mean == open_.probe_share.mean


def test_clearance_is_that_of_all_images(gas):
    frame = gas(1, atoms=12)
    radii = {8: 0.7, 11: 1.6, 15: 1.1}
    found = clearance(frame, radii, 3.0)
    shape = found.shape
    images = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) @ frame.cell
    for index in ((0, 0, 0), (1, 2, 3), tuple(n - 1 for n in shape)):
        point = (np.array(index) / shape) @ frame.cell
        distance = np.linalg.norm(frame.positions[None] + images[:, None] - point, axis=2).min(axis=0)
        expected = (distance - np.array([radii[z] for z in frame.numbers])).min()
        assert found[index] == pytest.approx(expected)


def test_a_void_shows(glass):
    whole = glass(1000)
    centre = whole.cell.sum(axis=0) / 2
    kept = np.linalg.norm(whole.positions - centre, axis=1) > 5
    holed = Frame(whole.numbers[kept], whole.positions[kept], whole.cell)
    before, after = look(whole, spacing=0.7), look(holed, spacing=0.7)
    assert before.largest_radius.mean < 2.5
    assert after.largest_radius.mean > 3.0
    assert after.void_share.mean > before.void_share.mean


def test_bad_input_gives_a_sentence(gas):
    with pytest.raises(InputError, match="species 'V' is not"):
        Cavities(gas(0).numbers, radii={"V": 1.0})
    with pytest.raises(InputError, match="at least 0"):
        Cavities(gas(0).numbers, probe=-1)
