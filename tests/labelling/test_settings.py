from __future__ import annotations

import pytest

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.settings import LabelSettings, read_settings


def test_plain_values_return_the_same_settings():
    settings = LabelSettings(mode="relax", kpoints=(2, 2, 1), dispersion="grimme-d3")
    assert read_settings(settings.plain()) == settings


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
        ({"mode": "anneal"}, "mode"),
    ],
)
def test_faults_are_named(values, words):
    with pytest.raises(InputError, match="label settings: ") as error:
        read_settings(values)
    assert words in str(error.value)
