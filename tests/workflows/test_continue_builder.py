"""Campaigns that go on, without running any: what is taken over, what is refused, and what is planned."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager

from aiida_nvp.campaign.additions import Additions, read_cell
from aiida_nvp.campaign.loader import load_campaign
from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.labelling.theory import rehearsal_theory, theory_hash
from aiida_nvp.report.cost import cost_by_stage
from aiida_nvp.report.graph import final_dataset
from aiida_nvp.workflows.campaign_builder import campaign_builder, stop_parameters
from aiida_nvp.workflows.continuation import cycle_cost
from aiida_nvp.workflows.continue_builder import continue_campaign
from aiida_nvp.workflows.engines import Engines, store_engines
from aiida_nvp.workflows.spent import core_seconds

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

ROOT = Path(__file__).parents[2]
REHEARSAL = ROOT / "workchains" / "campaigns" / "rehearsal.yaml"
OTHER = {"name": "V2O5", "oxides": {"V2O5": 1}, "atoms": 7, "copies": 2}


def flat(values, prefix=""):
    found = {}
    for key, value in values.items():
        if isinstance(value, orm.Data):
            found[prefix + key] = value
        elif key != "metadata":
            found |= flat(value, f"{prefix}{key}__")
    return found


class Past:
    """A campaign that nobody ran, in the shape that the work chains give it."""

    def __init__(self, builder, frames):
        self.frames = frames
        inputs = builder._inputs(prune=True)
        self.campaign = self.process(orm.WorkChainNode, "CampaignWorkChain", inputs=flat(inputs))
        cells = {"frames": DatasetData(self.frames(4).without_labels())} if "cells" in inputs else {}
        learn = flat(inputs["learn"]) | cells | {"seed": inputs["seed"]}
        self.loop = self.process(
            orm.WorkChainNode, "ActiveLearningWorkChain", self.campaign, "active_learning", inputs=learn
        )
        self.dataset = None
        self.nodes = {}

    def process(self, cls, name, caller=None, label=None, inputs=None, outputs=None, exit_status=0):
        node = cls(label=name)
        node.set_process_label(name)
        calculation = isinstance(node, orm.CalculationNode)
        for key, data in (inputs or {}).items():
            link = LinkType.INPUT_CALC if calculation else LinkType.INPUT_WORK
            node.base.links.add_incoming(data.store(), link, key)
        if caller is not None:
            link = LinkType.CALL_CALC if calculation else LinkType.CALL_WORK
            node.base.links.add_incoming(caller, link, label)
        node.set_process_state("finished")
        node.set_exit_status(exit_status)
        node.store()
        for key, data in (outputs or {}).items():
            if calculation:
                data.base.links.add_incoming(node, LinkType.CREATE, key)
            data.store()
            if not calculation:
                data.base.links.add_incoming(node, LinkType.RETURN, key)
        return node

    def step(self, label, cls=orm.CalcFunctionNode, exit_status=0, inputs=None, **outputs):
        self.nodes[label] = self.process(cls, label, self.loop, label, inputs, outputs, exit_status)
        return self.nodes[label]

    def train(self, name, members=(0, 1, 2), failed=()):
        for member in members:
            outputs = {} if member in failed else {"potential": potential(), "results": orm.Dict({"n": member})}
            self.step(f"{name}_train_{member}", orm.WorkChainNode, 402 if member in failed else 0, **outputs)

    def seeds(self):
        self.dataset = DatasetData(self.frames(4))
        self.step("seed_label", orm.WorkChainNode, dataset=DatasetData(self.frames(4)), triage=orm.Dict({}))
        self.step("seed_merge", result=self.dataset)
        self.step("energy_shifts", result=orm.Dict({"O": -1.0}))

    def cycle(self, index, verdict="continue", until="assess"):
        """Add the steps of a cycle up to the named one."""
        name = f"cycle_{index}"
        self.train(name)
        steps = {
            "explore": {"candidates": DatasetData(self.frames(2)), "results": orm.Dict({"replicas": []})},
            "review": {"predictions": orm.ArrayData()},
            "select": {
                "chosen": DatasetData(self.frames(2, 90 + index)),
                "left_over": DatasetData(self.frames(3, 70 + index)),
                "table": orm.Dict({"chosen": 2}),
            },
            "predict": {"predictions": orm.ArrayData()},
        }
        for step, outputs in steps.items():
            self.step(f"{name}_{step}", **outputs)
            if step == until:
                return
        before, self.dataset = self.dataset, DatasetData(self.frames(6 + 2 * index, index))
        batch = {"dataset": DatasetData(self.frames(2, 90 + index)), "triage": orm.Dict({})}
        self.step(f"{name}_label", orm.WorkChainNode, **batch)
        self.step(f"{name}_merge", inputs={"known": before}, result=self.dataset)
        self.step(f"{name}_calibrate", result=orm.Dict({"scales": {}}))
        if until == "calibrate":
            return
        records = {f"selection_{i}": self.nodes[f"cycle_{i}_select"].outputs.table for i in range(index + 1)}
        records |= {f"exploration_{i}": self.nodes[f"cycle_{i}_explore"].outputs.results for i in range(index + 1)}
        records |= {f"calibration_{i}": self.nodes[f"cycle_{i}_calibrate"].outputs.result for i in range(index + 1)}
        inputs = {"parameters": orm.Dict({}), "dataset": self.dataset, **records}
        self.step(f"{name}_assess", inputs=inputs, result=orm.Dict({"verdict": verdict, "cycle": index}))

    def end(self, exit_status=0, state="finished"):
        for node, status in ((self.loop, exit_status), (self.campaign, exit_status)):
            node.set_process_state(state)
            if state == "finished":
                node.set_exit_status(status)
            node.seal()
        return self.campaign


def potential():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("name", str(id(buffer)))
    buffer.seek(0)
    versions = {"nequip": "0", "allegro": "0", "torch": "0"}
    return PotentialData(buffer, types=("Na", "V", "P", "O"), cutoff=4.0, seed=1, versions=versions)


@pytest.fixture
def campaign_file(tmp_path):
    """Return a function that writes the rehearsal with changes of its sections."""

    def _write(**changes):
        values = yaml.safe_load(REHEARSAL.read_text())
        values["potential"] = str(ROOT / "potentials" / "nvp-tiny")
        for key, change in changes.items():
            values[key] = values[key] | change if isinstance(change, dict) else change
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.yaml"
        path.write_text(yaml.safe_dump(values))
        return load_campaign(path)

    return _write


@pytest.fixture
def past(campaign_file, worker_code, morse_frames):
    """Return a function that begins a campaign."""
    store_engines(Engines(pw="", worker=worker_code.full_label, pseudos=""))
    level = theory_hash(rehearsal_theory())

    def _begin(level=level, **changes):
        def frames(count, seed=0):
            return replace(morse_frames(count, seed), level_of_theory=level)

        return Past(campaign_builder(campaign_file(**changes)), frames)

    return _begin


@pytest.fixture
def finished(past):
    """A campaign that used its two cycles."""
    story = past()
    story.seeds()
    story.cycle(0)
    story.cycle(1, "cycles used")
    story.train("final")
    story.step("final_review", predictions=orm.ArrayData())
    story.end()
    return story


def accepted(continuation):
    """Ask AiiDA whether the inputs fit the ports; nothing runs."""
    return instantiate_process(get_manager().get_runner(), continuation.builder)


def test_one_more_cycle_takes_everything_over(finished):
    made = continue_campaign(finished.campaign, Additions(cycles=1))
    learn = accepted(made).inputs.learn
    earlier = learn.earlier
    assert learn.stop["max_cycles"] == 3
    assert learn.dataset.uuid == finished.dataset.uuid
    assert earlier.shifts.uuid == finished.nodes["energy_shifts"].outputs.result.uuid
    assert set(earlier.history) == {
        f"{kind}_{c}" for kind in ("selection", "exploration", "calibration") for c in (0, 1)
    }
    assert earlier.committee.member_2.uuid == finished.nodes["cycle_1_train_2"].outputs.potential.uuid
    assert set(earlier.done) == {"train_0", "train_1", "train_2", "review"}
    assert earlier.done["train_1"]["potential"].uuid == finished.nodes["final_train_1"].outputs.potential.uuid
    assert earlier.process.value == finished.loop.uuid
    assert earlier.left_over.uuid == finished.nodes["cycle_1_select"].outputs.left_over.uuid
    assert "verdict" not in earlier
    assert "cells" not in made.builder
    rows = dict(made.rows)
    assert "2 cycles, 8 labels" in rows["continues"]
    assert rows["cycles to come, at most"] == "1"
    assert rows["labels to come, at most"] == "6 (0 seeds, 6 chosen)"
    assert "core hours" in rows["cost, very roughly"]


def test_a_cycle_from_scratch_takes_no_warm_training_over(past):
    story = past(training={"scratch_every": 1})
    story.seeds()
    story.cycle(0, "cycles used")
    story.train("final")
    story.step("final_review", predictions=orm.ArrayData())
    earlier = accepted(continue_campaign(story.end(), Additions(cycles=1))).inputs.learn.earlier
    assert not earlier.get("done")
    # They are what the warm training for comparison begins from.
    assert earlier.committee.member_0.uuid == story.nodes["final_train_0"].outputs.potential.uuid


def test_added_glass_is_labelled_before_the_next_training(finished):
    made = continue_campaign(finished.campaign, Additions(cycles=2, cells=(read_cell(OTHER),)))
    inputs = accepted(made).inputs
    assert [cell["name"] for cell in inputs.cells["cells"]] == ["V2O5"]
    assert len(inputs.campaign["cells"]) == 5
    assert not inputs.learn.earlier.get("done")
    # The newest committee is the parent of the next, and cycles before the new glass prove nothing of it.
    parent = inputs.learn.earlier.committee.member_0
    assert parent.uuid == finished.nodes["final_train_0"].outputs.potential.uuid
    assert inputs.learn.stop["counts_from"] == 2
    assert dict(made.rows)["labels to come, at most"] == "28 (16 seeds, 12 chosen)"


def test_a_campaign_killed_in_its_second_cycle(past):
    story = past()
    story.seeds()
    story.cycle(0)
    story.cycle(1, until="select")
    made = continue_campaign(story.end(state="killed"))
    earlier = accepted(made).inputs.learn.earlier
    assert set(earlier.done) == {"train_0", "train_1", "train_2", "explore", "review", "select"}
    assert set(earlier.history) == {"selection_0", "exploration_0", "calibration_0"}
    assert earlier.committee.member_0.uuid == story.nodes["cycle_0_train_0"].outputs.potential.uuid
    assert made.builder.learn.dataset.uuid == story.nodes["cycle_0_merge"].outputs.result.uuid
    assert "explore" in dict(made.rows)["not done again"]


def test_labels_of_a_cut_cycle_are_kept_where_glass_is_added(past):
    story = past()
    story.seeds()
    story.cycle(0, until="calibrate")
    made = continue_campaign(story.end(exit_status=401), Additions(cells=(read_cell(OTHER),)))
    assert made.builder.learn.dataset.uuid == story.nodes["cycle_0_merge"].outputs.result.uuid
    assert "verdict" not in made.builder.learn.earlier


def test_one_failed_training_is_the_only_one_done_again(past):
    story = past()
    story.seeds()
    story.train("cycle_0", failed=(1,))
    earlier = accepted(continue_campaign(story.end(exit_status=401))).inputs.learn.earlier
    assert set(earlier.done) == {"train_0", "train_2"}
    assert not earlier.get("committee")


def test_a_failed_final_training_needs_no_further_cycle(past):
    story = past()
    story.seeds()
    story.cycle(0, "cycles used")
    story.train("final", failed=(0,))
    made = continue_campaign(story.end(exit_status=401))
    earlier = accepted(made).inputs.learn.earlier
    assert set(earlier.done) == {"train_1", "train_2"}
    assert earlier.verdict["verdict"] == "cycles used"
    assert dict(made.rows)["cycles to come, at most"] == "0"


def test_seeds_that_failed_are_asked_for_again(past):
    story = past()
    story.step("seed_label", orm.WorkChainNode, exit_status=401)
    made = continue_campaign(story.end(exit_status=401))
    inputs = accepted(made).inputs
    assert len(inputs.cells["cells"]) == 4
    assert "dataset" not in inputs.learn


def test_a_continued_campaign_is_continued(finished):
    second = continue_campaign(finished.campaign, Additions(cycles=1))
    story = Past(second.builder, finished.frames)
    story.step("cycle_2_explore", candidates=DatasetData(story.frames(2)), results=orm.Dict({}))
    third = continue_campaign(story.end(exit_status=401))
    earlier = third.builder.learn.earlier
    assert set(earlier.done) == {"train_0", "train_1", "train_2", "review", "explore"}
    assert "selection_1" in earlier.history
    assert earlier.left_over.uuid == finished.nodes["cycle_1_select"].outputs.left_over.uuid
    assert earlier.shifts.uuid == finished.nodes["energy_shifts"].outputs.result.uuid
    assert third.builder.learn.dataset.uuid == finished.dataset.uuid


def test_a_new_glass_has_to_pass_also_after_a_second_continuation(finished):
    second = continue_campaign(finished.campaign, Additions(cycles=2, cells=(read_cell(OTHER),)))
    story = Past(second.builder, finished.frames)
    story.train("cycle_2", failed=(0,))
    third = continue_campaign(story.end(exit_status=402))
    assert third.builder.learn.stop["counts_from"] == 2


def test_labels_that_a_second_look_threw_out_stay_out(past):
    story = past()
    story.seeds()
    story.cycle(0, until="calibrate")
    settled = DatasetData(story.frames(3, 50))
    story.step("cycle_0_settle", result=settled)
    second = continue_campaign(story.end(exit_status=406))
    again = Past(second.builder, story.frames)
    again.step("cycle_0_merge", result=DatasetData(story.frames(6)))
    third = continue_campaign(again.end(exit_status=406), Additions(cells=(read_cell(OTHER),)))
    assert third.builder.learn.dataset.uuid == settled.uuid


def test_half_a_training_from_scratch_makes_no_committee(past):
    story = past(training={"scratch_every": 2, "scratch_release": True})
    story.seeds()
    story.cycle(0, "cycles used")
    story.train("final", members=(0,))
    earlier = accepted(continue_campaign(story.end(exit_status=402), Additions(cycles=1))).inputs.learn.earlier
    assert not earlier.get("done")
    assert earlier.committee.member_0.uuid == story.nodes["cycle_0_train_0"].outputs.potential.uuid


def test_steps_that_were_run_again_are_paid_again(past):
    story = past()
    story.seeds()
    for _ in range(3):
        job = story.step("cycle_0_explore", orm.CalcJobNode, results=orm.Dict({"totals": {"wall_s": 1200.0}}))
        assert core_seconds([job]) == 1200
    story.step("cycle_0_rescore", orm.CalcJobNode, results=orm.Dict({"wall_s": 600.0}))
    spent = cycle_cost(story.loop, "cycle_0")
    assert spent["core_hours"] == spent["total_core_hours"] == pytest.approx(4200 / 3600)
    assert {entry.name: entry.jobs for entry in cost_by_stage(story.campaign)} == {
        "Exploration MD": 3,
        "Left-over candidates judged anew": 1,
    }


def test_the_newest_labels_are_those_of_the_added_glass(finished):
    assert final_dataset(finished.campaign).uuid == finished.dataset.uuid
    second = continue_campaign(finished.campaign, Additions(cycles=1, cells=(read_cell(OTHER),)))
    story = Past(second.builder, finished.frames)
    assert final_dataset(story.campaign).uuid == finished.dataset.uuid
    added = DatasetData(story.frames(8, 33))
    story.step("seed_merge", result=added)
    assert final_dataset(story.campaign).uuid == added.uuid


def test_what_would_do_nothing_is_refused(finished):
    glass = {**OTHER, "oxides": {"MgO": 1}, "atoms": 2}
    for additions, words in (
        (Additions(), "nothing is added"),
        (Additions(max_labels=200), "all 2 cycles are done"),
        (Additions(cycles=1, cells=(read_cell(glass),)), "no species Mg"),
        (Additions(cycles=1, cells=(read_cell({**OTHER, "name": "NaPO3"}),)), "name of another composition"),
    ):
        with pytest.raises(InputError, match=words):
            continue_campaign(finished.campaign, additions)


def test_a_running_campaign_is_refused(past):
    story = past()
    story.campaign.set_process_state("running")
    with pytest.raises(InputError, match="still runs"):
        continue_campaign(story.campaign, Additions(cycles=1))
    with pytest.raises(InputError, match="is no campaign"):
        continue_campaign(story.loop)


def test_labels_of_another_level_are_refused(past):
    story = past(level="0" * 64)
    story.seeds()
    with pytest.raises(InputError, match="another level of theory"):
        continue_campaign(story.end(exit_status=401))


def test_a_file_may_add_and_take_nothing_back(finished, campaign_file, tmp_path):
    cells = [*yaml.safe_load(REHEARSAL.read_text())["cells"], OTHER]
    made = continue_campaign(finished.campaign, loaded=campaign_file(cells=cells, stop={"max_cycles": 4}))
    assert [cell["name"] for cell in accepted(made).inputs.cells["cells"]] == ["V2O5"]
    assert made.builder.learn.stop["max_cycles"] == 4
    with pytest.raises(InputError, match=r"stop.max_cycles: stop.max_cycles is 1, but 2 cycles are done"):
        continue_campaign(finished.campaign, loaded=campaign_file(stop={"max_cycles": 1}))
    definition = yaml.safe_load((ROOT / "potentials" / "nvp-tiny" / "potential.yaml").read_text())
    other = tmp_path / "other"
    other.mkdir()
    (other / "potential.yaml").write_text(yaml.safe_dump(definition | {"cutoff": definition["cutoff"] + 0.5}))
    file = campaign_file(potential=str(other), stop={"max_cycles": 4})
    with pytest.raises(InputError, match="differs from that of the campaign in cutoff"):
        continue_campaign(finished.campaign, loaded=file)


def test_a_campaign_keeps_the_parent_that_it_began_with(finished, campaign_file, monkeypatch):
    archive = io.BytesIO()
    zipfile.ZipFile(archive, "w").close()
    archive.seek(0)
    node = PotentialData(archive, types=["Na", "V", "P", "O"], cutoff=4.0, seed=None).store()
    monkeypatch.setattr("aiida_nvp.workflows.campaign_builder.refuse_parent", lambda *_: None)
    file = campaign_file(parent=node.uuid, stop={"max_cycles": 4})
    with pytest.raises(InputError, match=f"began with random weights, those of the file with potential {node.uuid}"):
        continue_campaign(finished.campaign, loaded=file)


def test_stop_rules_name_what_the_campaign_names(campaign_file):
    stop = stop_parameters(campaign_file().campaign)
    assert stop["species"] == ["V"]
    assert stop["observables"] == {"pairs": {"P-O": 2.2, "V-O": 2.5, "Na-O": 3.1}, "formers": ["P"], "mobile": "Na"}
    own = {"species": [], "observables": {"pairs": {"V-O": 2.4}, "mobile": "O"}, "max_core_hours": 3}
    stop = stop_parameters(campaign_file(stop=own).campaign)
    assert stop["species"] == []
    assert stop["observables"] == {"pairs": {"V-O": 2.4}, "formers": [], "mobile": "O"}
    assert stop["max_core_hours"] == 3
    assert "observables" not in stop_parameters(campaign_file(stop={"observables": None}).campaign)
    for wrong, words in (({"species": ["Mg"]}, "has no Mg"), ({"observables": {"formers": ["S"]}}, "Q.n of S")):
        with pytest.raises(InputError, match=words):
            campaign_file(stop=wrong)
