"""Oxidation states against charge balances done by hand, and what a start must keep when the cell is only rewritten."""

import json
import re

import numpy as np
import pytest
from ase import Atoms
from ase.formula import Formula
from ase.spacegroup import crystal
from hypothesis import given, settings
from hypothesis import strategies as st

from aiida_nvp.common.elements import ANION, CATIONS
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import StartRecipe
from aiida_nvp.labelling.valence import (
    CLOSED_SHELL_FRACTION,
    StartingState,
    assign_states,
    bond_valence_sums,
    oxidation_counts,
    starting_state,
)
from aiida_nvp.structures.composition import compose, formula_unit

FERRO, PERMUTED, ANTI = StartRecipe.FERROMAGNETIC, StartRecipe.PERMUTED, StartRecipe.ANTIFERROMAGNETIC
Z = {"V": 13.0, "Fe": 16.0, "Ti": 12.0, "Mn": 15.0}
OCTAHEDRON = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], dtype=float)
TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
# A vanadyl bond and four bonds in the base, V 0.47 above it: the square pyramid of V2O5 (angstrom).
PYRAMID = np.array([[0, 0, 1.58], *([1.82 * x, 1.82 * y, -0.47] for x, y in [(1, 0), (-1, 0), (0, 1), (0, -1)])])


def symbols(formula):
    return list(Formula(formula))


def cell(formula, seed=0, edge=None):
    """Atoms of the formula at random places; ``edge`` of the cubic cell in angstrom, from the usual density if None."""
    names = symbols(formula)
    edge = edge or (len(names) / 0.075) ** (1 / 3)
    return Atoms(names, scaled_positions=np.random.default_rng(seed).random((len(names), 3)), cell=[edge] * 3, pbc=True)


def octahedra(lengths, charge):
    """One isolated VO6 for each bond length, 12 angstrom apart in a row; sodium far away leaves V a total charge."""
    atoms = Atoms(cell=[12.0 * len(lengths), 12, 24], pbc=True)
    for site, length in enumerate(lengths):
        centre = np.array([12.0 * site + 6, 6, 6])
        atoms += Atoms("VO6", positions=[centre, *(centre + length * OCTAHEDRON)])
    for index in range(12 * len(lengths) - charge):
        atoms += Atoms("Na", positions=[[1.5 * index, 6, 18]])
    return atoms


@pytest.mark.parametrize(
    ("formula", "counts"),
    [
        ("NaVPO5", {"V": {4: 1}}),
        ("Na3V2P3O12", {"V": {3: 2}}),
        ("V2O5", {"V": {5: 2}}),
        ("Na2V2P2O11", {"V": {5: 2}}),
        ("Na2V2P2O10", {"V": {4: 2}}),
        # 16 = 1 + 10 + 5; one sodium more takes one V5+ along
        ("NaV2PO8", {"V": {5: 2}}),
        ("Na2V2PO8", {"V": {5: 1, 4: 1}}),
        ("V6O13", {"V": {5: 2, 4: 4}}),
        ("V4O7", {"V": {4: 2, 3: 2}}),
        ("Na2SiO3", {}),
        ("Na2Ti3O7", {"Ti": {4: 3}}),
        ("NaTi3O6", {"Ti": {4: 2, 3: 1}}),
        ("Fe3O4", {"Fe": {3: 2, 2: 1}}),
        ("Cu3O2", {"Cu": {2: 1, 1: 2}}),
        # three electrons missing: both V5+ first, then one Fe3+, and V3+ only when no Fe3+ is left
        ("V2Fe2O8", {"V": {5: 2}, "Fe": {3: 2}}),
        ("Na3V2Fe2O8", {"V": {4: 2}, "Fe": {3: 1, 2: 1}}),
        ("Na5V2Fe2O8", {"V": {4: 1, 3: 1}, "Fe": {2: 2}}),
    ],
)
def test_charge_balance_gives_the_states(formula, counts):
    assert oxidation_counts(symbols(formula)) == counts
    assert oxidation_counts(Atoms(formula).numbers) == counts
    tripled = {symbol: {state: 3 * n for state, n in by_state.items()} for symbol, by_state in counts.items()}
    assert oxidation_counts(symbols(formula) * 3) == tripled


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("VO3", r"VO3: a charge of -1 is left with every cation in its highest state \(V at \+5\); .* too much"),
        ("VO", r"VO: a charge of \+1 is left with every cation in its lowest state \(V at \+3\); .* too little"),
        ("NaPO4", r"NaPO4: a charge of -2 is left .* \(Na at \+1, P at \+5\)"),
        ("Na2PO3", r"Na2PO3: a charge of \+1 is left"),
        ("V2", r"V2: a charge of \+6 is left"),
        ("NaCl", "no oxide of `Cl` is known here"),
    ],
)
def test_what_no_state_can_balance_is_refused(formula, words):
    with pytest.raises(InputError, match=words):
        oxidation_counts(symbols(formula))


