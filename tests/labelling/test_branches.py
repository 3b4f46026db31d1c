from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.common.vocabulary import StartRecipe
from aiida_nvp.labelling.branches import Solution, compare, is_drawn, most_other_starts, other_starts, usual_start
from aiida_nvp.labelling.settings import LabelSettings

GRID = 2.3 * np.array(list(np.ndindex(2, 2, 2)), dtype=float)


def solution(start, energy, force=0.0):
    forces = np.zeros((4, 3))
    forces[2] = [0.6 * force, 0.0, 0.8 * force]
    return Solution(start, energy, forces)


def packed(symbols):
    atoms = Atoms(symbols, cell=[4.6] * 3, pbc=True)
    atoms.positions = GRID[: len(atoms)]
    return atoms


def test_the_lowest_is_kept_and_spreads_are_measured_from_it():
    check = compare([solution("ferromagnetic", -10.0, 0.3), solution("permuted", -10.004), solution("other", -10.0036)])
    assert check.kept == "permuted"
    assert check.energies == {"ferromagnetic": pytest.approx(0.001), "permuted": 0.0, "other": pytest.approx(0.0001)}
    assert check.energy_spread == pytest.approx(0.001)
    assert check.force_spread == pytest.approx(0.3)
    assert "lowest: permuted" in check.sentence


@pytest.mark.parametrize(
    ("energy", "force", "ambiguous"),
    [(0.0, 0.0, False), (4 * 0.0019, 0.099, False), (4 * 0.0021, 0.0, True), (0.0, 0.11, True)],
)
def test_a_label_is_ambiguous_above_two_millielectronvolts_an_atom_or_a_tenth_in_force(energy, force, ambiguous):
    check = compare([solution("ferromagnetic", -1.0), solution("permuted", -1.0 + energy, force)])
    assert check.ambiguous is ambiguous
    assert check.plain()["ambiguous"] is ambiguous
    assert ("above" if ambiguous else "within") in check.sentence


def test_equal_solutions_keep_the_usual_start():
    assert compare([solution("ferromagnetic", -1.0), solution("permuted", -1.0)]).kept == "ferromagnetic"


def test_one_solution_is_no_comparison():
    with pytest.raises(ValueError, match="two solutions"):
        compare([solution("ferromagnetic", -1.0)])


@given(st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_draws_all_that_a_smaller_one_draws(number, first, second):
    small, large = sorted((first, second))
    assert is_drawn(f"frame {number}", large) or not is_drawn(f"frame {number}", small)
    assert not is_drawn(f"frame {number}", 0.0)
    assert is_drawn(f"frame {number}", 1.0)


def test_the_share_is_met_over_many_frames():
    drawn = sum(is_drawn(f"frame {number}", 0.1) for number in range(20_000))
    # Five standard deviations of a binomial distribution.
    assert drawn == pytest.approx(2000, abs=5 * (20_000 * 0.1 * 0.9) ** 0.5)


@pytest.mark.parametrize(
    ("symbols", "recipes"),
    [
        ("NaV2O5", (StartRecipe.PERMUTED,)),
        ("V2O4", (StartRecipe.ANTIFERROMAGNETIC,)),
        ("V2O5", (StartRecipe.ANTIFERROMAGNETIC,)),
        ("NaPO3", ()),
        ("NaVO3", ()),
        ("NaO", ()),
    ],
)
def test_other_starts_exist_where_there_is_something_to_permute_or_oppose(symbols, recipes):
    assert other_starts(packed(symbols), LabelSettings(start="valence")) == recipes


def test_a_cell_that_is_labelled_without_spins_has_no_other_start():
    assert other_starts(packed("V2O4"), LabelSettings(starting_magnetization={"P": 0.1})) == ()
    assert other_starts(packed("V2O4"), LabelSettings()) == (StartRecipe.ANTIFERROMAGNETIC,)


def test_the_usual_start_has_the_name_of_its_recipe():
    assert usual_start(LabelSettings(start="valence")) == "ferromagnetic"
    assert usual_start(LabelSettings()) == "species"


@pytest.mark.parametrize(
    ("symbols", "count"), [("NaPO3", 0), ("VO2", 0), ("V2O4", 1), ("NaV2O5", 2), ("NaP", 0), ("Ar", 0)]
)
def test_the_most_starts_of_a_composition_bound_those_of_its_geometries(symbols, count):
    atoms = packed(symbols)
    assert most_other_starts(atoms.get_chemical_symbols()) == count
    assert len(other_starts(atoms, LabelSettings(start="valence"))) <= count
