"""A convergence test through its whole outline, on a stand-in for pw.x whose errors are known."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily, PseudoPotentialFamily
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import canonical
from aiida_nvp.common.units import GPA_EV_ANGSTROM3
from aiida_nvp.labelling.rehearsal import RehearsalPotential
from aiida_nvp.workflows.converge import ConvergeWorkChain, usable_atoms
from aiida_nvp.workflows.labellers import PwLabeller, RehearsalLabeller

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

EDGE = 4.6
PLAN = {
    "cutoffs_ry": [30, 45, 60, 90],
    "duals": [4, 8],
    "k_distances": [1.4, 0.7, 0.5],
    "base_cutoff_ry": 45,
    "base_dual": 8,
    "tolerances": {"force": 0.008, "stress_gpa": None, "energy_per_atom": None},
}
FAILING = 13.0


def cell():
    grid = np.stack(np.meshgrid(*[[0.0, EDGE / 2]] * 3), axis=-1).reshape(-1, 3)
    shake = np.random.default_rng(1).normal(scale=0.1, size=(5, 3))
    return canonical(Atoms("NaPO3", positions=grid[:5] + shake, cell=np.eye(3) * EDGE, pbc=True))


def shifted(atoms, cutoff, dual=8.0, points=1):
    """What the stand-in calculates in place of ``atoms``: an atom lies off, less so at stricter settings."""
    moved = atoms.copy()
    moved.positions[0] += [5.0 / cutoff**2, 1e-3 / dual, 1e-3 / points]
    if cutoff == FAILING:
        moved.positions[1] = moved.positions[2] + [0.0, 0.0, 0.7]
    return moved


class StandIn(RehearsalLabeller):
    """The analytic potential with errors that fall with cutoff, dual and mesh."""

    def builder(self, structure):
        settings = self.request.settings
        points = 1 if settings.kpoints == "gamma" else settings.kpoints[0]
        dual = settings.cutoff_rho_ry / settings.cutoff_wfc_ry
        atoms = shifted(structure.get_ase(), settings.cutoff_wfc_ry, dual, points)
        return super().builder(orm.StructureData(ase=atoms))


@pytest.fixture
def converge(worker_code, bare_upf, monkeypatch):
    monkeypatch.setattr(ConvergeWorkChain, "LABELLER", StandIn)
    pseudos = {symbol: bare_upf(symbol) for symbol in ("Na", "P", "O")}

    def _converge(atoms=None, plan=None, **inputs):
        given = {
            "structure": orm.StructureData(ase=atoms if atoms is not None else cell()),
            "code": worker_code,
            "pseudos": pseudos,
            "settings": {},
            "plan": {**PLAN, **(plan or {})},
            "in_flight": 2,
        }
        return run_get_node(ConvergeWorkChain, **{**given, **inputs})

    return _converge


def expected(*setting):
    atoms = shifted(cell(), *setting)
    atoms.calc = RehearsalPotential()
    return atoms


def test_the_table_has_the_errors_that_the_stand_in_makes(converge):
    outputs, node = converge()

    assert node.exit_status == 0, node.exit_message
    result = outputs["result"].get_dict()
    rows = result["series"]["cutoff"]["rows"]
    assert [row["name"] for row in rows] == ["30 Ry", "45 Ry", "60 Ry", "90 Ry"]
    reference = expected(90).get_forces()
    for row in rows:
        atoms = expected(row["cutoff_wfc_ry"])
        difference = atoms.get_forces() - reference
        assert row["force_error_max"] == pytest.approx(np.linalg.norm(difference, axis=1).max(), abs=1e-9)
        assert row["force_error_rms"] == pytest.approx(np.sqrt(np.mean(difference**2)), abs=1e-9)
        assert row["energy_per_atom"] == pytest.approx(atoms.get_potential_energy() / 5, abs=1e-9)
        stress = atoms.get_stress() - expected(90).get_stress()
        assert row["stress_error_gpa"] == pytest.approx(np.abs(stress).max() / GPA_EV_ANGSTROM3, abs=1e-7)
        pressure = -atoms.get_stress()[:3].mean() / GPA_EV_ANGSTROM3
        assert row["pressure_gpa"] == pytest.approx(pressure, rel=1e-7)
        assert row["cutoff_rho_ry"] == 8 * row["cutoff_wfc_ry"]
        assert row["code_s"] > 0

    loose = result["series"]["dual"]["rows"][0]
    difference = expected(45, 4.0).get_forces() - expected(45).get_forces()
    assert loose["force_error_max"] == pytest.approx(np.linalg.norm(difference, axis=1).max(), abs=1e-9)
    middle = result["series"]["kpoints"]["rows"][1]
    difference = expected(45, 8.0, 2).get_forces() - expected(45, 8.0, 3).get_forces()
    assert middle["force_error_max"] == pytest.approx(np.linalg.norm(difference, axis=1).max(), abs=1e-9)

    errors = [row["force_error_max"] for row in rows]
    chosen = next(index for index in range(3) if all(error <= 0.008 for error in errors[index:]))
    assert chosen > 0, "the tolerance of this test has to lie inside the series"
    assert result["series"]["cutoff"]["verdict"]["index"] == chosen
    cutoff = rows[chosen]["cutoff_wfc_ry"]
    assert result["proposal"]["complete"]
    assert result["proposal"]["settings"] == {
        "cutoff_wfc_ry": cutoff,
        "cutoff_rho_ry": 4 * max(cutoff, 45),
        "kpoints": {"distance_per_angstrom": 1.4},
    }
    assert result["warnings"] == []
    assert_checked(result["cross_check"], cutoff, 4 * max(cutoff, 45) / cutoff)
    assert_provenance(node, outputs["result"])


def assert_checked(check, cutoff, dual):
    """What is proposed lies in one of the series here, and is compared with the references put together."""
    together = expected(90).get_forces() + expected(45, 8.0, 3).get_forces() - expected(45).get_forces()
    difference = expected(cutoff, dual).get_forces() - together
    assert check["force_error_max"] == pytest.approx(np.linalg.norm(difference, axis=1).max(), abs=1e-9)
    assert check["agrees"] == (check["force_error_max"] <= 0.008)
    assert check["point"] == f"cutoff_{cutoff:g}_dual_{dual:g}_mesh_1_1_1"


def test_a_proposal_that_no_series_had_is_calculated_as_one_more_job(converge):
    """60 Ry are enough at a dual of 8, and 4 at 90 Ry: 360 Ry beside 60."""
    outputs, node = converge(plan={"cutoffs_ry": [60, 90], "base_cutoff_ry": 90, "k_distances": [1.4, 0.7]})
    assert node.exit_status == 0, node.exit_message
    result = outputs["result"]
    check = result["cross_check"]
    assert check["point"] == "cutoff_60_dual_6_mesh_1_1_1"
    difference = expected(60, 6.0).get_forces() - expected(90, 8.0, 2).get_forces()
    assert check["force_error_max"] == pytest.approx(np.linalg.norm(difference, axis=1).max(), abs=1e-9)
    jobs = {link.link_label for link in node.base.links.get_outgoing(node_class=orm.CalcJobNode).all()}
    assert len(jobs) == result["cost"]["points"] == 5
    rows = [row["point"] for series in result["series"].values() for row in series["rows"]]
    assert jobs - set(rows) == {check["point"]}
    links = result.creator.base.links.get_incoming(node_class=orm.TrajectoryData).all()
    assert {link.link_label for link in links} == {f"trajectories__{key}" for key in jobs}


def test_without_duals_their_ratio_stays_and_is_said_to(converge):
    plan = {"cutoffs_ry": [60, 90], "duals": [], "base_cutoff_ry": 90, "k_distances": [1.4, 0.7]}
    outputs, node = converge(plan=plan)
    assert node.exit_status == 0, node.exit_message
    result = outputs["result"].get_dict()
    assert list(result["series"]) == ["cutoff", "kpoints"]
    assert result["proposal"]["complete"]
    assert result["proposal"]["settings"]["cutoff_rho_ry"] == 8 * 60
    assert result["proposal"]["reasons"]["dual"] == "not varied: 8 in all points."
    assert result["cross_check"]["point"] == "cutoff_60_dual_8_mesh_1_1_1"


def assert_provenance(node, result):
    """Seven distinct points, each one child under its key, at most two at a time, all of them behind the table."""
    jobs = [child for child in node.called if isinstance(child, orm.CalcJobNode)]
    keys = {link.link_label for link in node.base.links.get_outgoing(node_class=orm.CalcJobNode).all()}
    assert len(jobs) == len(keys) == 7
    rows = [row for series in result["series"].values() for row in series["rows"]]
    assert {row["point"] for row in rows} == keys
    assert max(sum(other.ctime <= job.ctime < other.mtime for other in jobs) for job in jobs) <= 2
    links = result.creator.base.links.get_incoming(node_class=orm.TrajectoryData).all()
    assert {link.link_label for link in links} == {f"trajectories__{key}" for key in keys}
    assert {link.node.creator.uuid for link in links} == {job.uuid for job in jobs}


def test_a_test_that_goes_further_takes_what_is_there(converge):
    with enable_caching(identifier="aiida.calculations:nvp.rehearsal"):
        first, _ = converge(plan={"cutoffs_ry": [30, 45]})
        again, _ = converge(plan={"cutoffs_ry": [30, 45, 60]})
    assert first["result"]["cost"]["reused"] == 0
    assert again["result"]["cost"]["points"] == first["result"]["cost"]["points"] + 1
    assert again["result"]["cost"]["reused"] == first["result"]["cost"]["points"]
    (new,) = [row for row in again["result"]["series"]["cutoff"]["rows"] if not row["reused"]]
    assert new["cutoff_wfc_ry"] == 60
    assert again["result"]["cost"]["code_s"] == new["code_s"]


def test_a_point_that_fails_is_a_row(converge):
    outputs, node = converge(plan={"cutoffs_ry": [FAILING, 45, 90]})

    assert node.exit_status == 0, node.exit_message
    failed, *others = outputs["result"]["series"]["cutoff"]["rows"]
    assert "too close for a label" in failed["reason"]
    assert "force_error_max" not in failed
    assert [row["reason"] for row in others] == ["", ""]
    assert outputs["result"]["series"]["cutoff"]["verdict"]["index"] == 1
    assert "13 Ry failed" in outputs["result"]["series"]["cutoff"]["verdict"]["reason"]


def test_a_reference_that_fails_ends_with_a_sentence_and_the_table(converge):
    outputs, node = converge(plan={"cutoffs_ry": [9, FAILING], "base_cutoff_ry": 9})

    assert node.exit_status == 401
    assert "cutoff: nothing can be compared: the reference, 13 Ry, failed: " in node.exit_message
    assert "too close for a label" in node.exit_message
    result = outputs["result"]
    assert "energy_per_atom" in result["series"]["cutoff"]["rows"][0]
    assert result["series"]["kpoints"]["verdict"]["index"] == 0
    assert not result["proposal"]["complete"]
    assert set(result["proposal"]["settings"]) == {"kpoints"}


def test_a_series_that_ends_too_early_is_a_normal_end(converge):
    outputs, node = converge(plan={"tolerances": {"force": 1e-7, "stress_gpa": None, "energy_per_atom": None}})

    assert node.exit_status == 0
    assert "not converged within the series" in outputs["result"]["proposal"]["reasons"]["cutoff"]
    assert "go beyond 90 Ry" in outputs["result"]["proposal"]["reasons"]["cutoff"]
    assert "cutoff_rho_ry" not in outputs["result"]["proposal"]["settings"]


def overlapping():
    atoms = cell()
    atoms.positions[2] = atoms.positions[1] + [0.0, 0.0, 0.2]
    return atoms


def flat():
    return Atoms("NaPO3", positions=cell().positions, cell=np.eye(3) * EDGE, pbc=(True, True, False))


@pytest.mark.parametrize(
    ("atoms", "inputs", "status", "words"),
    [
        (None, {"plan": {**PLAN, "duals": [3, 8]}}, 201, "duals.0"),
        (None, {"plan": {**PLAN, "k_distances": [2, 1.5]}}, 201, "all give the mesh 1x1x1"),
        (None, {"settings": {"degauss": 1}}, 201, "degauss"),
        (None, {"in_flight": 0}, 201, "in_flight must be 1 or more"),
        (overlapping(), {}, 201, "P1 and O2 overlap: 0.20 angstrom apart; move them apart or delete one"),
        (flat(), {}, 201, "not periodic along all three axes"),
    ],
)
def test_refusals_cost_no_job(converge, atoms, inputs, status, words):
    _, node = converge(atoms, **inputs)
    assert node.exit_status == status
    assert words in node.exit_message
    assert not node.called


def test_an_element_without_pseudopotential_costs_no_job(converge, monkeypatch, bare_upf, aiida_code_installed):
    monkeypatch.setattr(ConvergeWorkChain, "LABELLER", PwLabeller)
    code = aiida_code_installed("quantumespresso.pw", filepath_executable="/bin/true")
    _, node = converge(code=code, pseudos={"O": bare_upf("O")})
    assert node.exit_status == 203
    assert "no pseudopotential for Na, P; given: O." in node.exit_message
    assert not node.called


@pytest.fixture
def pw(aiida_code_installed):
    return aiida_code_installed("quantumespresso.pw", filepath_executable="/bin/true")


def install(bare_upf, kind=CutoffsPseudoPotentialFamily, symbols=("Na", "P", "O")):
    family = kind(label="local").store()
    family.add_nodes([bare_upf(symbol) for symbol in symbols])
    if kind is CutoffsPseudoPotentialFamily:
        family.set_cutoffs({symbol: {"cutoff_wfc": 40, "cutoff_rho": 330} for symbol in symbols}, "normal", unit="Ry")
        family.set_default_stringency("normal")


def build(pw, *, protocol=None, **overrides):
    structure = orm.StructureData(ase=cell())
    return ConvergeWorkChain.get_builder_from_protocol(pw, structure, protocol, "local", overrides)


def test_a_protocol_lays_the_series_around_what_the_family_recommends(pw, bare_upf):
    install(bare_upf)
    plan = build(pw).plan
    assert plan["cutoffs_ry"] == [28, 34, 40, 50, 64]
    assert (plan["base_cutoff_ry"], plan["base_dual"]) == (40, 8)
    assert plan["tolerances"] == {"force": 0.01, "stress_gpa": 0.5, "energy_per_atom": 0.01}
    loose = build(pw, protocol="fast")
    assert loose.plan["tolerances"]["stress_gpa"] is None
    assert loose.settings["conv_thr_per_atom_ry"] > build(pw).settings["conv_thr_per_atom_ry"]


def test_what_is_given_wins(pw, bare_upf):
    install(bare_upf)
    hubbard = {"terms": {"P": {"manifold": "3p", "u_ev": 1.0}}}
    builder = build(pw, cutoffs_ry=[30, 55], tolerances={"force": 0.02}, settings={"hubbard": hubbard}, in_flight=3)
    assert builder.plan["cutoffs_ry"] == [30, 55]
    assert builder.plan["base_cutoff_ry"] == 30
    assert builder.plan["tolerances"] == {"force": 0.02, "stress_gpa": 0.5, "energy_per_atom": 0.01}
    assert builder.settings["hubbard"]["terms"]["P"]["u_ev"] == 1.0
    assert builder.in_flight == 3


def test_a_family_that_recommends_nothing_needs_cutoffs(pw, bare_upf):
    install(bare_upf, PseudoPotentialFamily)
    with pytest.raises(InputError, match="family `local` recommends no cutoffs; give a list of them"):
        build(pw)
    plan = build(pw, cutoffs_ry=[30, 40, 50]).plan
    assert (plan["base_cutoff_ry"], plan["base_dual"]) == (40, 8)


@pytest.mark.parametrize(
    ("symbols", "options", "words"),
    [
        (("Na", "P"), {}, "family `local` has no pseudopotential for O"),
        (("Na", "P", "O"), {"protocol": "quick"}, "no label protocol `quick`; known: fast, balanced, stringent"),
        (("Na", "P", "O"), {"cutoffs_ry": []}, "cutoffs_ry: nothing given"),
        (("Na", "P", "O"), {"settings": {"ecut": 1}}, "ecut"),
    ],
)
def test_a_builder_that_cannot_begin_is_not_made(pw, bare_upf, symbols, options, words):
    install(bare_upf, symbols=symbols)
    with pytest.raises(InputError) as error:
        build(pw, **options)
    assert words in str(error.value)


def test_a_code_of_another_program_is_refused(worker_code, bare_upf, aiida_code_installed):
    install(bare_upf)
    code = aiida_code_installed(default_calc_job_plugin="core.arithmetic.add", filepath_executable="/bin/bash")
    with pytest.raises(InputError, match=r"but labels here need quantumespresso\.pw"):
        build(code)


def test_a_structure_with_shared_sites_is_refused():
    structure = orm.StructureData(cell=np.eye(3) * 4)
    structure.append_atom(symbols=["Na", "P"], weights=[0.5, 0.5], position=(0, 0, 0))
    with pytest.raises(InputError, match="the structure cannot be calculated"):
        usable_atoms(structure)