@settings(deadline=None, max_examples=60)
@given(
    oxides=st.fixed_dictionaries(
        {"V2O5": st.integers(0, 4), "Fe2O3": st.integers(0, 3), "P2O5": st.integers(1, 4), "Na2O": st.integers(0, 4)}
    ),
    reduced=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    seed=st.integers(0, 2**32 - 1),
    recipe=st.sampled_from(list(StartRecipe)),
)
def test_every_start_of_a_neutral_cell_is_neutral(oxides, reduced, seed, recipe):
    shares = {"V": reduced} if oxides["V2O5"] else {}
    unit = formula_unit(oxides, shares)
    composition = compose(oxides, shares, unit.n_atoms)
    state = starting_state(cell(composition.formula, seed), recipe, seed)
    assert state.states.sum() == 0
    vanadium = state.states[[symbol == "V" for symbol in state.symbols]]
    assert (vanadium == 4).sum() == composition.reduced.get("V", 0)
    assert state.unpaired.sum() == composition.unpaired_electrons
    assert all(value != 0 and abs(value) <= 1 for value in state.magnetization(Z).values())


@pytest.mark.parametrize(("length", "low", "high"), [(1.54, 4.9, 5.0), (1.52, 5.1, 5.3)])
def test_phosphate_has_the_valence_of_phosphorus(length, low, high):
    atoms = Atoms("PO4", positions=[[0, 0, 0], *(length * TETRAHEDRON)], cell=[12] * 3, pbc=True)
    sums = bond_valence_sums(atoms)
    assert low < sums[0] < high
    assert sums[1:] == pytest.approx(sums[0] / 4)


def test_square_pyramid_has_the_valence_of_vanadium():
    atoms = Atoms("VO5", positions=[[0, 0, 0], *PYRAMID], cell=[12] * 3, pbc=True)
    # exp((1.803 - 1.58) / 0.37) and four of exp((1.803 - 1.880) / 0.37)
    assert bond_valence_sums(atoms)[0] == pytest.approx(1.827 + 4 * 0.813, abs=0.01)


def test_crystalline_vanadium_oxide_has_the_valences_of_its_formula():
    # Enjalbert and Galy 1986, doi:10.1107/S0108270186091825; the cell is hardly longer than the cutoff.
    sites = [(0.10118, 0.25, 0.8917), (0.1043, 0.25, 0.531), (-0.0689, 0.25, 0.003), (0.25, 0.25, 0.001)]
    atoms = crystal("VOOO", sites, spacegroup=59, setting=2, cellpar=[11.512, 3.564, 4.368, 90, 90, 90])
    sums = bond_valence_sums(atoms)
    assert sums[atoms.symbols == "V"] == pytest.approx(5, abs=0.25)
    assert sums[atoms.symbols == ANION] == pytest.approx(2, abs=0.25)
    assert set(assign_states(atoms).states.tolist()) == {5, -2}


def test_an_unlisted_radius_follows_from_the_usual_bonds():
    atoms = Atoms("HO", positions=[[0, 0, 0], [CATIONS["H"].bond, 0, 0]], cell=[12] * 3, pbc=True)
    assert bond_valence_sums(atoms) == pytest.approx([1, 1])


