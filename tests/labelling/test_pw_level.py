from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.one_level import (
    VALENCE_START,
    MixedLevelsError,
    common_theory,
    differences,
    refuse_others,
    stated_theory,
)
from aiida_nvp.labelling.pw_level import PwRun, read_level
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.labelling.theory import pw_theory, theory_hash
from aiida_nvp.labelling.upf import Pseudo, read_upf

SHA = {symbol: hashlib.sha256(symbol.encode()).hexdigest() for symbol in ("Na", "V", "P", "O")}
VALENCE = {"Na": 9.0, "V": 13.0, "P": 5.0, "O": 6.0}


def cell(symbols="NaVO3", edge=6.0):
    """Atoms on a line, far apart: only the composition and the cell count here."""
    count = len(Atoms(symbols))
    positions = np.linspace(0, 1, count, endpoint=False)[:, None] * [edge, 0, 0] + [[0, 0.1, 0.2]]
    return Atoms(symbols, positions=positions, cell=[edge] * 3, pbc=True)


def run(symbols="NaVO3", atoms=None, kinds=None, system=None, **changes):
    """A calculation as somebody else might have set it up: pw.x's own names and defaults."""
    atoms = cell(symbols) if atoms is None else atoms
    kinds = tuple(kinds or atoms.get_chemical_symbols())
    elements = dict(zip(kinds, atoms.get_chemical_symbols(), strict=True))
    given = {"ecutwfc": 45, "ecutrho": 360, "occupations": "smearing", "smearing": "gauss", "degauss": 0.01}
    if "V" in elements.values():
        given |= {"nspin": 2, "starting_magnetization": {"V": 0.3}}
    values = {
        "atoms": atoms,
        "kinds": kinds,
        "parameters": {"CONTROL": {"calculation": "scf"}, "SYSTEM": given | (system or {}), "ELECTRONS": {}},
        "pseudos": {kind: Pseudo(SHA[e], "PBE", VALENCE[e]) for kind, e in elements.items()},
        "settings": {"GAMMA_ONLY": True},
        "mesh": (1, 1, 1),
    }
    return PwRun(**(values | changes))


def theory(*runs):
    return common_theory({f"PwCalculation<{number}>": read_level(each) for number, each in enumerate(runs)})


def expected(symbols=("Na", "V", "P", "O"), **settings):
    return pw_theory(LabelSettings(**settings), {symbol: SHA[symbol] for symbol in symbols})


def test_the_same_settings_have_the_same_hash_however_they_were_written():
    assert theory(run(), run("NaPO3")) == expected()
    assert theory_hash(theory(run(), run("NaPO3"))) == theory_hash(expected())
    assert theory(run(system={"input_dft": "pbe", "nosym": True, "nbnd": 40, "tot_charge": 0})) == expected(
        ("Na", "V", "O")
    )
    assert theory(run("NaPO3")) == expected(("Na", "P", "O"), starting_magnetization={})


@pytest.mark.parametrize(
    ("changes", "settings"),
    [
        ({"system": {"input_dft": "PBESOL"}}, {"functional": "PBEsol"}),
        ({"system": {"ecutwfc": 60, "ecutrho": 480}}, {"cutoff_wfc_ry": 60, "cutoff_rho_ry": 480}),
        ({"system": {"smearing": "m-v"}}, {"smearing": "marzari-vanderbilt"}),
        ({"system": {"smearing": "cold", "degauss": 0.02}}, {"smearing": "marzari-vanderbilt", "degauss_ry": 0.02}),
        ({"system": {"vdw_corr": "DFT-D3"}}, {"dispersion": "grimme-d3"}),
        ({"system": {"starting_magnetization": {"V": 0.5}}}, {"starting_magnetization": {"V": 0.5}}),
        ({"settings": {}, "mesh": (2, 2, 2)}, {"kpoints": (2, 2, 2)}),
        ({"settings": {}, "mesh": (3, 3, 3), "distance": 0.4}, {"kpoints": {"distance_per_angstrom": 0.4}}),
        ({"settings": {}, "mesh": (4, 4, 4), "distance": 0.4}, {"kpoints": (4, 4, 4)}),
    ],
)
def test_each_setting_is_found(changes, settings):
    assert theory(run(**changes)) == expected(("Na", "V", "O"), **settings)


def hubbard(kind_index=1, value=4.0, projectors="ortho-atomic", **changes):
    entry = {
        "atom_index": kind_index,
        "atom_manifold": "3d",
        "neighbour_index": kind_index,
        "neighbour_manifold": "3d",
        "translation": [0, 0, 0],
        "value": value,
        "hubbard_type": "Ueff",
    }
    return {"parameters": [entry | changes], "projectors": projectors, "formulation": "dudarev"}


