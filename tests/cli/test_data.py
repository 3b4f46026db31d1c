"""Data in and out by command: what is made, what is said, and what is refused in one sentence."""

import io

import numpy as np
import pytest
import yaml
from aiida import orm
from aiida.common.links import LinkType
from aiida.manage import get_manager
from aiida.tools.archive import create_archive
from aiida_pseudo.data.pseudo.upf import UpfData
from ase import Atoms
from click.testing import CliRunner

from aiida_nvp.calculations.merge import merge
from aiida_nvp.calculations.pw_nodes import PW_PLUGIN
from aiida_nvp.cli import nvp
from aiida_nvp.cli.data import DATA_COMMANDS
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.extxyz import read_extxyz, write_extxyz
from aiida_nvp.labelling.theory import theory_hash

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

THEORY = {"labeller": "vasp", "functional": "PBE", "encut_ev": 520}


def invoke(*arguments):
    profile = get_manager().get_profile().name
    return CliRunner().invoke(nvp, ["-p", profile, "data", *map(str, arguments)])


def datasets():
    return orm.QueryBuilder().append(DatasetData, tag="d").order_by({"d": "id"}).all(flat=True)


@pytest.fixture
def theory_file(tmp_path):
    path = tmp_path / "theory.yaml"
    path.write_text(yaml.safe_dump(THEORY))
    return path


@pytest.fixture
def foreign(tmp_path, morse_frames):
    """A file as another program would have written it: other keys, no word on its origin."""
    text = write_extxyz(morse_frames(5)).replace("nvp_level_of_theory=morse", "").replace(" energy=", " REF_energy=")
    path = tmp_path / "melt.extxyz"
    path.write_text("\n".join(line.partition(" nvp_info=")[0] for line in text.splitlines()) + "\n")
    return path


def pw_job(seed=0, cutoff=45, caller=None):
    atoms = Atoms("NaO", positions=[[0, 0, 0], [2, 2, 2]], cell=[4] * 3, pbc=True)
    atoms.rattle(0.1, seed=seed)
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh([2, 2, 2])
    system = {"ecutwfc": cutoff, "occupations": "smearing", "degauss": 0.01}
    inputs = {
        "structure": orm.StructureData(ase=atoms),
        "parameters": orm.Dict({"CONTROL": {"calculation": "scf"}, "SYSTEM": system}),
        "kpoints": kpoints,
    }
    for symbol in ("Na", "O"):
        head = f'<UPF version="2.0.1">\n<PP_HEADER element="{symbol}" z_valence="5.0" functional="PBE"/>\n</UPF>\n'
        inputs[f"pseudos__{symbol}"] = UpfData(io.BytesIO(head.encode()), filename=f"{symbol}.upf")
    node = orm.CalcJobNode()
    node.set_process_type(PW_PLUGIN)
    node.set_process_label("PwCalculation")
    for name, data in inputs.items():
        node.base.links.add_incoming(data.store(), LinkType.INPUT_CALC, name)
    if caller is not None:
        node.base.links.add_incoming(caller, LinkType.CALL_CALC, "iteration_01")
    node.set_process_state("finished")
    node.set_exit_status(0)
    node.store()
    trajectory = orm.TrajectoryData()
    trajectory.set_trajectory(["Na", "O"], atoms.positions[None], cells=atoms.cell.array[None], pbc=(True,) * 3)
    trajectory.set_array("energy", np.array([-300.0 + seed]))
    trajectory.set_array("forces", np.random.default_rng(seed).normal(size=(1, 2, 3)))
    for name, data in (("output_trajectory", trajectory), ("output_parameters", orm.Dict({}))):
        data.base.links.add_incoming(node, LinkType.CREATE, name)
        data.store()
    # As a job that AiiDA ran is left; an archive takes no other.
    node.seal()
    return node


def work_chain(seed=0):
    chain = orm.WorkChainNode().store()
    pw_job(seed, caller=chain)
    chain.set_process_state("finished")
    chain.set_exit_status(0)
    chain.seal()
    return chain


