import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.common.energy_shifts import fit_energy_shifts
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet

SPECIES = ("Na", "V", "P", "O")
TRUE = {"Na": -1310.5, "V": -1990.25, "P": -190.125, "O": -433.0}


def labelled(formulas, energy):
    frames = []
    for formula in formulas:
        atoms = Atoms(formula, cell=[9, 9, 9], pbc=True)
        atoms.positions = np.arange(3 * len(atoms)).reshape(-1, 3) * 0.1
        atoms.calc = SinglePointCalculator(atoms, energy=energy(atoms), forces=np.zeros((len(atoms), 3)))
        frames.append(atoms)
    return FrameSet.from_atoms(frames, level_of_theory="exact")


def additive(atoms):
    return sum(TRUE[symbol] for symbol in atoms.get_chemical_symbols())


def test_determined_system_is_recovered():
    shifts = fit_energy_shifts(labelled(["NaVPO5", "V2O5", "P2O5", "Na2O", "NaVPO5"], additive), SPECIES)
    assert shifts == pytest.approx(TRUE, rel=1e-9)


@given(st.lists(st.floats(-3000, -1), min_size=4, max_size=4))
def test_any_additive_energy_is_recovered(values):
    table = dict(zip(SPECIES, values, strict=True))
    frames = labelled(
        ["NaVPO5", "V2O5", "P2O5", "Na2O"], lambda atoms: sum(table[s] for s in atoms.get_chemical_symbols())
    )
    assert fit_energy_shifts(frames, SPECIES) == pytest.approx(table, rel=1e-6, abs=1e-6)


def test_one_composition_gives_the_mean_to_all():
    shifts = fit_energy_shifts(labelled(["NaVPO5"] * 3, additive), SPECIES)
    mean = additive(Atoms("NaVPO5")) / 8
    assert sum(shifts[s] for s in Atoms("NaVPO5").get_chemical_symbols()) == pytest.approx(8 * mean)
    assert list(shifts.values()) == pytest.approx([mean] * 4)


def test_absent_species_gets_the_mean():
    shifts = fit_energy_shifts(labelled(["V2O5", "VO2"], additive), SPECIES)
    mean = np.mean([additive(Atoms("V2O5")) / 7, additive(Atoms("VO2")) / 3])
    assert (shifts["Na"], shifts["P"]) == pytest.approx((mean, mean))
    assert (shifts["V"], shifts["O"]) == pytest.approx((TRUE["V"], TRUE["O"]))


def test_scatter_does_not_blow_up_a_direction_that_hardly_varies():
    """Two nearly equal compositions with 1 eV/atom scatter: plain least squares ends far from -6 eV."""
    rng = np.random.default_rng(5)
    formulas = ["V20O50", "V20O51"] * 4
    frames = labelled(formulas, lambda atoms: len(atoms) * (-6.0 + rng.normal()))
    fractions = np.array([[20 / n, (n - 20) / n] for n in (70, 71)] * 4)
    plain = np.linalg.lstsq(fractions, frames.energy / np.diff(frames.offsets), rcond=None)[0]
    assert np.abs(plain).max() > 40
    assert np.abs(list(fit_energy_shifts(frames, ("V", "O")).values())).max() < 15


def test_unlabelled_empty_and_unknown_are_refused():
    frames = labelled(["NaVPO5"], additive)
    for bad in (frames.without_labels(), frames.subset([])):
        with pytest.raises(InputError, match="labelled frames"):
            fit_energy_shifts(bad, SPECIES)
    with pytest.raises(InputError, match="holds Na"):
        fit_energy_shifts(frames, ("V", "P", "O"))
