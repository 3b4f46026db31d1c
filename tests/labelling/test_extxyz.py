from __future__ import annotations

import io
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import canonical, frame_id
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.units import BOHR_ANGSTROM, GPA_EV_ANGSTROM3, HARTREE_EV, RYDBERG_EV
from aiida_nvp.labelling.extxyz import read_extxyz, write_extxyz
from aiida_nvp.labelling.extxyz_frame import ReadSettings, read_choices
from aiida_nvp.labelling.label_units import Units, force_rms, work_ratio


def copper(seed=0, amplitude=0.15):
    """A shaken cell with exact labels: 0.5 to 1 eV/angstrom of force."""
    from ase.build import bulk

    atoms = bulk("Cu", cubic=True)
    atoms.rattle(amplitude, seed=seed)
    return labelled(atoms)


def labelled(atoms):
    atoms = canonical(atoms)
    atoms.calc = EMT()
    results = {name: getattr(atoms, f"get_{name}")() for name in ("potential_energy", "forces", "stress")}
    plain = canonical(atoms)
    plain.calc = SinglePointCalculator(
        plain, energy=results["potential_energy"], forces=results["forces"], stress=results["stress"]
    )
    return plain


def trajectory(steps=8, seed=5):
    """Neighbouring frames: the atoms follow their forces over short steps, the cell is kept."""
    frames = [copper(seed, 0.25)]
    for _ in range(steps - 1):
        moved = frames[-1].copy()
        moved.positions += 0.03 * frames[-1].get_forces()
        frames.append(labelled(moved))
    return frames


def text(frames, **options):
    buffer = io.StringIO()
    ase.io.write(buffer, frames, format="extxyz", **options)
    return buffer.getvalue()


def scaled(frames, energy=1.0, forces=1.0):
    out = []
    for atoms in frames:
        copy = atoms.copy()
        copy.calc = SinglePointCalculator(
            copy, energy=atoms.get_potential_energy() * energy, forces=atoms.get_forces() * forces
        )
        out.append(copy)
    return out


def read(content, **settings):
    return read_extxyz(content, ReadSettings(**settings))


def test_a_file_written_by_ase_is_read_with_all_labels(tmp_path):
    frames = [copper(seed) for seed in range(3)]
    frames[1].info |= {"config_type": "melt", "temperature": 1234.56789012, "grid": np.arange(3)}
    path = tmp_path / "frames.extxyz"
    path.write_text(text(frames))
    found = read_extxyz(path)
    made = found.frame_set("level")
    expected = FrameSet.from_atoms(frames, level_of_theory="level")
    assert made.ids() == expected.ids()
    np.testing.assert_allclose(made.energy, expected.energy, rtol=1e-12)
    np.testing.assert_allclose(made.forces, expected.forces, atol=1e-8)
    np.testing.assert_allclose(made.stress, expected.stress, atol=1e-12)
    assert made.info[0] == {"origin": {"kind": "imported", "number": 0}}
    assert made.info[1]["given"] == {"config_type": "melt", "temperature": 1234.56789}
    assert found.remarks == []
    assert found.level_of_theory is None


def test_named_keys_and_stated_units():
    frames = [copper(seed) for seed in range(3)]
    raw = []
    for atoms in frames:
        copy = atoms.copy()
        copy.positions, copy.cell[:] = atoms.positions / BOHR_ANGSTROM, atoms.cell.array / BOHR_ANGSTROM
        copy.info["REF_energy"] = atoms.get_potential_energy() / HARTREE_EV
        copy.info["REF_virials"] = -atoms.get_stress(voigt=False).ravel() * atoms.get_volume() / HARTREE_EV
        copy.arrays["REF_forces"] = atoms.get_forces() / HARTREE_EV * BOHR_ANGSTROM
        raw.append(copy)
    keys = {"energy": "REF_energy", "forces": "REF_forces", "virial": "REF_virials"}
    found = read(text(raw), keys=keys, units={"energy": "Hartree", "length": "bohr"}).frame_set("level")
    expected = FrameSet.from_atoms(frames, level_of_theory="level")
    np.testing.assert_allclose(found.positions, expected.positions, atol=1e-6)
    np.testing.assert_allclose(found.energy, expected.energy, rtol=1e-9)
    np.testing.assert_allclose(found.forces, expected.forces, atol=1e-6)
    np.testing.assert_allclose(found.stress, expected.stress, atol=1e-8)