def test_hubbard_terms_are_found_by_element():
    settings = {"kpoints": (1, 1, 1), "hubbard": {"terms": {"V": {"manifold": "3d", "u_ev": 4.0}}}}
    runs = [run(settings={}, hubbard=hubbard()), run("NaPO3", settings={})]
    assert theory(*runs) == expected(**settings)
    with pytest.raises(MixedLevelsError, match=r"hubbard\.V is .*4\.0.* in 1 .* and null in 1"):
        theory(run(settings={}, hubbard=hubbard()), run(settings={}))
    with pytest.raises(MixedLevelsError, match="hubbard_projectors is"):
        theory(run(settings={}, hubbard=hubbard()), run(settings={}, hubbard=hubbard(projectors="atomic")))


@pytest.mark.parametrize(
    "parameters",
    [
        hubbard(neighbour_index=2, neighbour_manifold="2p", hubbard_type="V"),
        hubbard(hubbard_type="J"),
        {**hubbard(), "formulation": "liechtenstein"},
    ],
)
def test_other_corrections_are_another_level(parameters):
    found = theory(run(settings={}, hubbard=parameters))
    assert found["hubbard"] is None
    assert found["other"] == {"hubbard": parameters}


def test_a_term_on_some_atoms_of_an_element_is_another_level():
    atoms = cell("NaV2O5")
    kinds = ["Na", "V4", "V5", *["O"] * 5]
    start = {"starting_magnetization": {"V4": 0.3, "V5": 0.3}}
    found = theory(run(atoms=atoms, kinds=kinds, system=start, settings={}, hubbard=hubbard()))
    assert found["hubbard"] is None
    assert "hubbard" in found["other"]


@pytest.mark.parametrize(
    "system",
    [
        {"tot_charge": 1},
        {"tot_magnetization": 2},
        {"nspin": 4, "noncolin": True},
        {"input_dft": "PBE0", "exx_fraction": 0.2},
        {"assume_isolated": "mt"},
        {"lda_plus_u": True, "hubbard_u": {"V": 4.0}},
    ],
)
def test_unknown_physics_never_passes_for_the_usual(system):
    found = theory(run(system=system))
    assert found["other"]
    assert theory_hash(found) != theory_hash(expected(("Na", "V", "O")))


def test_k_points_of_other_kinds_stand_for_themselves():
    assert theory(run(settings={}, mesh=(2, 2, 2), offset=(0.5, 0.5, 0.5)))["kpoints"] == {
        "mesh": [2, 2, 2],
        "offset": [0.5, 0.5, 0.5],
    }
    points = [[0.0, 0.0, 0.0, 0.5], [0.5, 0.0, 0.0, 0.5]]
    assert theory(run(settings={}, mesh=None, points=points))["kpoints"] == {"points": points}


def test_kinds_with_several_starts():
    atoms = cell("NaV2O5")
    kinds = ["Na", "V1", "V2", *["O"] * 5]
    found = theory(run(atoms=atoms, kinds=kinds, system={"starting_magnetization": {"V1": 0.5, "V2": -0.5}}))
    assert found["spin"] == {"V1": 0.5, "V2": -0.5}
    assert set(found["pseudopotentials"]) == {"Na", "V", "O"}


def recipe_run(symbols):
    from aiida_nvp.common.vocabulary import StartRecipe
    from aiida_nvp.labelling.valence import starting_state

    atoms = cell(symbols)
    state = starting_state(atoms, StartRecipe.FERROMAGNETIC)
    start = state.magnetization(VALENCE)
    return run(atoms=atoms, kinds=state.kinds, system={"nspin": 2 if start else 1, "starting_magnetization": start})


def test_the_valence_recipe_is_recognised():
    mixed, full, plain = recipe_run("NaV2O5"), recipe_run("NaVO3"), recipe_run("NaPO3")
    assert set(mixed.kinds) >= {"V4", "V5"}
    assert theory(mixed)["spin"] == VALENCE_START
    assert theory(mixed, full, plain) == expected(start="valence")
    with pytest.raises(MixedLevelsError, match=r"spin\.V"):
        theory(mixed, full, run())


def test_mixed_levels_are_counted_and_named():
    runs = [run(), run(system={"ecutwfc": 60}), run("NaPO3"), run(system={"degauss": 0.02})]
    with pytest.raises(MixedLevelsError) as refused:
        theory(*runs)
    said = str(refused.value)
    assert "4 calculations are of several levels of theory" in said
    assert "cutoff_wfc_ry is 45.0 in 3 (PwCalculation<0> first) and 60.0 in 1 (PwCalculation<1> first)" in said
    assert "smearing is" in said
    with pytest.raises(MixedLevelsError, match="distance_per_angstrom"):
        theory(run(settings={}, mesh=(2, 2, 2)), run("NaPO3", settings={}, mesh=(3, 3, 3)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: replace(r, parameters={"SYSTEM": {}}), "no `ecutwfc`"),
        (lambda r: replace(r, parameters={"CONTROL": {"calculation": "bands"}}), "`bands` gives no forces"),
        (lambda r: replace(r, settings={"FIXED_COORDS": [[True] * 3] * 5}), "held fixed"),
        (lambda r: replace(r, settings={"ATOMIC_FORCES": [[0.1] * 3] * 5}), "external forces"),
        (lambda r: replace(r, pseudos={}), "no pseudopotential|state one functional"),
        (lambda r: replace(r, pseudos={k: replace(p, functional="") for k, p in r.pseudos.items()}), "one functional"),
        (lambda r: replace(r, atoms=Atoms("NaVO3", positions=r.atoms.positions, cell=[6] * 3)), "not periodic"),
    ],
)
def test_inputs_that_tell_no_level_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        read_level(change(run()))


