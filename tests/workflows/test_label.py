"""Labels through the whole outline, on the rehearsal potential."""

from __future__ import annotations

import numpy as np
import pytest
from aiida import orm
from aiida.cmdline.utils.common import get_workchain_report
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from aiida.plugins import WorkflowFactory
from ase import Atoms

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.label_state import LabelState
from aiida_nvp.labelling.rehearsal import RehearsalPotential
from aiida_nvp.workflows.label import LabelWorkChain
from aiida_nvp.workflows.labellers import RehearsalLabeller

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

EDGE = 4.6


def cell(seed, symbols="NaPO3"):
    """A small cell with atoms spread on a jittered grid, 2.3 angstrom apart."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[[0.0, EDGE / 2]] * 3), axis=-1).reshape(-1, 3)
    count = len(Atoms(symbols))
    positions = grid[rng.permutation(len(grid))[:count]] + rng.normal(scale=0.1, size=(count, 3))
    return Atoms(symbols, positions=positions, cell=np.eye(3) * EDGE, pbc=True)


def close(distance):
    atoms = cell(9)
    atoms.positions[2] = atoms.positions[1] + [0.0, 0.0, distance]
    return atoms


def dataset(*frames, origin=None):
    info = [{"origin": origin or {"kind": "packed", "number": index}} for index in range(len(frames))]
    return DatasetData(FrameSet.from_atoms(frames, info), [{"explore": f"uuid-{n}"} for n in range(len(frames))])


@pytest.fixture
def label(worker_code):
    def _label(frames, **inputs):
        given = {"frames": frames, "labeller": "rehearsal", "code": worker_code, "settings": {}, **inputs}
        return run_get_node(WorkflowFactory("nvp.label"), **given)

    return _label


def test_one_bad_frame_in_a_window_of_two(label):
    frames = dataset(cell(1), cell(2, "NaVO4"), close(0.75), cell(1), close(0.2), cell(3))
    outputs, node = label(frames, in_flight=2, max_failed_share=0.5)

    assert node.exit_status == 0, node.exit_message
    triage = outputs["triage"].get_dict()
    assert [row["status"] for row in triage["frames"]] == [
        "converged",
        "converged",
        "rejected",
        "rejected",
        "converged",
    ]
    assert "too close for a label" in triage["frames"][2]["reason"]
    assert "overlap: 0.20 angstrom apart" in triage["frames"][3]["reason"]
    assert triage["frames"][3]["process"] == ""
    assert triage["counts"] == {"converged": 3, "retried": 0, "ambiguous": 0, "rejected": 2, "frames": 5, "labels": 3}

    labelled = outputs["dataset"].frames
    sent = frames.frames.ids()
    assert labelled.ids() == [sent[0], sent[1], sent[5]]
    assert labelled.level_of_theory == triage["level_of_theory"]["hash"]
    assert labelled.info[2]["origin"] == {"kind": "packed", "number": 5}
    assert outputs["dataset"].sources[0]["explore"] == "uuid-0"
    for atoms in labelled:
        expected = atoms.copy()
        expected.calc = RehearsalPotential()
        assert atoms.get_potential_energy() == pytest.approx(expected.get_potential_energy(), abs=1e-9)
        np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), atol=1e-9)
        np.testing.assert_allclose(atoms.get_stress(), expected.get_stress(), atol=1e-12)

    assert_window(node, 2)
    assert_lineage(outputs["dataset"], node)


def assert_window(node, width):
    """No more than ``width`` children at a time; which of them ends first is up to the machine."""
    jobs = sorted((child for child in node.called if isinstance(child, orm.CalcJobNode)), key=lambda child: child.ctime)
    assert len(jobs) == 4
    for job in jobs:
        assert sum(other.ctime <= job.ctime < other.mtime for other in jobs) <= width


def assert_lineage(data, node):
    """From the data set to the job of every frame through links alone."""
    collect = data.creator
    links = collect.base.links.get_incoming(node_class=orm.TrajectoryData).all()
    jobs = {entry.link_label: entry.node.creator for entry in links}
    for identity, sources in zip(data.frames.ids(), data.sources, strict=True):
        job = jobs[f"trajectories__frame_{identity[:16]}"]
        assert job.uuid == sources["label"]
        assert job.caller.uuid == node.uuid
        assert job.base.links.get_incoming(link_label_filter=f"frame_{identity[:16]}").one().node.uuid == node.uuid


def test_labels_keep_the_order_of_the_frames_after_a_restart(label, monkeypatch):
    """A checkpoint sorts the keys of the context; the data set, and with it every training, must not depend on that."""
    collect = LabelWorkChain.collect

    def read_back(self):
        order = sorted(self.ctx.frames, reverse=sorted(self.ctx.frames) == list(self.ctx.frames))
        self.ctx.frames = {key: self.ctx.frames[key] for key in order}
        return collect(self)

    monkeypatch.setattr(LabelWorkChain, "collect", read_back)
    frames = dataset(cell(1), cell(2), cell(3))
    outputs, _ = label(frames)
    assert outputs["dataset"].frames.ids() == frames.frames.ids()
    assert [row["frame"] for row in outputs["triage"]["frames"]] == frames.frames.ids()


def test_every_step_of_a_relaxation_is_a_label(label):
    outputs, node = label(dataset(cell(1)), settings={"mode": "relax", "relax_steps": 6})

    assert node.exit_status == 0
    frames = outputs["dataset"].frames
    assert len(frames) == 6
    assert [entry["origin"]["kind"] for entry in frames.info] == ["relaxation"] * 6
    assert [entry["origin"]["step"] for entry in frames.info] == list(range(6))
    assert frames.ids()[0] == frames.info[5]["origin"]["start"]
    assert frames.energy[5] < frames.energy[0]
    assert outputs["triage"]["counts"]["labels"] == 6


def test_a_finished_label_is_not_computed_again_and_what_it_saves_is_counted(label):
    with enable_caching(identifier="aiida.calculations:nvp.rehearsal"):
        first, _ = label(dataset(cell(1), cell(2)))
        again, node = label(dataset(cell(2), cell(3), cell(1)))
    assert first["triage"]["saved"] == {"frames": 0, "core_s": 0.0}
    rows = again["triage"]["frames"]
    assert [row["reused"] for row in rows] == [1, 0, 1]
    assert [row["saved_core_s"] == row["code_s"] for row in rows] == [True, False, True]
    cost = {row["frame"]: row["code_s"] for row in first["triage"]["frames"]}
    assert again["triage"]["saved"] == {"frames": 2, "core_s": pytest.approx(sum(cost.values()), abs=0.011)}
    assert "2 of them were found finished in this profile" in get_workchain_report(node, "REPORT")


def test_too_many_failures_end_the_batch_and_keep_what_is_done(label):
    frames = dataset(cell(1), close(0.7), close(0.75), cell(2), cell(3), cell(4))
    outputs, node = label(frames, in_flight=1, max_failed_share=0.2)

    assert node.exit_status == 402
    assert "above the accepted share of 0.2" in node.exit_message
    assert len(outputs["dataset"]) == 1
    reasons = [row["reason"] for row in outputs["triage"]["frames"]]
    assert reasons[3:] == ["not sent: the batch was stopped early"] * 3


def test_no_label_at_all_still_gives_the_table(label):
    outputs, node = label(dataset(close(0.7)))

    assert node.exit_status == 401
    assert "too close for a label" in node.exit_message
    assert "dataset" not in outputs
    assert outputs["triage"]["counts"]["rejected"] == 1


@pytest.fixture
def with_states(monkeypatch):
    """The rehearsal labeller as if it had electronic states; ``with_states`` holds formulas that are flagged."""
    flagged = set()

    def state_of(retrieved, settings, atoms, recipe=None):
        assert isinstance(retrieved, orm.FolderData)
        return LabelState(flag="look" if atoms.get_chemical_formula() in flagged else "")

    monkeypatch.setattr(RehearsalLabeller, "HAS_STATE", True)
    monkeypatch.setattr("aiida_nvp.calculations.label.state_of", state_of)
    return flagged


def test_a_share_and_every_flagged_label_is_made_again_from_another_start(label, with_states):
    """What cannot start in another way is left alone; one potential has one solution, so nothing is ambiguous."""
    frames = dataset(cell(1, "NaV2O5"), cell(2, "V2O5"), cell(3))
    outputs, node = label(frames, branch_share=1.0, in_flight=2)

    assert node.exit_status == 0, node.exit_message
    rows = outputs["triage"]["frames"]
    again = [[rerun["start"] for rerun in row.get("branch", {}).get("reruns", [])] for row in rows]
    assert again == [["permuted"], ["antiferromagnetic"], []]
    assert [row["branch"]["energy_spread"] for row in rows[:2]] == [0.0, 0.0]
    assert rows[0]["branch"]["kept"] == "species"
    found = {"frames": 2, "unchecked": 0, "ambiguous": 0, "energy_spread": 0.0, "force_spread": 0.0}
    assert outputs["triage"]["branch_check"] == found
    assert len(outputs["dataset"]) == 3
    assert "ambiguous" not in outputs
    names = {link.link_label for link in node.base.links.get_outgoing(node_class=orm.ProcessNode).all()}
    identity = frames.frames.ids()[0][:16]
    assert {"other_starts", f"frame_{identity}", f"frame_{identity}_permuted"} <= names
    assert "2 frames from several starts, 0 ambiguous" in get_workchain_report(node, "REPORT")

    with_states.add("O5V2")
    outputs, _ = label(frames, branch_share=0.0)
    assert ["branch" in row for row in outputs["triage"]["frames"]] == [False, True, False]
    assert outputs["triage"]["frames"][1]["flags"] == ["look"]


def test_an_ambiguous_label_is_kept_apart_and_never_handed_out_again(label, with_states, monkeypatch):
    monkeypatch.setattr("aiida_nvp.labelling.branches.ENERGY_SPREAD", -1.0)
    frames = dataset(cell(2, "V2O5"), cell(3))
    with enable_caching(identifier="aiida.calculations:nvp.rehearsal"):
        # As in a second look: the first calculation is there already, and what is found ambiguous is its copy.
        label(frames, branch_share=0.0)
        outputs, node = label(frames, branch_share=1.0)
        again, _ = label(frames, branch_share=0.0)

    assert node.exit_status == 0, node.exit_message
    assert [row["status"] for row in outputs["triage"]["frames"]] == ["ambiguous", "converged"]
    assert "2 starts end" in outputs["triage"]["frames"][0]["reason"]
    assert outputs["dataset"].frames.ids() == frames.frames.ids()[1:]
    assert outputs["ambiguous"].frames.ids() == frames.frames.ids()[:1]
    assert [row["reused"] for row in again["triage"]["frames"]] == [0, 1]


def test_relaxations_are_not_made_again(label, with_states):
    outputs, _ = label(dataset(cell(2, "V2O5")), branch_share=1.0, settings={"mode": "relax", "relax_steps": 2})
    assert "branch" not in outputs["triage"]["frames"][0]


@pytest.mark.parametrize(
    ("frames", "inputs", "status", "words"),
    [
        ([], {}, 201, "no frame"),
        ([cell(1)], {"settings": {"mode": "quick"}}, 202, "mode"),
        ([cell(1)], {"labeller": "oracle"}, 202, "oracle"),
        ([cell(1)], {"in_flight": 0}, 202, "in_flight"),
        ([cell(1)], {"branch_share": 1.5}, 202, "branch_share"),
        ([cell(1, "NaSiO3")], {}, 203, "Si"),
    ],
)
def test_refusals_cost_no_job(label, frames, inputs, status, words):
    _, node = label(dataset(*frames), **inputs)

    assert node.exit_status == status
    assert words in node.exit_message
    assert not node.called
