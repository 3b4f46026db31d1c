from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_nvp.labelling.pw_input import pw_mesh, pw_parameters, pw_settings, real_gamma
from aiida_nvp.labelling.settings import LabelSettings


def test_only_cells_with_a_start_are_spin_polarised():
    assert "nspin" not in pw_parameters(LabelSettings(), {}, 8)["SYSTEM"]
    polarised = pw_parameters(LabelSettings(), {"V4": 0.3, "V5": 0.02}, 8)["SYSTEM"]
    assert polarised["nspin"] == 2
    assert polarised["starting_magnetization"] == {"V4": 0.3, "V5": 0.02}


def test_the_threshold_grows_with_the_cell_and_forces_are_always_on():
    small, large = (pw_parameters(LabelSettings(conv_thr_per_atom_ry=1e-7), {}, n) for n in (8, 80))
    assert small["ELECTRONS"]["conv_thr"] == pytest.approx(8e-7)
    assert large["ELECTRONS"]["conv_thr"] == pytest.approx(8e-6)
    assert small["CONTROL"]["tprnfor"] is True
    assert small["CONTROL"]["tstress"] is False
    assert small["CONTROL"]["calculation"] == "scf"
    assert "IONS" not in small


def test_stress_is_computed_only_where_it_will_be_trusted():
    assert pw_parameters(LabelSettings(stress_converged=True), {}, 8)["CONTROL"]["tstress"] is True


def test_a_relaxation_takes_short_steps_and_not_more_than_asked():
    parameters = pw_parameters(LabelSettings(mode="relax", relax_steps=7), {}, 8)
    assert parameters["CONTROL"]["calculation"] == "relax"
    assert parameters["CONTROL"]["nstep"] == 7
    assert parameters["IONS"] == {"ion_dynamics": "bfgs", "trust_radius_max": 0.3}


def test_md_runs_its_steps_at_its_temperature():
    parameters = pw_parameters(LabelSettings(mode="md", md_steps=9, md_temperature=900, md_timestep_fs=2.0), {}, 8)
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
    assert pw_mesh(choices, np.eye(3)) == mesh
    assert pw_settings(choices) == settings


def test_a_density_samples_cells_of_any_size_alike():
    choices = LabelSettings(kpoints={"distance_per_angstrom": 0.5})
    # 2 pi / 5 = 1.26 needs three points to be at most 0.5 apart, 2 pi / 20 = 0.31 needs one.
    assert pw_mesh(choices, np.diag([5.0, 20.0, 4 * np.pi])) == (3, 1, 1)
    sheared = np.array([[5.0, 0, 0], [2.0, 20.0, 0], [0, 0, 4 * np.pi]])
    reciprocal = 2 * np.pi * np.linalg.inv(sheared).T
    expected = tuple(int(np.ceil(np.linalg.norm(row) / 0.5 - 1e-6)) for row in reciprocal)
    assert pw_mesh(choices, sheared) == expected
    assert pw_settings(choices) == {}


@given(lengths=st.tuples(*[st.floats(2, 40)] * 3), distance=st.floats(0.05, 2))
def test_points_are_never_farther_apart_than_asked(lengths, distance):
    mesh = pw_mesh(LabelSettings(kpoints={"distance_per_angstrom": distance}), np.diag(lengths))
    for points, length in zip(mesh, lengths, strict=True):
        assert 2 * np.pi / length / points <= distance * (1 + 1e-5)
        assert points == 1 or 2 * np.pi / length / (points - 1) > distance * (1 - 1e-5)


def test_orthogonal_projectors_take_the_gamma_point_as_a_mesh():
    terms = {"V": {"u_ev": 3.25}}
    orthogonal = LabelSettings(hubbard={"terms": terms})
    assert not real_gamma(orthogonal)
    assert pw_settings(orthogonal) == {}
    assert pw_mesh(orthogonal, np.eye(3)) == (1, 1, 1)
    assert real_gamma(LabelSettings(hubbard={"projectors": "atomic", "terms": terms}))


def test_dispersion_reaches_the_namelist():
    assert pw_parameters(LabelSettings(dispersion="grimme-d3"), {}, 1)["SYSTEM"]["vdw_corr"] == "grimme-d3"
    assert "vdw_corr" not in pw_parameters(LabelSettings(), {}, 1)["SYSTEM"]
