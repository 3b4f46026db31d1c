from __future__ import annotations

import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.settings import LabelSettings, read_settings, valence_manifolds


def test_plain_values_return_the_same_settings():
    settings = LabelSettings(mode="relax", kpoints=(2, 2, 1), dispersion="grimme-d3")
    assert read_settings(settings.plain()) == settings


def test_hubbard_terms_and_a_density_survive_plain_values():
    settings = LabelSettings(
        kpoints={"distance_per_angstrom": 0.3},
        hubbard={"projectors": "atomic", "terms": {"V": {"u_ev": 3.25}, "Fe": {"u_ev": 4.0}}},
    )
    assert read_settings(settings.plain()) == settings
    assert settings.hubbard.terms["V"].manifold == "3d"


@pytest.mark.parametrize(
    ("symbol", "manifolds"),
    [("O", {"1s", "2s", "2p"}), ("V", {"1s", "2s", "2p", "3s", "3p", "4s", "3d"}), ("Na", {"1s", "2s", "2p", "3s"})],
)
def test_manifolds_fill_in_the_order_of_madelung(symbol, manifolds):
    assert valence_manifolds(symbol) == manifolds


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"cutoff_wfc_ev": 400}, "cutoff_wfc_ev"),
        ({"starting_magnetization": {"V": 0.0}}, "V starts at 0"),
        ({"starting_magnetization": {"vanadium": 0.3}}, "vanadium is no chemical symbol; write it as `V: 0.3`"),
        ({"starting_magnetization": {"V": 3.0}}, "starting_magnetization.V"),
        ({"cutoff_wfc_ry": 60, "cutoff_rho_ry": 200}, "four times"),
        ({"kpoints": [2, 2]}, "kpoints"),
        ({"kpoints": [2, 0, 2]}, "kpoints"),
        ({"hubbard": {"V": 3.25}}, "hubbard"),
        ({"hubbard": {"terms": {}}}, "hubbard.terms"),
        ({"hubbard": {"terms": {"Vx": {"u_ev": 3.0}}}}, "no element"),
        ({"hubbard": {"terms": {"O": {"u_ev": 3.0}}}}, "O has no 3d electrons, only 1s, 2p, 2s"),
        ({"hubbard": {"terms": {"V": {"u_ev": -1.0}}}}, "u_ev"),
        ({"kpoints": {"distance_per_angstrom": 0}}, "kpoints"),
        ({"mode": "anneal"}, "mode"),
    ],
)
def test_faults_are_named(values, words):
    with pytest.raises(InputError, match="label settings: ") as error:
        read_settings(values)
    assert words in str(error.value)
