"""The command that traces frames: what it prints, and what it refuses in one sentence."""

import re
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from aiida import orm
from ase.build import bulk
from click.testing import CliRunner

from aiida_nvp.cli import lineage
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import NodeRef
from aiida_nvp.report.history import LabelSource, Lineage, Proposal

pytestmark = pytest.mark.usefixtures("aiida_profile")


def invoke(*arguments):
    return CliRunner().invoke(lineage.lineage, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def built(aiida_profile):
    """The campaign that the tests of the report are made on; the tests here only read it."""
    spec = spec_from_file_location("graph_of_the_report", Path(__file__).parents[1] / "report" / "conftest.py")
    module = module_from_spec(spec)
    # A dataclass looks its own module up.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.build(cycles=1, production=False)


def only(node, label):
    """The process that was called under this link label."""
    return node.base.links.get_outgoing(link_label_filter=label).one().node


def test_every_frame_has_one_line_with_calculation_proposer_potential_and_reason(built):
    result = invoke(built.dataset.pk, "--all")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    count = len(built.dataset)
    assert len(lines) == count + 1
    assert lines[-1] == f"{count} of {count} frames traced to the calculation behind them"
    explore = only(built.loop, "cycle_0_explore")
    driver = explore.inputs.committee.member_0
    assert re.fullmatch(
        rf"Frame {count - 1} \(\w+, \w{{12}}\): labelled by PwCalculation<\d+>, ionic step 0; "
        rf"proposed by ExploreCalculation<{explore.pk}> \(exploration, replica 5, step 20, time 0.02 ps, "
        rf"temperature 1500 K, score [\d.e-]+ eV/angstrom, accepted: uncertain and unlike the rest\) "
        rf"with member_0 <{driver.pk}> of 3\.",
        lines[-2],
    )
    assert re.search(r"ionic step 3; proposed by generate<\d+> \(packed, NaVPO5\)\.$", lines[3])


def test_one_frame_is_told_with_all_inputs_and_potentials(built):
    result = invoke(built.dataset.pk, "--frame", len(built.dataset) - 1)
    assert result.exit_code == 0, result.output
    explore = only(built.loop, "cycle_0_explore")
    calculation = orm.load_node(int(re.search(r"PwCalculation<(\d+)>", result.output).group(1)))
    for name, node in calculation.base.links.get_incoming(node_class=orm.Data).nested().items():
        assert f"{name} {type(node).__name__}<{node.pk}>" in result.output
    members = [f"member_{m} <{explore.inputs.committee[f'member_{m}'].pk}>" for m in range(3)]
    assert f"{', '.join(members)}; member_0 drove the run" in result.output
    assert re.search(rf"proposed by +ExploreCalculation<{explore.pk}>: exploration, replica 5, step 20,", result.output)
    assert re.search(r"why +accepted: uncertain and unlike the rest; kept in DatasetData<\d+>", result.output)


def test_a_seed_is_told_without_potentials(built):
    output = invoke(built.dataset.pk, "--frame", 3).output
    assert "ionic step 3" in output
    assert re.search(r"proposed by +generate<\d+>: packed, NaVPO5", output)
    assert "potentials" not in output
    assert "a cell to begin with" in output


def test_inputs_of_many_kinds_are_listed_and_members_keep_their_order():
    def ref(pk, kind):
        return NodeRef(pk=pk, uuid="", kind=kind)

    names = ("structure", "code", "kpoints", "pseudos__Na", "pseudos__O")
    label = LabelSource(ref(1, "PwCalculation"), 0, ref(2, "TrajectoryData"), {n: ref(9, "D") for n in names})
    committee = {f"committee__member_{m}": ref(m, "PotentialData") for m in (10, 0, 2)}
    proposal = Proposal(ref(3, "ExploreCalculation"), ref(4, "DatasetData"), {"kind": "exploration"}, committee)
    told = Lineage(0, "0" * 64, "NaO", ref(5, "DatasetData"), label, proposal, (), ()).story
    assert "kpoints D<9>" in told
    assert "pseudos Na D<9>, O D<9>" in told
    assert "member_0 <0>, member_2 <2>, member_10 <10>; member_0 drove" in told


def test_lineage_refuses_what_is_no_data_set():
    assert "lineage needs a data set" in invoke(orm.Int(1).store().pk, "--all").output
    assert "no single node" in invoke("nothing", "--all").output
    dataset = DatasetData(FrameSet.from_atoms([bulk("Cu")])).store()
    assert "give either --frame N or --all" in invoke(dataset.pk).output


def test_lineage_of_frames_without_history_is_a_miss():
    dataset = DatasetData(FrameSet.from_atoms([bulk("Cu")])).store()
    result = invoke(dataset.pk, "--all")
    assert result.exit_code == 1
    assert "0 of 1 frames traced" in result.output
    assert "lost         no process created" in invoke(dataset.pk, "--frame", 0).output


@pytest.mark.parametrize(("text", "key"), [("7", 7), ("0", 0), ("7abc", "7abc"), ("12345678", "12345678")])
def test_digits_are_a_number_unless_they_could_be_an_id(text, key):
    assert lineage._frame_key(text) == key