def test_a_stress_in_gpa_and_one_that_is_not_wanted():
    atoms = copper()
    copy = atoms.copy()
    copy.calc = SinglePointCalculator(
        copy, energy=1.0, forces=atoms.get_forces(), stress=atoms.get_stress() / GPA_EV_ANGSTROM3
    )
    found = read(text([copy]), units={"stress": "GPa"})
    np.testing.assert_allclose(found.atoms[0].get_stress(), atoms.get_stress(), rtol=1e-6)
    assert "stress" not in read(text([copy]), keep_stress=False).atoms[0].calc.results


def test_a_constrained_atom_keeps_its_force():
    atoms = copper()
    atoms.set_constraint(FixAtoms([0]))
    content = text([atoms])
    assert "move_mask" in content
    found = read(content).frame_set("level")
    np.testing.assert_allclose(found.forces[0], atoms.get_forces(apply_constraint=False)[0], atol=1e-7)


@pytest.mark.parametrize(
    ("energy", "forces", "words"),
    [
        (1 / HARTREE_EV, 1.0, "energies in Ha beside eV/angstrom"),
        (1 / RYDBERG_EV, 1.0, "energies in Ry beside eV/angstrom"),
        (1.0, BOHR_ANGSTROM / HARTREE_EV, "energies in eV beside Ha/bohr"),
        (1.0, BOHR_ANGSTROM / RYDBERG_EV, "energies in eV beside Ry/bohr"),
        (1 / HARTREE_EV, BOHR_ANGSTROM / HARTREE_EV, "energies in Ha beside Ha/bohr or energies in Ry beside Ry/bohr"),
        (23.0605, 1.0, "energies in kcal/mol beside eV/angstrom"),
        (96.485, 1.0, "energies in kJ/mol beside eV/angstrom"),
        (1.0, 23.0605, "energies in eV beside kcal/mol/angstrom"),
        (1.0, -1.0, "opposite sign"),
        (1 / HARTREE_EV, -1.0, "energies in Ha beside eV/angstrom, and forces of the opposite sign"),
        (1 / 4, 1.0, "energies in eV an atom"),
    ],
)
def test_work_beside_energy_names_the_unit(energy, forces, words):
    with pytest.raises(InputError, match=r"pairs of neighbouring frames") as refused:
        read(text(scaled(trajectory(), energy, forces)))
    assert words in str(refused.value)


def test_a_ratio_that_fits_no_unit_says_nothing():
    frames = scaled(trajectory(), energy=1.5)
    assert read(text(frames)).work.ratio == pytest.approx(1.5, rel=0.02)


def test_work_of_right_units_is_one_and_lets_small_forces_pass():
    frames = trajectory()
    found = read(text(frames))
    assert len(frames) - 3 <= found.work.pairs < len(frames)
    assert found.work.ratio == pytest.approx(1.0, abs=0.02)
    assert found.work.fine
    calm = [copper(3, 0.004)]
    for _ in range(5):
        moved = calm[-1].copy()
        moved.positions += 0.03 * calm[-1].get_forces()
        calm.append(labelled(moved))
    assert read(text(calm)).work.fine


def test_work_is_not_measured_across_cells_compositions_and_long_steps():
    frames = trajectory(4)
    squeezed = frames[1].copy()
    squeezed.set_cell(squeezed.cell.array * 1.01, scale_atoms=True)
    far = copper(77)
    gold = frames[3].copy()
    gold.numbers[:] = 79
    ratio = work_ratio([frames[0], labelled(squeezed), frames[1], far, frames[2], labelled(gold)])
    assert ratio.pairs == 0
    assert not ratio.known


@pytest.mark.parametrize(
    ("forces", "words"),
    [
        (BOHR_ANGSTROM / HARTREE_EV, r"unless these are relaxed structures; they would fit in Ha/bohr"),
        (BOHR_ANGSTROM / RYDBERG_EV, r"or Ry/bohr"),
        (96.485, r"above the 15 of any liquid; they would fit in .*kJ/mol/angstrom"),
    ],
)
def test_the_size_of_forces_alone_is_told(forces, words):
    frames = [copper(seed) for seed in range(4)]
    frames = scaled(frames, forces=forces / force_rms(frames))
    with pytest.raises(InputError, match=words):
        read(text(frames))


def test_units_that_are_wrong_alike_are_seen_by_the_size_of_the_forces():
    with pytest.raises(InputError, match="above the 15 of any liquid"):
        read(text(scaled(trajectory(), 96.485, 96.485)))