def test_images_count_in_a_cell_smaller_than_the_cutoff():
    # Cubic perovskite without its large cation, 3.7 angstrom: each oxygen of the cell is bonded to Ti from two sides.
    atoms = Atoms("TiO3", scaled_positions=[[0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]], cell=[3.7] * 3, pbc=True)
    sums = bond_valence_sums(atoms)
    assert sums[0] == pytest.approx(6 * np.exp((1.815 - 1.85) / 0.37), rel=1e-9)
    assert sums[1:] == pytest.approx(sums[0] / 3)
    assert bond_valence_sums(atoms, 5.0)[0] > sums[0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.tuples(*[st.integers(1, 2)] * 3))
def test_a_supercell_has_the_same_sums_and_states(seed, repeat):
    small = cell("Na2V2PO8", seed)
    large, times = small.repeat(repeat), int(np.prod(repeat))
    few, many = assign_states(small), assign_states(large)
    assert many.bond_valence_sums == pytest.approx(np.tile(few.bond_valence_sums, times), rel=1e-9)
    assert many.states.tolist() == few.states.tolist() * times
    assert many.counts["V"] == {state: times * n for state, n in few.counts["V"].items()}


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_states_follow_their_atoms(seed):
    rng = np.random.default_rng(seed)
    atoms = cell("Na4V4P2O16", seed)
    order = rng.permutation(len(atoms))
    moved = atoms[order]
    moved.positions += rng.normal(size=3) + rng.integers(-2, 3, (len(atoms), 3)) @ atoms.cell.array
    for recipe in (FERRO, PERMUTED):
        assert (
            starting_state(moved, recipe, 3).states.tolist() == starting_state(atoms, recipe, 3).states[order].tolist()
        )


def test_short_bonds_mark_the_higher_state():
    tight, loose = octahedra([1.90, 1.98], 9), octahedra([1.98, 1.90], 9)
    assert assign_states(tight).counts == {"V": {5: 1, 4: 1}}
    assert assign_states(tight).states[[0, 7]].tolist() == [5, 4]
    assert assign_states(loose).states[[0, 7]].tolist() == [4, 5]


def test_a_vanadyl_bond_marks_the_higher_state():
    atoms = octahedra([1.95, 1.95], 9)
    atoms.positions[12, 2] -= 0.35
    assert atoms.symbols[12] == ANION
    assert assign_states(atoms).states[[0, 7]].tolist() == [4, 5]


def test_equal_sites_are_taken_in_order():
    assert assign_states(octahedra([1.95, 1.95], 9)).states[[0, 7]].tolist() == [5, 4]


def test_a_cell_without_volume_is_refused():
    with pytest.raises(InputError, match="no volume"):
        bond_valence_sums(Atoms("VO", positions=[[0, 0, 0], [1.6, 0, 0]]))


def test_ferromagnetic_is_high_spin_and_up():
    state = starting_state(octahedra([1.90, 1.98], 9), FERRO)
    sites = [0, 7]
    assert state.unpaired[sites].tolist() == [0, 1]
    assert state.signs[sites].tolist() == [1, 1]
    assert set(np.delete(state.signs, sites)) == {0}
    assert [state.kinds[site] for site in sites] == ["V5", "V4"]
    assert set(state.kinds) == {"V5", "V4", "O", "Na"}
    assert state.magnetization(Z) == {"V5": CLOSED_SHELL_FRACTION, "V4": 0.3}
    assert state.net_moment == 1
    assert not state.differs


def test_one_group_keeps_the_plain_symbol():
    state = starting_state(octahedra([1.95, 1.95], 8), FERRO)
    assert set(state.kinds) == {"V", "O", "Na"}
    assert state.magnetization({"V": 13}) == {"V": 0.3}
    assert starting_state(cell("Na3V2P3O12"), FERRO).magnetization({"V": 13}) == {"V": 0.6}


def test_permuted_deals_the_same_states_to_other_sites():
    atoms = octahedra([1.90, 1.93, 1.96, 1.99], 18)
    usual, others = starting_state(atoms, FERRO), [starting_state(atoms, PERMUTED, seed) for seed in range(20)]
    assert all(sorted(other.states) == sorted(usual.states) for other in others)
    assert all(other.differs and (other.states != usual.states).any() for other in others)
    assert len({tuple(other.states) for other in others}) > 1
    assert starting_state(atoms, PERMUTED, 7).states.tolist() == others[7].states.tolist()


