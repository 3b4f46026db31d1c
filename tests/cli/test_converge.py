"""The command of convergence tests: what it hands over, shows and refuses."""

import numpy as np
import pytest
from aiida import engine, orm
from aiida.manage import get_manager
from aiida_pseudo.groups.family import CutoffsPseudoPotentialFamily
from ase import Atoms
from click.testing import CliRunner

from aiida_nvp.cli import converge as module
from aiida_nvp.workflows.converge import ConvergeWorkChain
from aiida_nvp.workflows.engines import Engines, store_engines

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def invoke(*arguments):
    return CliRunner().invoke(module.converge, [str(argument) for argument in arguments])


@pytest.fixture
def engines(bare_upf, aiida_code_installed):
    family = CutoffsPseudoPotentialFamily(label="local").store()
    family.add_nodes([bare_upf(symbol) for symbol in ("Na", "P", "O")])
    family.set_cutoffs({s: {"cutoff_wfc": 40, "cutoff_rho": 320} for s in family.elements}, "normal", unit="Ry")
    code = aiida_code_installed(
        label="pw-test", default_calc_job_plugin="quantumespresso.pw", filepath_executable="/bin/true"
    )
    store_engines(Engines(pw=code.full_label, worker="", pseudos="local"))
    return code


@pytest.fixture
def cell(tmp_path):
    """A file with a cell of NaPO3, and its atoms."""
    grid = np.stack(np.meshgrid(*[[0.1, 2.3]] * 3), axis=-1).reshape(-1, 3)
    atoms = Atoms("NaPO3", positions=grid[:5], cell=np.eye(3) * 4.6, pbc=True)
    path = tmp_path / "cell.vasp"
    atoms.write(path)
    return path


@pytest.fixture
def ran(monkeypatch, convergence_node):
    """Builders that were run here; each gives the same finished test."""
    found = []

    def run(builder, what):
        found.append(builder)
        return convergence_node().pk

    monkeypatch.setattr(module, "run_watched", run)
    return found