def test_the_forces_of_a_real_run_left_in_rydberg_are_refused_by_name_and_read_in_their_units():
    content = (Path(__file__).parents[1] / "fixtures" / "pw" / "na3vo4-relax-rydberg-7.2.extxyz").read_text()
    with pytest.raises(InputError, match=r"below the 0\.1 of any solid .* they would fit in .*Ry/bohr \(0\.2\)"):
        read(content)
    found = read(content, units={"energy": "Ry", "forces": "Ry/bohr"}).frame_set("level")
    assert found.energy[0] == pytest.approx(-560.37424658 * RYDBERG_EV, rel=1e-6)
    assert np.abs(found.forces).max() == pytest.approx(0.03451686 * RYDBERG_EV / BOHR_ANGSTROM, rel=1e-6)


def test_lengths_in_bohr_are_no_bonds():
    atoms = copper()
    wide = Atoms(atoms.numbers, atoms.positions / BOHR_ANGSTROM, cell=atoms.cell.array / BOHR_ANGSTROM, pbc=True)
    wide.calc = SinglePointCalculator(wide, energy=1.0, forces=atoms.get_forces())
    with pytest.raises(InputError, match=r"no bond if lengths are in angstrom; in bohr it would be a bond"):
        read(text([wide]))


def test_energies_of_two_levels_scatter():
    frames = scaled([copper(seed) for seed in range(6)])
    for atoms in frames[3:]:
        atoms.calc.results["energy"] -= 400.0 * len(atoms)
    with pytest.raises(InputError, match="scatter by 200 eV an atom"):
        read(text(frames))


def test_a_doubt_is_a_remark_where_the_user_insists():
    frames = scaled(trajectory(), energy=1 / HARTREE_EV)
    found = read(text(frames), checked=False)
    assert len(found.atoms) == len(frames)
    assert "energies in Ha beside eV/angstrom" in found.remarks[0]


def broken(change):
    frames = [copper(seed) for seed in range(3)]
    change(frames[2])
    return text(frames)


def no_cell(atoms):
    atoms.cell[:] = 0


def flat(atoms):
    atoms.cell[2] = atoms.cell[1]


def slab(atoms):
    atoms.pbc = (True, True, False)


def no_forces(atoms):
    del atoms.calc.results["forces"]


def no_labels(atoms):
    atoms.calc = None


def other_names(atoms):
    atoms.info["REF_energy"] = 1.0
    atoms.arrays["REF_forces"] = atoms.get_forces()
    atoms.calc = None


def not_a_number(atoms):
    atoms.calc.results["forces"][1, 1] = np.nan


def zero_smearing(atoms):
    atoms.calc.results["free_energy"] = atoms.get_potential_energy() - 0.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_cell, r"frame 2 \(line 13\) has no cell"),
        (flat, r"frame 2 .*flat or missing"),
        (slab, r"frame 2 .*not periodic in all directions"),
        (no_forces, r"frame 2 .*no forces under `forces`; it holds energy, stress"),
        (no_labels, r"frame 2 .*no energy under `energy`; it holds no label at all"),
        (other_names, r"frame 2 .*it holds REF_energy, REF_forces; say which is meant"),
        (not_a_number, r"frame 2 .*`forces` holds a value that is not finite"),
        (zero_smearing, r"frame 2 .*-0.2 eV apart"),
    ],
)
def test_what_is_wrong_with_a_frame_is_told_with_its_number(change, words):
    with pytest.raises(InputError, match=words):
        read(broken(change))


def test_energy_may_be_the_free_energy():
    found = read(broken(zero_smearing).replace("free_energy", "F"), keys={"energy": "energy"})
    assert len(found.atoms) == 3
    frames = [copper(seed) for seed in range(3)]
    for atoms in frames:
        zero_smearing(atoms)
    found = read(text(frames), keys={"energy": "free_energy"})
    assert found.atoms[0].get_potential_energy() == pytest.approx(frames[0].get_potential_energy() - 0.2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "holds no frame"),
        ("many\n\n", "line 1 should hold the number of atoms of frame 0, it holds 'many'"),
        ('4\nLattice="9 0 0 0 9 0 0 0 9"\nCu 0 0 0\n', "frame 0 .* ends before its 4 atoms"),
        ('1\nLattice="9 0 0 0 9 0 0 0 9"\nCu 0 zero 0\n', r"frame 0 \(line 1\) cannot be read: .*zero"),
        ('1\nLattice="9 0 0 0 9 0 0 0 9"\nQq 0 0 0\n', "frame 0 .* cannot be read"),
        ('1\nLattice="9 0 0 0 9 0 0 0 9" energy=low\nCu 0 0 0\n', "no forces|not a number"),
        ('1\nLattice="9 0 0 0 9 0 0 0 9"\nCu 0 0 0\n\n1\n\nCu 0 0 0\n', "line 5 follows an empty line"),
    ],
)
def test_text_that_is_no_extended_xyz(content, words):
    with pytest.raises(InputError, match=words):
        read(content)


