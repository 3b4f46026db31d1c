"""The table of a convergence test from trajectories made by hand."""

import pytest
from aiida import orm
from ase import Atoms

from aiida_nvp.calculations.convergence import convergence_structure
from aiida_nvp.calculations.label import frames_to_structures
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def test_numbers_keep_their_units_and_signs(convergence_node):
    result = convergence_node().outputs["result"]
    rows = result["series"]["cutoff"]["rows"]
    assert [row["force_error_max"] for row in rows] == pytest.approx([0.01, 0.005, 0.0])
    assert [row["force_error_rms"] for row in rows] == pytest.approx([0.01 / 3**0.5, 0.005 / 3**0.5, 0.0])
    # pw.x prints a positive stress where the cell pushes outwards.
    assert [row["pressure_gpa"] for row in rows] == pytest.approx([2.0] * 3)
    assert rows[0]["energy_per_atom"] == pytest.approx(-5.0)
    assert result["proposal"]["settings"] == {
        "cutoff_wfc_ry": 40,
        "cutoff_rho_ry": 160,
        "kpoints": {"distance_per_angstrom": 2.0},
    }
    # 40 Ry with a dual of 4 is a point of its series, so the check needs no job: 0.6 / 40 less 0.6 / 60.
    check = result["cross_check"]
    assert check["force_error_max"] == pytest.approx(0.005)
    assert check["agrees"]
    assert "40 and 160 Ry, mesh 1x1x1" in check["sentence"]
    assert result["cost"] == {"points": 5, "reused": 0, "code_s": pytest.approx(7.5)}


def test_the_density_cutoff_never_falls_below_the_one_that_was_tested(convergence_node):
    """30 Ry are enough for the waves; the dual of 4 was found at 40 Ry."""
    settings = convergence_node(scale=0.3).outputs["result"]["proposal"]["settings"]
    assert (settings["cutoff_wfc_ry"], settings["cutoff_rho_ry"]) == (30, 160)


def test_a_failed_point_has_its_reason_and_no_numbers(convergence_node):
    result = convergence_node(failed=["cutoff_60_dual_8_mesh_1_1_1"]).outputs["result"]
    *others, last = result["series"]["cutoff"]["rows"]
    assert (last["reason"], last["code_s"]) == ("no memory", 0.0)
    assert "energy_per_atom" not in last
    assert all("energy_per_atom" in row and "force_error_max" not in row for row in others)
    assert not result["series"]["cutoff"]["verdict"]["compared"]
    assert set(result["proposal"]["settings"]) == {"kpoints"}
    assert result["cross_check"] is None


@pytest.mark.parametrize("settings", [{}, {"start": "valence"}, {"hubbard": {"terms": {"V": {"u_ev": 3.0}}}}])
def test_the_structure_is_that_of_a_label_of_the_same_frame(settings):
    atoms = Atoms("NaVO3", cell=[5.1234567] * 3, pbc=True)
    atoms.positions = [[-0.1, 0, 0], [2.0, 0, 0], [0, 2, 0.12345678], [0, 0, 2], [2, 2, 2]]
    (label,) = frames_to_structures(DatasetData(FrameSet.from_atoms([atoms])), orm.Dict(settings)).values()
    structure = convergence_structure(orm.StructureData(ase=atoms), orm.Dict(settings))
    assert structure.base.caching.compute_hash() == label.base.caching.compute_hash()