def departs(stated, each):
    return differences(stated_theory(stated), each, read_level(each))


def test_a_stated_level_is_held_against_what_was_done():
    assert departs(expected(), run()) == {}
    assert departs(expected(), run("NaPO3")) == {}
    assert departs(expected(), run(settings={})) == {}
    assert departs(expected(cutoff_wfc_ry=50), run()) == {"cutoff_wfc_ry": (50.0, 45.0)}
    assert departs(expected(starting_magnetization={"V": 0.5}), run()) == {"spin.V": (0.5, 0.3)}
    assert set(departs(expected(("Na", "O")), run())) == {"pseudopotentials.V"}
    assert set(departs(expected(), run(system={"tot_charge": 1}))) == {"other"}
    density = expected(kpoints={"distance_per_angstrom": 0.5})
    assert departs(density, run(settings={}, mesh=(3, 3, 3))) == {}
    assert set(departs(density, run(settings={}, mesh=(2, 2, 2)))) == {"kpoints"}
    valence = expected(start="valence")
    assert departs(valence, recipe_run("NaV2O5")) == departs(valence, recipe_run("NaPO3")) == {}
    assert departs(valence, run())["spin.V"][0] == "by valence"
    plus_u = expected(kpoints=(1, 1, 1), hubbard={"terms": {"V": {"u_ev": 4.0}}})
    assert departs(plus_u, run(hubbard=hubbard())) == {}
    assert set(departs(plus_u, run())) == {"hubbard.V", "hubbard_projectors"}
    assert departs(plus_u, run("NaPO3")) == {}


def test_calculations_of_another_level_are_counted():
    refuse_others({}, 3)
    found = {name: {"cutoff_wfc_ry": (45.0, 60.0)} for name in ("PwCalculation<7>", "PwCalculation<8>")}
    with pytest.raises(MixedLevelsError, match=r"2 of 5 .*: cutoff_wfc_ry is 60.0 instead of 45.0 in 2 \(Pw.*7> first"):
        refuse_others(found, 5)


def test_a_level_that_a_user_writes_comes_out_in_one_form():
    written = {**expected(), "functional": "pbe", "cutoff_wfc_ry": 45, "cutoff_rho_ry": 360, "hash": "x"}
    assert stated_theory(written) == expected()
    assert stated_theory(expected(start="valence")) == expected(start="valence")
    by_hand = {"labeller": "vasp", "encut_ev": 520}
    assert stated_theory(by_hand) == by_hand
    assert stated_theory({**expected(), "other": {"tot_charge": 1}})["other"] == {"tot_charge": 1}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "`labeller: vasp`"),
        ({"functional": "PBE"}, "name the program"),
        ({"labeller": "vasp", "encut": float("nan")}, "cannot be written as JSON"),
        ({"labeller": "quantumespresso", "functional": "PBE", "cutoff": 45}, "lacks cutoff_rho_ry.*has no key cutoff"),
        ({**expected(), "smearing": "cold"}, "label settings: smearing"),
        ({**expected(), "pseudopotentials": ["Na"]}, "species to SHA-256"),
    ],
)
def test_a_level_that_is_badly_stated_is_refused(values, words):
    with pytest.raises(InputError, match=words):
        stated_theory(values)


@pytest.mark.parametrize(
    ("head", "functional", "valence"),
    [
        ('<UPF version="2.0.1"><PP_HEADER functional="PBE" z_valence="1.300E+01"/>', "PBE", 13.0),
        ('<PP_HEADER functional=" SLA PW PSX PSC" z_valence="   6.0D0"/>', "PBESOL", 6.0),
        (
            "<PP_HEADER>\n   13.00000000000      Z valence\n"
            " SLA  PW   PBE  PBE     PBE  Exchange-Correlation functional\n",
            "PBE",
            13.0,
        ),
        ("no head", "", 0.0),
    ],
)
def test_heads_of_pseudopotentials(head, functional, valence):
    found = read_upf(head.encode())
    assert (found.functional, found.z_valence) == (functional, valence)
    assert found.sha256 == hashlib.sha256(head.encode()).hexdigest()
