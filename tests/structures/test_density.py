import pytest

from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.density import FALLBACK_ATOMS_PER_ANGSTROM3, estimate_density_g_cm3


def test_binary_follows_the_measured_line():
    assert estimate_density_g_cm3(compose({"V2O5": 1, "P2O5": 1}, {}, 14)) == pytest.approx(2.82)
    assert estimate_density_g_cm3(compose({"V2O5": 3, "P2O5": 1}, {}, 28)) == pytest.approx(2.64 + 0.36 * 0.75)


@pytest.mark.parametrize(("oxides", "atoms"), [({"Na2O": 1, "V2O5": 1, "P2O5": 1}, 17), ({"SiO2": 1}, 3)])
def test_others_get_the_common_number_density(oxides, atoms):
    cell = compose(oxides, {}, atoms)
    assert cell.number_density(estimate_density_g_cm3(cell)) == pytest.approx(FALLBACK_ATOMS_PER_ANGSTROM3)
