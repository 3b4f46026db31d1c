import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.grid import MAXIMUM_SHIFT, grid_cells, grid_points, nearest_cell


def test_every_combination_the_last_list_fastest():
    points = grid_points({"Na2O": [10, 50], "V2O5": 20, "P2O5": 30}, {"V": [0, 1]}, 100)
    assert [point.reduced["V"] for point in points] == [0, 1, 0, 1]
    # 20 Na2O - 8 V2O5 - 12 P2O5 halved: 20 Na, 8 V, 12 P and 60 O; four O less where all V is reduced.
    assert (dict(points[2].oxides), points[2].atoms) == ({"Na2O": 10, "V2O5": 4, "P2O5": 6}, 100)
    assert points[3].atoms == 96


def test_zero_moles_leave_an_oxide_out():
    points = grid_points({"Na2O": [0, 25], "V2O5": 25, "P2O5": 25}, {}, 56)
    assert [sorted(point.oxides) for point in points] == [["P2O5", "V2O5"], ["Na2O", "P2O5", "V2O5"]]


@given(st.integers(5, 50), st.integers(5, 50), st.integers(5, 50), st.floats(0, 1), st.integers(80, 400))
def test_each_point_is_a_whole_neutral_cell_near_what_was_asked(sodium, vanadium, phosphorus, share, atoms):
    asked = {"Na2O": sodium, "V2O5": vanadium, "P2O5": phosphorus}
    try:
        point = nearest_cell(asked, {"V": share}, atoms)
    except InputError:
        assume(False)
    counts = compose(point.oxides, point.reduced, point.atoms).counts
    assert sum(counts.values()) == point.atoms
    assert abs(point.atoms - atoms) <= 16
    total, all_moles = sum(asked.values()), sum(point.oxides.values())
    for name, moles in asked.items():
        assert abs(point.oxides[name] / all_moles - moles / total) <= MAXIMUM_SHIFT
    assert abs(point.reduced["V"] - share) <= MAXIMUM_SHIFT


def test_cells_have_names_and_keep_the_rest():
    (cell,) = grid_cells({"name": "NVP", "oxides": {"Na2O": 1, "P2O5": [1]}, "atoms": 40, "copies": 3})
    assert cell["name"] == "NVP Na8P8O24"
    assert (cell["atoms"], cell["copies"]) == (40, 3)


@pytest.mark.parametrize(
    ("oxides", "reduced", "message"),
    [({"Na2O": 99, "P2O5": 1}, {}, "give more atoms"), ({"XyZ": 1}, {}, "not an oxide"),
     ({"P2O5": 0}, {}, "more than zero moles"), ({"Na2O": 1}, {"V": 0.5}, "do not hold")],
)  # fmt: skip
def test_points_without_a_cell_are_refused(oxides, reduced, message):
    with pytest.raises(InputError, match=message):
        grid_points(oxides, reduced, 12)