def test_the_group_lists_its_commands_and_each_takes_a_profile():
    result = CliRunner().invoke(nvp, ["data", "--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in DATA_COMMANDS)
    for name in DATA_COMMANDS:
        assert "--profile" in CliRunner().invoke(nvp, ["data", name, "--help"]).output


def test_a_file_in_and_out_again(foreign, theory_file, tmp_path, morse_frames):
    result = invoke("import", foreign, "--theory", theory_file, "--key", "energy=REF_energy")
    assert result.exit_code == 0, result.output
    (dataset,) = datasets()
    assert dataset.label == "melt"
    assert f"data set {dataset.pk}" in result.output
    assert dataset.frames.level_of_theory == theory_hash(THEORY)
    np.testing.assert_array_equal(dataset.frames.energy, morse_frames(5).energy)

    out = tmp_path / "out.extxyz"
    assert invoke("export", dataset.pk, "-o", out).exit_code == 0
    assert read_extxyz(out).frame_set(theory_hash(THEORY)).content_hash == dataset.frames.content_hash
    assert "nvp_level_of_theory" in invoke("export", dataset.uuid, "-o", "-").output
    again = invoke("import", out)
    assert again.exit_code == 0, again.output
    assert datasets()[1].frames.content_hash == dataset.frames.content_hash


def test_show_tells_what_a_set_holds_and_how_it_was_made(foreign, theory_file):
    invoke("import", foreign, "--theory", theory_file, "--key", "energy=REF_energy")
    result = invoke("show", datasets()[0].pk)
    for words in ("frames                 5", "O Na P V", "imported (5)", "eV/angstrom", "labeller", "vasp"):
        assert words in result.output
    assert yaml.safe_load(invoke("show", datasets()[0].pk, "--theory").output) == THEORY


def test_show_of_a_set_that_nobody_made(morse_frames):
    dataset = DatasetData(morse_frames(2)).store()
    assert "level of theory        morse" in invoke("show", dataset.pk).output
    assert "no process behind" in invoke("show", dataset.pk, "--theory").output
    bare = DatasetData(morse_frames(2).without_labels()).store()
    assert "labels                 none" in invoke("show", bare.pk).output


def test_calculations_of_a_group_with_those_under_its_work_chains(tmp_path):
    group = orm.Group("labels of last year").store()
    inner = work_chain(3)
    group.add_nodes([pw_job(1), pw_job(2), inner, inner.called[0], orm.Int(1).store()])
    result = invoke("import-group", "labels of last year")
    assert result.exit_code == 0, result.output
    (dataset,) = datasets()
    assert len(dataset) == 3
    assert dataset.label == "labels of last year"
    stated = tmp_path / "theory.yaml"
    stated.write_text(invoke("show", dataset.pk, "--theory").output)
    group.add_nodes(pw_job(4, cutoff=60))
    refused = invoke("import-group", group.pk)
    assert refused.exit_code == 1
    assert "cutoff_wfc_ry is 45.0 in 3" in refused.output
    result = invoke("import-group", group.pk, "--theory", stated, "--skip-others")
    assert result.exit_code == 0, result.output
    assert "left out: PwCalculation<" in result.output
    assert datasets()[1].base.caching.get_hash() == dataset.base.caching.get_hash()


def test_an_archive_brings_its_calculations(tmp_path, aiida_profile):
    archive = tmp_path / "shared.aiida"
    create_archive([pw_job(1), work_chain(2)], filename=archive)
    aiida_profile.reset_storage()
    pw_job(3)
    result = invoke("import-archive", archive)
    assert result.exit_code == 0, result.output
    (dataset,) = datasets()
    assert len(dataset) == 2
    assert dataset.label == "shared"
    invoke("import-archive", archive)
    assert datasets()[1].base.caching.get_hash() == dataset.base.caching.get_hash()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("export", "nothing", "-o", "-"), "no single node `nothing`"),
        (("show", "{number}"), "is a Int, not a data set of frames"),
        (("import-group", "nobody"), "no single group `nobody`"),
        (("import-group", "empty"), "group empty holds no pw.x calculation that gives a label"),
        (("import-group", "empty", "--skip-others"), "--skip-others needs --theory"),
        (("import-archive", "{file}"), "cannot be imported"),
        (("import", "{file}", "--theory", "{list}"), "has to be a mapping"),
        (("import", "{file}", "--theory", "{broken}"), "cannot be read as YAML"),
        (("import", "{file}", "--key", "energy"), "--key takes WHAT=NAME"),
        (("import", "{file}"), "line 1 should hold the number of atoms"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(arguments, words, tmp_path):
    orm.Group("empty").store()
    files = {"file": "text", "list": "- 1\n", "broken": "a: [\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    names = {"number": orm.Int(1).store().pk, **{name: tmp_path / name for name in files}}
    result = invoke(*(str(argument).format(**names) for argument in arguments))
    assert result.exit_code == 1, result.output
    assert result.output.count("Error: ") == 1
    assert words in result.output


def test_a_doubt_about_units_is_a_refusal_that_can_be_overruled(foreign, theory_file):
    given = ("import", foreign, "--theory", theory_file, "--key", "energy=REF_energy", "--unit", "length=nm")
    assert "which is no bond if lengths are in nm" in invoke(*given).output
    result = invoke(*given, "--unchecked", "--no-stress")
    assert result.exit_code == 0, result.output
    assert "which is no bond" in result.output
    assert "in 0 frames" in result.output


def told(pk):
    profile = get_manager().get_profile().name
    return CliRunner().invoke(nvp, ["-p", profile, "lineage", str(pk), "--all"])


def test_the_lineage_of_imported_calculations_ends_at_their_jobs(tmp_path):
    group = orm.Group("old labels").store()
    jobs = [pw_job(1), work_chain(2)]
    group.add_nodes(jobs)
    assert invoke("import-group", "old labels").exit_code == 0
    merged = merge(a=datasets()[0])
    for dataset in (datasets()[0], merged):
        result = told(dataset.pk)
        assert result.exit_code == 0, result.output
        lines = result.output.splitlines()
        assert lines[-1] == "2 of 2 frames traced to the calculation behind them"
        for line, job in zip(lines, (jobs[0], jobs[1].called[0]), strict=False):
            start = job.inputs.structure.pk
            words = f"labelled by PwCalculation<{job.pk}>, ionic step 0; start geometry given by the user in "
            assert line.endswith(f"{words}StructureData<{start}>.")


def test_the_lineage_of_a_file_says_that_no_calculation_is_here(foreign, theory_file):
    invoke("import", foreign, "--theory", theory_file, "--key", "energy=REF_energy")
    (dataset,) = datasets()
    result = told(dataset.pk)
    assert result.exit_code == 1
    first, *_, last = result.output.splitlines()
    made_by = f"import_extxyz<{dataset.creator.pk}>"
    assert first.endswith(f": {made_by} took its label from a file: no calculation in this database made it.")
    assert last == "0 of 5 frames traced to the calculation behind them"
