from __future__ import annotations

import pytest

from aiida_nvp.labelling.pw_input import pw_mesh, pw_parameters, pw_settings
from aiida_nvp.labelling.settings import LabelSettings


def test_only_cells_with_a_named_species_are_spin_polarised():
    settings = LabelSettings(starting_magnetization={"V": 0.3, "Fe": 0.5})
    assert "nspin" not in pw_parameters(settings, ["Na", "P", "O"], 8)["SYSTEM"]
    polarised = pw_parameters(settings, ["Na", "V", "O"], 8)["SYSTEM"]
    assert polarised["nspin"] == 2
    assert polarised["starting_magnetization"] == {"V": 0.3}


def test_the_threshold_grows_with_the_cell_and_forces_are_always_on():
    small, large = (pw_parameters(LabelSettings(conv_thr_per_atom_ry=1e-7), ["O"], n) for n in (8, 80))
    assert small["ELECTRONS"]["conv_thr"] == pytest.approx(8e-7)
    assert large["ELECTRONS"]["conv_thr"] == pytest.approx(8e-6)
    assert small["CONTROL"]["tprnfor"] is True
    assert small["CONTROL"]["tstress"] is False
    assert small["CONTROL"]["calculation"] == "scf"
    assert "IONS" not in small


def test_stress_is_computed_only_where_it_will_be_trusted():
    assert pw_parameters(LabelSettings(stress_converged=True), ["O"], 8)["CONTROL"]["tstress"] is True


def test_a_relaxation_takes_short_steps_and_not_more_than_asked():
    parameters = pw_parameters(LabelSettings(mode="relax", relax_steps=7), ["O"], 8)
    assert parameters["CONTROL"]["calculation"] == "relax"
    assert parameters["CONTROL"]["nstep"] == 7
    assert parameters["IONS"] == {"ion_dynamics": "bfgs", "trust_radius_max": 0.3}


def test_md_runs_its_steps_at_its_temperature():
    parameters = pw_parameters(LabelSettings(mode="md", md_steps=9, md_temperature=900, md_timestep_fs=2.0), ["O"], 8)
    assert parameters["CONTROL"]["calculation"] == "md"
    assert parameters["CONTROL"]["nstep"] == 9
    # pw.x counts time in Rydberg atomic units of 4.8378e-17 s.
    assert parameters["CONTROL"]["dt"] == pytest.approx(41.34, abs=0.01)
    assert parameters["IONS"]["ion_temperature"] == "svr"
    assert parameters["IONS"]["tempw"] == 900


@pytest.mark.parametrize(
    ("kpoints", "mesh", "settings"),
    [("gamma", (1, 1, 1), {"GAMMA_ONLY": True}), ((1, 1, 1), (1, 1, 1), {}), ((2, 1, 3), (2, 1, 3), {})],
)
def test_gamma_is_not_a_mesh_of_one(kpoints, mesh, settings):
    choices = LabelSettings(kpoints=kpoints)
    assert pw_mesh(choices) == mesh
    assert pw_settings(choices) == settings


def test_dispersion_reaches_the_namelist():
    assert pw_parameters(LabelSettings(dispersion="grimme-d3"), ["O"], 1)["SYSTEM"]["vdw_corr"] == "grimme-d3"
    assert "vdw_corr" not in pw_parameters(LabelSettings(), ["O"], 1)["SYSTEM"]
