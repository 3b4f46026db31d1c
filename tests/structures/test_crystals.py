import io

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write

from aiida_nvp.common.errors import InputError
from aiida_nvp.structures.crystals import Variation, read_cif, vary

SALT = bulk("NaCl", "rocksalt", a=5.6, cubic=True)


def test_cif_text_is_read():
    buffer = io.BytesIO()
    write(buffer, SALT, format="cif")
    crystal = read_cif(buffer.getvalue().decode())
    assert sorted(crystal.get_chemical_symbols()) == sorted(SALT.get_chemical_symbols())
    assert crystal.get_volume() == pytest.approx(5.6**3)


@pytest.mark.parametrize("text", ["", "nonsense", "data_x\n_cell_length_a 4\n"])
def test_other_text_is_refused(text):
    with pytest.raises(InputError):
        read_cif(text)


def test_nothing_done_gives_the_crystal_sorted():
    same = vary(SALT, Variation(), 1)
    assert same.get_chemical_symbols() == ["Na"] * 4 + ["Cl"] * 4
    assert same.get_all_distances(mic=True)[0, 4:].min() == pytest.approx(2.8)


def test_repeat_removal_rattle_and_strain():
    variant = vary(SALT, Variation(repeat=(2, 1, 1), remove={"Na": 3}, rattle=0.1, strain=0.02), 7)
    assert variant.get_chemical_symbols() == ["Na"] * 5 + ["Cl"] * 8
    strain = np.linalg.inv(SALT.repeat((2, 1, 1)).cell.array) @ variant.cell.array - np.eye(3)
    assert np.allclose(strain, strain.T)
    assert 0 < np.abs(strain).max() <= 0.02
    again = vary(SALT, Variation(repeat=(2, 1, 1), remove={"Na": 3}, rattle=0.1, strain=0.02), 7)
    assert np.array_equal(variant.positions, again.positions)


def test_rattle_has_the_standard_deviation_asked_for():
    big = SALT.repeat(6)
    order = np.argsort(big.numbers, kind="stable")
    moved = vary(SALT, Variation(repeat=(6, 6, 6), rattle=0.05), 3)
    assert (moved.positions - big.positions[order]).std() == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize(
    "values", [{"rattle": -0.1}, {"rattle": 5.0}, {"strain": 0.5}, {"repeat": (0, 1, 1)}, {"rattle": float("nan")}]
)
def test_bad_variations_are_refused(values):
    with pytest.raises(InputError):
        Variation(**values)


@pytest.mark.parametrize("remove", [{"Na": 5}, {"K": 1}, {"Na": 4, "Cl": 4}])
def test_removing_too_much_is_refused(remove):
    with pytest.raises(InputError):
        vary(SALT, Variation(remove=remove), 1)
