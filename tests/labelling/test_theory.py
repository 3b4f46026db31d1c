from __future__ import annotations

import pytest

from aiida_nvp.labelling import theory
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.labelling.theory import pw_theory, rehearsal_theory, theory_hash

PSEUDOS = {"Na": "a" * 64, "O": "b" * 64}


def level(pseudos=PSEUDOS, **changes):
    return theory_hash(pw_theory(LabelSettings(**changes), pseudos))


@pytest.mark.parametrize(
    "change",
    [
        {"functional": "PBEsol"},
        {"cutoff_wfc_ry": 50},
        {"cutoff_rho_ry": 400},
        {"kpoints": (1, 1, 1)},
        {"kpoints": (2, 2, 2)},
        {"smearing": "fermi-dirac"},
        {"degauss_ry": 0.02},
        {"starting_magnetization": {"V": 0.5}},
        {"dispersion": "grimme-d3"},
        {"kpoints": {"distance_per_angstrom": 0.3}},
        {"start": "valence"},
        {"hubbard": {"terms": {"V": {"u_ev": 3.25}}}},
        {"pseudos": {"Na": "a" * 64, "O": "c" * 64}},
    ],
)
def test_a_change_of_physics_changes_the_hash(change):
    assert level(**change) != level()


@pytest.mark.parametrize(
    "change",
    [
        {"mode": "relax"},
        {"relax_steps": 3},
        {"mixing_beta": 0.7},
        {"electron_maxstep": 50},
        {"conv_thr_per_atom_ry": 1e-8},
        {"functional": "pbe"},
        {"stress_converged": True},
        {"pseudos": dict(reversed(PSEUDOS.items()))},
    ],
)
def test_the_way_to_the_solution_does_not(change):
    assert level(**change) == level()


def test_u_and_its_projectors_are_part_of_the_level():
    levels = {
        level(hubbard={"projectors": projectors, "terms": {"V": {"u_ev": u}}})
        for projectors in ("atomic", "ortho-atomic")
        for u in (3.0, 3.25)
    }
    assert len(levels) == 4


def test_a_start_from_valences_does_not_ask_for_magnetisations():
    assert level(start="valence", starting_magnetization={"V": 0.5}) == level(start="valence")


def test_gamma_with_orthogonal_projectors_is_the_mesh_that_runs():
    hubbard = {"terms": {"V": {"u_ev": 3.25}}}
    assert level(hubbard=hubbard) == level(hubbard=hubbard, kpoints=(1, 1, 1))
    assert level(kpoints="gamma") != level(kpoints=(1, 1, 1))


def test_rehearsal_stands_for_itself(monkeypatch):
    before = theory_hash(rehearsal_theory())
    assert before != level()
    assert len(before) == 64
    monkeypatch.setattr(theory, "REHEARSAL_VERSION", theory.REHEARSAL_VERSION + 1)
    assert theory_hash(rehearsal_theory()) != before