@pytest.mark.parametrize(
    ("recipe", "formula"), [(PERMUTED, "NaVPO5"), (PERMUTED, "Na2V2P2O10"), (ANTI, "NaVPO5"), (ANTI, "Na2Si2O5")]
)
def test_a_recipe_without_effect_says_so(recipe, formula):
    atoms = cell(formula)
    state, usual = starting_state(atoms, recipe), starting_state(atoms, FERRO)
    assert not state.differs
    assert state.magnetization(Z) == usual.magnetization(Z)
    assert state.kinds == usual.kinds


def test_antiferromagnetic_opposes_neighbours():
    atoms = octahedra([1.95] * 4, 16)
    # Moved along the row, so that the nearest neighbours are 0-2 and 1-3 by index.
    order = np.concatenate([np.arange(7 * site, 7 * site + 7) for site in (0, 2, 1, 3)])
    atoms = atoms[np.concatenate([order, np.arange(28, len(atoms))])]
    state = starting_state(atoms, ANTI)
    assert state.signs[[0, 7, 14, 21]].tolist() == [1, 1, -1, -1]
    assert state.net_moment == 0
    assert state.differs
    assert state.kinds[0] == "V4"
    assert state.magnetization(Z) == {"V4": 0.3, "V9": -0.3}


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["Na2V2PO8", "Na5V2Fe2O8", "Na6V6P6O30", "V2O5", "NaTi3O6"]))
def test_antiferromagnetic_signs_balance(seed, formula):
    atoms = cell(formula, seed)
    state, usual = starting_state(atoms, ANTI), starting_state(atoms, FERRO)
    assert state.states.tolist() == usual.states.tolist()
    carriers = state.unpaired > 0 if state.unpaired.any() else state.signs != 0
    assert state.signs[carriers].sum() in {0, 1}
    assert (state.signs[~carriers] >= 0).all()
    assert state.differs == (carriers.sum() > 1)


def test_a_cell_without_unpaired_electrons_still_starts_from_a_seed():
    assert starting_state(cell("V2O5"), FERRO).magnetization(Z) == {"V": CLOSED_SHELL_FRACTION}
    opposed = starting_state(cell("V2O5"), ANTI)
    assert opposed.magnetization(Z) == {"V5": CLOSED_SHELL_FRACTION, "V0": -CLOSED_SHELL_FRACTION}
    assert starting_state(cell("Na2Si2O5"), FERRO).magnetization({}) == {}


def test_no_start_is_larger_than_all_valence_electrons():
    assert starting_state(cell("Fe2O3"), FERRO).magnetization(Z) == {"Fe": 1.0}


@pytest.mark.parametrize("z_valence", [{}, {"V": 0}, {"V": -1}])
def test_the_valence_electrons_have_to_be_known(z_valence):
    with pytest.raises(InputError, match="z_valence: V has"):
        starting_state(cell("NaVPO5"), FERRO).magnetization(z_valence)


def test_kind_names_fit_pw_and_are_unique():
    made = []
    for symbol, element in CATIONS.items():
        states, signs = np.repeat(element.states, 2), np.tile([1, -1], len(element.states))
        kinds = StartingState(FERRO, (symbol,) * len(states), states, np.zeros_like(states), signs, False).kinds
        assert all(re.fullmatch(rf"{symbol}\d", kind) for kind in kinds)
        made += kinds
    assert len(made) == len(set(made))
    assert max(map(len, made)) == 3


def test_a_start_can_be_stored():
    plain = starting_state(cell("Na2V2PO8"), ANTI).plain()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["recipe"] == "antiferromagnetic"


def test_the_table_of_elements_is_complete_in_itself():
    for element in CATIONS.values():
        assert len(element.potentials) == len(element.spins) - 1
        assert list(element.potentials) == sorted(element.potentials, reverse=True)
        assert len(element.r0) in {0, len(element.spins)}
        assert min(element.states) > 0
        # The usual shell of any element carries about its charge.
        shell = element.coordination * np.exp((element.unit_length - element.bond) / 0.37)
        assert shell == pytest.approx(element.charge, rel=0.5)