def test_one_geometry_with_two_labels():
    same = copper()
    again = scaled([same])[0]
    found = read(text([same, copper(1), again]))
    assert len(found.atoms) == 2
    assert found.remarks[0] == "1 of 3 frames repeat a geometry and were left out."
    assert found.remarks[1] == "1 of 3 frames have no stress, frame 2 first."
    again.calc.results["energy"] += 0.5
    with pytest.raises(InputError, match=r"frames 0 and 2 are one geometry with energies \+0.5 eV apart"):
        read(text([same, copper(1), again]))


def test_settings_and_units_that_do_not_exist():
    with pytest.raises(InputError, match=r"keys\.dipole"):
        read_choices({"keys": {"dipole": "d"}})
    with pytest.raises(InputError, match="unit of energy: `erg` is not known; known are eV, meV, Ry, Ha"):
        read(text([copper()]), units={"energy": "erg"})
    with pytest.raises(InputError, match="cannot be read"):
        read_extxyz(__import__("pathlib").Path("nowhere.extxyz"))
    assert Units("hartree", "Å", stress="eV/A^3").stress == "eV/angstrom^3"
    assert Units("ry", "bohr").forces == "Ry/bohr"


def test_what_is_written_here_comes_back_to_the_last_bit(morse_frames):
    frames = morse_frames(5)
    sources = [{"label": f"uuid-{index}", "explore": "x"} for index in range(len(frames))]
    content = write_extxyz(frames, sources)
    found = read_extxyz(content)
    assert found.frame_set(found.level_of_theory).content_hash == frames.content_hash
    assert found.sources == sources
    assert len(list(ase.io.iread(io.StringIO(content), format="extxyz"))) == 5


def test_a_set_without_labels_and_one_with_some_stresses_are_written(morse_frames):
    frames = morse_frames(3)
    assert "energy" not in write_extxyz(frames.without_labels())
    frames.stress[1] = np.nan
    found = read_extxyz(write_extxyz(frames))
    assert np.isnan(found.frame_set("morse").stress[1]).all()
    assert found.remarks == ["1 of 3 frames have no stress, frame 1 first."]
    with pytest.raises(InputError, match="2 sources for 3 frames"):
        write_extxyz(frames, [{}, {}])


def test_mixed_levels_in_one_file(morse_frames):
    from dataclasses import replace

    frames = morse_frames(4)
    content = write_extxyz(frames.subset([0, 1])) + write_extxyz(replace(frames.subset([2]), level_of_theory="other"))
    with pytest.raises(InputError, match=r"mixes levels of theory \(morse from frame 0 on, other from frame 2 on\)"):
        read_extxyz(content)


numbers = st.floats(-1e3, 1e3, allow_nan=False)
scalars = st.one_of(numbers, st.integers(-99, 99), st.booleans(), st.text(max_size=12), st.none())


@given(
    energy=numbers,
    forces=st.lists(numbers, min_size=6, max_size=6),
    origin=st.dictionaries(st.text(max_size=8), scalars, max_size=4),
    shift=st.floats(-30, 30),
)
def test_any_label_and_any_origin_survive_the_file(energy, forces, origin, shift):
    atoms = Atoms("PO", positions=[[shift, 0, 0], [shift, 1.5, 0.1]], cell=[6, 6.1, 6.2], pbc=True)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=np.reshape(forces, (2, 3)))
    frames = FrameSet.from_atoms([atoms], [{"origin": origin, "label": {"step": 1}}], level_of_theory="a" * 64)
    found = read_extxyz(write_extxyz(frames, [{"label": "u"}]))
    again = found.frame_set(found.level_of_theory)
    assert again.ids() == frames.ids() == [frame_id(atoms)]
    assert again.info == frames.info
    np.testing.assert_array_equal(again.energy, frames.energy)
    np.testing.assert_array_equal(again.forces, frames.forces)
    assert found.sources == [{"label": "u"}]