def test_a_file_and_options_become_a_builder_and_the_result_is_shown(engines, cell, ran, tmp_path):
    settings = tmp_path / "settings.yaml"
    settings.write_text("degauss_ry: 0.02\n")
    report = tmp_path / "test.html"
    result = invoke(
        cell, "--cutoffs", "30,40,60", "--duals", "4,8", "--k-distances", "2,1", "--force-tolerance", "0.02",
        "--energy-tolerance", "0.1", "--settings", settings, "--in-flight", "2", "--report", report,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    (builder,) = ran
    assert builder.process_class is ConvergeWorkChain
    assert builder.code.uuid == engines.uuid
    plan = builder.plan
    assert (plan["cutoffs_ry"], plan["duals"], plan["k_distances"]) == ([30, 40, 60], [4, 8], [2, 1])
    assert plan["tolerances"] == {"force": 0.02, "stress_gpa": 0.5, "energy_per_atom": 0.1}
    assert builder.settings["degauss_ry"] == 0.02
    assert builder.in_flight == 2
    assert builder.structure.get_formula() == "NaO3P"
    assert "NaO3P, 5 atoms: 5 calculations with local" in result.output
    assert "Cutoff of the waves (at dual 8, mesh 1x1x1)" in result.output
    assert "40 Ry and all stricter settings agree with 60 Ry" in result.output
    assert "Proposed:\nsettings:\n  cutoff_wfc_ry: 40" in result.output
    assert report.read_text().startswith("<!DOCTYPE html>")


def test_a_stored_structure_is_taken_as_it_is(engines, cell, ran):
    structure = orm.StructureData(ase=module._structure(cell).get_ase()).store()
    for identifier in (structure.pk, structure.uuid):
        assert invoke(identifier).exit_code == 0
    assert {builder.structure.uuid for builder in ran} == {structure.uuid}
    assert ran[0].plan["cutoffs_ry"] == [28, 34, 40, 50, 64]


@pytest.mark.parametrize("options", [("--no-duals",), ("--duals", "")])
def test_duals_can_be_left_out(engines, cell, ran, options):
    result = invoke(cell, "--cutoffs", "30,40,60", *options, "--k-distances", "2,1")
    assert result.exit_code == 0, result.output
    assert (ran[0].plan["duals"], ran[0].plan["base_dual"]) == ([], 8)
    assert "5 atoms: 4 calculations with local, then one of what they propose" in result.output
    assert "Checked: the proposed settings together (40 and 160 Ry, mesh 1x1x1)" in result.output


def test_the_daemon_gets_the_test(engines, cell, monkeypatch):
    taken = []

    def take(builder):
        taken.append(builder)
        return orm.WorkChainNode().store()

    monkeypatch.setattr(engine, "submit", take)
    monkeypatch.setattr("aiida_nvp.cli.submit.daemon_is_running", lambda _: True)
    result = invoke(cell, "--submit")
    assert result.exit_code == 0, result.output
    assert len(taken) == 1
    node = orm.QueryBuilder().append(orm.WorkChainNode).first(flat=True)
    assert f"submitted convergence test {node.pk}" in result.output
    assert f"`aiida-nvp converge {node.pk} --watch`" in result.output
    monkeypatch.setattr("aiida_nvp.cli.submit.daemon_is_running", lambda _: False)
    assert "the daemon of profile" in invoke(cell, "--submit").output
    assert len(taken) == 1


def test_a_test_that_has_run_is_shown_again(convergence_node, tmp_path):
    node = convergence_node(failed=["cutoff_60_dual_8_mesh_1_1_1"], exit_status=401)
    drawing = tmp_path / "test.svg"
    result = invoke(node.pk, "--report", drawing)
    assert result.exit_code == 1
    assert "Proposed, as far as the series have converged:" in result.output
    assert f"test {node.pk} ended with exit code 401: the sentence of the exit code" in result.output
    assert drawing.read_text().startswith("<svg")


FAULTS = [
    (["--cutoffs", "30,x"], "--cutoffs takes numbers parted by commas, as in 30,40,50, not '30,x'."),
    (["--cutoffs", ""], "cutoffs_ry: nothing given; give two values or more"),
    (["--cutoffs", "40"], "cutoffs_ry: 40 given; give two values or more"),
    (["--cutoffs", "40,30"], "cutoffs_ry: 40,30 does not rise; write it as 30,40"),
    (["--duals", "3,8"], "duals.0: Input should be greater than or equal to 4"),
    (["--k-distances", "0.2,0.5"], "does not go from coarse to fine; write it as 0.5,0.2"),
    (["--force-tolerance", "0"], "tolerances.force: Input should be greater than 0"),
    (["--in-flight", "0"], "--in-flight 0 starts nothing; give 1 or more."),
    (["--protocol", "quick"], "no label protocol `quick`"),
    (["--pseudos", "none"], "no pseudopotential family `none`"),
    (["--pw", "none@here"], "there is no code 'none@here'"),
    (["--report", "test.pdf"], "--report writes .html, .svg or .png, not test.pdf."),
    (["--no-duals", "--duals", "4,8"], "--no-duals varies none of them and --duals 4,8 some; give one of the two."),
    (["--submit", "--report", "test.html"], "--report with --submit needs --watch"),
    (["--settings", "none.yaml"], "the inputs file none.yaml cannot be read"),
]


@pytest.mark.parametrize(
    ("options", "says"), FAULTS, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_faults_are_one_sentence_and_nothing_runs(engines, cell, ran, options, says):
    result = invoke(cell, *options)
    assert result.exit_code == 1
    assert says in result.output
    assert len(result.output.splitlines()) == 1
    assert ran == []


def write_atoms(path, symbols, shift=2.0, cell=4.0):
    Atoms(symbols, positions=[[0, 0, 0], [shift, 0, 0]], cell=[cell] * 3, pbc=True).write(path)


def test_structures_that_cannot_be_tested(engines, ran, tmp_path):
    broken = tmp_path / "POSCAR"
    broken.write_text("no structure\nat all\n")
    alien, close, loose = tmp_path / "alien.vasp", tmp_path / "close.vasp", tmp_path / "loose.xyz"
    write_atoms(alien, "NaSi")
    write_atoms(close, "NaP", shift=0.2)
    Atoms("NaP", positions=[[0, 0, 0], [2, 0, 0]]).write(loose)
    number = orm.Int(1).store()
    for given, says in (
        (broken, f"{broken} cannot be read as a structure: "),
        (alien, "family `local` has no pseudopotential for Si"),
        (close, "Na0 and P1 overlap: 0.20 angstrom apart"),
        (loose, f"{loose}: a frame needs a cell with a volume"),
        ("nowhere.cif", "`nowhere.cif` is neither a file nor a single node of this profile."),
        (number.pk, f"node {number.pk} is a Int, not a structure."),
    ):
        result = invoke(given)
        assert result.exit_code == 1, given
        assert says in result.output
        assert len(result.output.splitlines()) == 1
    assert ran == []


@pytest.mark.usefixtures("no_engines")
def test_without_a_setup_the_missing_options_are_named(cell):
    name = get_manager().get_profile().name
    assert f"run `aiida-nvp setup -p {name}`, or give --pw and --pseudos." in invoke(cell).output
    assert "or give --pseudos." in invoke(cell, "--pw", "pw@localhost").output
