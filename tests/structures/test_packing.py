import re

import numpy as np
import pytest
from ase.neighborlist import neighbor_list

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import frame_id
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.density import estimate_density_g_cm3
from aiida_nvp.structures.packing import pack

MIXED = {"Na2O": 1, "V2O5": 1, "P2O5": 1}


def coordination(atoms, centre, cutoff):
    i, j, _ = neighbor_list("ijd", atoms, cutoff)
    symbols = np.array(atoms.get_chemical_symbols())
    counts = np.bincount(i[(symbols[i] == centre) & (symbols[j] == "O")], minlength=len(atoms))
    return counts[symbols == centre]


@pytest.mark.parametrize(
    ("oxides", "reduced", "atoms"),
    [
        (MIXED, {"V": 1.0}, 8),
        ({"V2O5": 1, "P2O5": 1}, {}, 7),
        ({"V2O5": 1, "P2O5": 1}, {}, 14),
        ({"Na2O": 1, "P2O5": 1}, {}, 10),
        ({"Na2O": 3, "P2O5": 1}, {}, 8),
        (MIXED, {"V": 1.0}, 16),
        ({"Na2O": 35, "V2O5": 25, "P2O5": 40}, {}, 280),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_cells_are_sane(oxides, reduced, atoms, seed):
    cell = compose(oxides, reduced, atoms)
    density = estimate_density_g_cm3(cell)
    packed = pack(cell, density, seed)
    assert packed.get_chemical_symbols() == cell.symbols
    assert cell.mass_density(packed.get_volume()) == pytest.approx(density)
    assert len(neighbor_list("d", packed, 1.2)) == 0
    assert (coordination(packed, "P", 2.1) == 4).mean() >= 0.95


def test_silicon_is_tetrahedral_too():
    packed = pack(compose({"SiO2": 3, "Na2O": 1}, {}, 96), 2.4, 1)
    assert (coordination(packed, "Si", 2.1) == 4).mean() >= 0.9


def test_seed_decides():
    cell = compose(MIXED, {"V": 1.0}, 16)
    first, again, other = (frame_id(pack(cell, 2.8, seed)) for seed in (3, 3, 4))
    assert first == again != other


def test_too_dense_names_a_density_that_works():
    cell = compose(MIXED, {"V": 1.0}, 8)
    with pytest.raises(InputError, match="can be reached") as caught:
        pack(cell, 9.0, 1)
    reachable = float(re.search(r"([\d.]+) g/cm3 can be reached", str(caught.value)).group(1))
    assert 2.5 < reachable < 9.0
    assert len(pack(cell, reachable * 0.99, 1)) == 8


@pytest.mark.parametrize(
    ("density", "minimum", "words"),
    [
        (0.0, {}, "impossible"),
        (float("nan"), {}, "impossible"),
        (2.8, {"P": 1.0}, "write a pair"),
        (2.8, {"P-Si": 1.0}, "write a pair"),
        (2.8, {"P-O": 0.0}, "positive length"),
    ],
)
def test_bad_input_is_refused(density, minimum, words):
    with pytest.raises(InputError, match=words):
        pack(compose(MIXED, {"V": 1.0}, 8), density, 1, minimum)


def test_given_minimum_is_kept():
    packed = pack(compose({"Na2O": 1, "P2O5": 1}, {}, 40), 2.3, 1, {"O-O": 2.2})
    i, j, d = neighbor_list("ijd", packed, 2.6)
    symbols = np.array(packed.get_chemical_symbols())
    assert d[(symbols[i] == "O") & (symbols[j] == "O")].min() >= 2.2
