"""What goes wrong at run time, played to the real work chains: the exit code, the sentence, and what is kept.

The worker is the real one behind a script that can be told to fail in one stage; only training is a copy of packages
made once. docs/reference/failures.md lists every failure with its test, those of single jobs included.
"""

import io
import json
import shutil
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import Verdict
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.graph import collect
from aiida_nvp.report.lineage import trace_all
from aiida_nvp.workflows.active_learning import ActiveLearningWorkChain
from aiida_nvp.workflows.label import LabelWorkChain
from aiida_nvp.workflows.train import TrainWorkChain

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")

REAL = Path(sysconfig.get_path("scripts")) / "nvp-worker"
WHOLE = {"settings": {"mode": "single_point"}, "labeller": "rehearsal", "max_failed_share": 0.2, "in_flight": 1}
EXPLORATION = {
    "schedules": [[{"steps": 20, "temperature_from": 300, "temperature_to": 300}]],
    "replicas": 4,
    "stride": 5,
    "break_threshold": 1e6,
    "max_temperature": 1e9,
    "min_distance_scale": 0.1,
}
SELECTION = {
    "budget": 2,
    "random_share": 0.5,
    "lower": 0.0,
    "upper": 1e6,
    "min_distance_scale": 0.1,
    # The cells are packed and not relaxed: they heat up by themselves.
    "temperature_spike": 1e9,
}
STOP = {"target_force_error": 5.0, "max_cycles": 1, "max_labels": 100}
CALM = {
    "cell": {"name": "NaVPO5", "oxides": {"Na2O": 1, "V2O5": 1, "P2O5": 1}, "reduced": {"V": 1.0}, "atoms": 32},
    "relax_steps": 0,
    "dump_every": 1,
    "schedule": [{"name": "hold", "steps": 4, "temperature_from": 10, "temperature_to": 10}],
}
MEMBERS = 3
ALWAYS = "kill -9 $$"
FIRST = "[ $runs -gt 1 ] || kill -9 $$"


class Worker:
    """A worker code whose stages fail as they are told to.

    Shell lines for a stage run before the worker does, with ``$runs`` as the number of runs of that stage so far.
    """

    def __init__(self, folder, make_code):
        self.folder = folder
        script = folder / "worker"
        lines = ["#!/bin/sh", f"here={folder}", "echo run >> $here/$1.runs", "runs=$(wc -l < $here/$1.runs)"]
        lines += ["[ ! -f $here/$1.sh ] || . $here/$1.sh", f'exec {REAL} "$@"']
        script.write_text("\n".join(lines) + "\n")
        script.chmod(0o755)
        self.code = make_code(label="failing-worker", filepath_executable=str(script))

    def tell(self, stage, lines):
        (self.folder / f"{stage}.sh").write_text(lines + "\n")

    def forgive(self, stage):
        (self.folder / f"{stage}.sh").unlink()

    def runs(self, stage):
        record = self.folder / f"{stage}.runs"
        return len(record.read_text().splitlines()) if record.exists() else 0


@pytest.fixture
def worker(tmp_path, aiida_code_installed):
    folder = tmp_path / "control"
    folder.mkdir()
    return Worker(folder, aiida_code_installed)


@pytest.fixture
def trained(worker, tiny_committee):
    """Return a function that makes training a copy of ready packages, member by member."""

    def _trained(spoil=()):
        for member, package in enumerate(tiny_committee):
            made = worker.folder / f"member_{member}"
            shutil.copytree(package.parent, made, ignore=shutil.ignore_patterns("input.json", "frames.npz", "*.ckpt"))
            if member in spoil:
                without_numbers(package, made / package.name)
        worker.tell("train", "cp -r $here/member_$(( (runs - 1) % 3 ))/* . && exit 0")

    return _trained


def without_numbers(package, target):
    """Copy a package with all its real tensors, weights among them, turned into NaN; integers stay."""
    with zipfile.ZipFile(package) as before, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as after:
        for entry in before.infolist():
            content = before.read(entry)
            real = entry.filename.endswith(".storage") and holds_reals(content)
            after.writestr(entry, b"\xff" * len(content) if real else content)


def holds_reals(content):
    """Integers, read as reals, are next to zero."""
    views = [np.abs(np.frombuffer(content, kind)) for kind in ("<f4", "<f8") if content and len(content) % 8 == 0]
    return any(1e-4 < np.median(view) < 1e4 for view in views)


@pytest.fixture
def inputs(worker, morse_frames, tiny_definition):
    """Inputs of the smallest loop: three cells, three members, one cycle of two labels."""
    return {
        "frames": DatasetData(morse_frames(3).without_labels()),
        "definition": {**tiny_definition.plain(), "committee": {"members": MEMBERS}},
        "seed": 5,
        "exploration": EXPLORATION,
        "selection": SELECTION,
        "calibration": {"target_force_error": 5.0},
        "stop": STOP,
        "worker": worker.code,
        "label": {**WHOLE, "code": worker.code},
    }


@pytest.fixture
def loop(inputs):
    def _loop(**changes):
        return run_get_node(ActiveLearningWorkChain, **{**inputs, **changes}).node

    return _loop


def called(node, label):
    """Children of this link label, oldest first."""
    links = node.base.links.get_outgoing(
        link_type=(LinkType.CALL_CALC, LinkType.CALL_WORK), link_label_filter=label
    ).all()
    return sorted((link.node for link in links), key=lambda child: child.pk)


def labels_kept(node):
    """Number of labels in the output, each checked to have its label indeed."""
    assert node.outputs.dataset.base.attributes.get("labelled")
    return len(node.outputs.dataset)


# Refused before anything is paid for


@pytest.mark.parametrize(
    ("port", "change", "words"),
    [
        ("stop", {"max_labels": 0}, "`max_labels` is 0"),
        ("selection", {"budget": 0}, "selection: budget: Input should be greater than or equal to 1"),
        ("definition", {"species": ["Na", "P", "O"]}, "`frames` holds V, but the potential knows Na, P, O only"),
    ],
)
def test_what_cannot_end_well_does_not_begin(loop, inputs, worker, port, change, words):
    node = loop(**{port: {**inputs[port], **change}})
    assert node.exit_status == 201
    assert words in node.exit_message
    assert not node.called
    assert worker.runs("rehearse") == 0


def test_a_data_set_damaged_on_the_disk(loop, inputs):
    node = inputs["frames"].store()
    stored_file(node, DatasetData.FRAMES_FILE).write_bytes(b"damaged")
    begun = loop()
    assert begun.exit_status == 201
    assert "not a readable frame set" in begun.exit_message


def test_labels_of_frames_damaged_on_the_disk(inputs, worker):
    frames = inputs["frames"].store()
    stored_file(frames, DatasetData.FRAMES_FILE).write_bytes(b"damaged")
    node = run_get_node(LabelWorkChain, frames=frames, **inputs["label"]).node
    assert node.exit_status == 204
    assert "not a readable frame set" in node.exit_message
    assert not node.called
    assert worker.runs("rehearse") == 0


def test_a_data_set_whose_file_is_gone(inputs):
    node = inputs["frames"].store()
    stored_file(node, DatasetData.FRAMES_FILE).unlink()
    with pytest.raises(InputError, match=r"the repository has lost its frames\.npz"):
        _ = node.frames


def stored_file(node, name):
    """Where the repository keeps a file of a stored node, made writable."""
    key = node.base.repository.metadata["o"][name]["k"]
    path = Path(node.backend.get_container().get_folder()) / "loose" / key[:2] / key[2:]
    path.chmod(0o644)
    return path


@pytest.fixture
def foreign(tiny_committee):
    """Return a package taken in as it is; what the import checks is tested beside it."""
    node = PotentialData(tiny_committee[0], types=["Na", "V", "P", "O"], cutoff=4.0, seed=None)
    node.set_origin(foreign=True)
    node.label = "foundation"
    return node


@pytest.mark.slow
def test_a_parent_of_another_cutoff_is_refused_before_the_first_label(loop, inputs, worker, foreign):
    node = loop(parent=foreign, definition={**inputs["definition"], "cutoff": 5.0})
    assert node.exit_status == 201
    assert "the parent foundation has a cutoff of 4 angstrom but `tiny-test` names 5" in node.exit_message
    assert not node.called
    assert worker.runs("rehearse") == 0


@pytest.mark.slow
def test_every_member_begins_with_the_parent(loop, inputs, trained, foreign):
    trained()
    # The first and the last round are from scratch: both begin with the parent.
    training = {**inputs["definition"]["training"], "scratch_every": 2, "scratch_release": True}
    node = loop(parent=foreign, definition={**inputs["definition"], "training": training})
    assert node.is_finished_ok, node.exit_message
    for name in ("cycle_0", "final"):
        first = [called(node, f"{name}_train_{member}")[0] for member in range(MEMBERS)]
        assert {member.inputs.train.parent.uuid for member in first} == {foreign.uuid}
        assert len({member.inputs.train.seed.value for member in first}) == MEMBERS
    assert not called(node, "cycle_0_warm_train")
    warm = called(node, "final_warm_train")[0]
    assert warm.inputs.train.parent.uuid == called(node, "cycle_0_train_0")[0].outputs.potential.uuid
    asked = [call for train in first for call in train.called]
    assert all(json.loads(call.base.repository.get_object_content("input.json"))["refit_shifts"] for call in asked)


@pytest.mark.slow
def test_without_rounds_from_scratch_the_parent_is_for_the_first_alone(loop, trained, foreign):
    trained()
    node = loop(parent=foreign)
    assert node.is_finished_ok, node.exit_message
    first, last = (called(node, f"{name}_train_1")[0] for name in ("cycle_0", "final"))
    assert first.inputs.train.parent.uuid == foreign.uuid
    assert last.inputs.train.parent.uuid == first.outputs.potential.uuid


@pytest.mark.slow
def test_members_really_trained_from_a_parent_differ_and_fit_its_zero(loop, inputs, foreign):
    nothing = {**SELECTION, "lower": 1e5, "random_share": 0.0}
    node = loop(parent=foreign, selection=nothing)
    assert node.is_finished_ok, node.exit_message
    members = dict(node.outputs.committee)
    assert len({member.sha256 for member in members.values()} | {foreign.sha256}) == MEMBERS + 1
    results = called(node, "cycle_0_train_0")[0].outputs.results
    assert results["warm_start"]
    assert results["epochs"] == inputs["definition"]["training"]["warm_epochs"]
    assert set(results["refitted_shifts"]) == set(inputs["frames"].frames.species())


# A code that does not run


def test_a_worker_that_is_not_there(loop, aiida_code_installed, tmp_path):
    gone = aiida_code_installed(label="gone", filepath_executable=str(tmp_path / "no-such-worker"))
    node = loop(label={**WHOLE, "code": gone})
    assert node.exit_status == 401
    assert "Not one of 3 frames got a label" in node.exit_message
    assert "no-such-worker" in node.exit_message
    assert "dataset" not in node.outputs


@pytest.fixture
def label_with_pw(aiida_code_installed, morse_frames):
    """Return a function that labels one frame with whatever lies at the given path."""
    from aiida_pseudo.data.pseudo.upf import UpfData

    def _label(path):
        code = aiida_code_installed(
            label="pw", filepath_executable=str(path), default_calc_job_plugin="quantumespresso.pw"
        )
        header = '<UPF version="2.0.1"><PP_HEADER element="{}" z_valence="1.0"/></UPF>'
        pseudos = {
            s: UpfData(io.BytesIO(header.format(s).encode()), filename=f"{s}.upf") for s in ("Na", "V", "P", "O")
        }
        frames = DatasetData(morse_frames(1).without_labels())
        given = {"frames": frames, "labeller": "quantumespresso", "code": code, "settings": {}, "pseudos": pseudos}
        return run_get_node(LabelWorkChain, **given).node

    return _label


@pytest.mark.parametrize(
    ("script", "mode", "words"),
    [
        (None, 0, "No such file"),
        ("#!/bin/sh\n", 0o644, "Permission denied"),
        ("#!/bin/sh\necho library libfoo.so is missing >&2\nexit 127\n", 0o755, "libfoo.so is missing"),
    ],
    ids=["not there", "not executable", "crashes at once"],
)
def test_a_pw_that_does_not_run(label_with_pw, tmp_path, script, mode, words):
    program = tmp_path / "pw.x"
    if script is not None:
        program.write_text(script)
        program.chmod(mode)
    node = label_with_pw(program)
    assert node.exit_status == 401
    assert words in node.exit_message


def test_a_disk_that_is_full_is_said_after_a_second_try(label_with_pw, tmp_path):
    program, said = tmp_path / "pw.x", Path(__file__).parents[1] / "fixtures" / "pw" / "navpo5-disk-full-7.2.tail.out"
    program.write_text(f"#!/bin/sh\ncat {said}\necho STOP 1 >&2\nexit 1\n")
    program.chmod(0o755)
    node = label_with_pw(program)
    assert node.exit_status == 401
    assert "error writing file ./out/aiida.save/charge-density; is the disk of the job's folder full?" in (
        node.exit_message
    )
    jobs = [job for job in node.called_descendants if isinstance(job, orm.CalcJobNode)]
    assert len(jobs) == 2
    assert not any(job.base.caching.is_valid_cache for job in jobs)


def test_a_batch_of_seeds_of_which_none_succeeds(loop, worker):
    worker.tell("rehearse", ALWAYS)
    node = loop()
    assert node.exit_status == 401
    assert "killed" in node.exit_message.lower()
    # The batch stops once its share of failures is passed, not after the last frame.
    assert worker.runs("rehearse") == 1
    (batch,) = called(node, "seed_label")
    assert batch.outputs.triage["counts"]["rejected"] == 3


@pytest.mark.slow
def test_a_training_that_cannot_start_keeps_the_seeds(loop, worker):
    worker.tell("train", "echo no space left on device; exit 1")
    node = loop()
    assert node.exit_status == 402
    assert "no space left on device" in node.exit_message
    assert labels_kept(node) == 3


# A killed worker


@pytest.mark.slow
def test_a_killed_exploration_is_tried_once_more(loop, worker, trained):
    trained()
    worker.tell("explore", FIRST)
    node = loop()
    assert node.is_finished_ok, node.exit_message
    assert [job.exit_status for job in called(node, "cycle_0_explore")] == [301, 0]
    assert len(called(node, "cycle_0_review")) == 1
    assert node.outputs.verdict["verdict"] == Verdict.CYCLES_USED
    assert labels_kept(node) == 5


@pytest.mark.slow
def test_killed_twice_ends_with_the_labels_and_another_start_takes_them_from_the_cache(loop, worker, trained):
    trained()
    worker.tell("explore", ALWAYS)
    node = loop()
    assert node.exit_status == 403
    assert "[301] The worker left neither output nor error" in node.exit_message
    assert labels_kept(node) == 3

    worker.forgive("explore")
    before = worker.runs("rehearse")
    nothing = {**SELECTION, "lower": 1e5, "random_share": 0.0}
    with enable_caching(identifier="aiida.calculations:nvp.rehearsal"):
        again = loop(selection=nothing)
    assert worker.runs("rehearse") == before
    check_no_candidate(again)


def check_no_candidate(node):
    """Nothing in the window is a normal end: a verdict, the committee as it is, all labels, no needless training."""
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.verdict["verdict"] == Verdict.NO_CANDIDATES
    assert len(dict(node.outputs.committee)) == MEMBERS
    assert labels_kept(node) == 3
    assert not called(node, "cycle_0_label")
    assert not called(node, "final_train_0")
    assert called(node, "final_review")[0].is_finished_ok


@pytest.mark.slow
def test_a_training_killed_in_the_middle_is_run_again(worker, morse_frames, tiny_definition, tiny_shifts):
    """The real worker, killed by the real signal once it trains, before its first checkpoint."""
    wait = "until grep -q epoch progress.jsonl || ! kill -0 $!; do sleep 0.05; done"
    worker.tell("train", f'[ $runs -gt 1 ] || {{ {REAL} "$@" & {wait}; kill -9 $!; kill -9 $$; }}')
    definition = tiny_definition.plain()
    definition["training"]["epochs"] = 20
    train = {"code": worker.code, "frames": DatasetData(morse_frames(12)), "seed": orm.Int(5)}
    train |= {"definition": orm.Dict(definition), "shifts": orm.Dict(tiny_shifts)}
    outputs, node = run_get_node(TrainWorkChain, train=train)
    assert node.is_finished_ok, node.exit_message
    assert [child.exit_status for child in sorted(node.called, key=lambda child: child.pk)] == [301, 0]
    assert outputs["results"]["epochs"] == 20


@pytest.mark.slow
def test_an_evaluation_killed_twice_keeps_the_labels(loop, worker, trained):
    trained()
    worker.tell("evaluate", ALWAYS)
    node = loop()
    assert node.exit_status == 404
    assert "[301] The worker left neither output nor error" in node.exit_message
    assert [job.exit_status for job in called(node, "cycle_0_review")] == [301, 301]
    assert len(called(node, "cycle_0_explore")) == 1
    assert labels_kept(node) == 3


@pytest.mark.slow
def test_start_cells_that_cannot_be_packed_keep_the_labels(loop, trained):
    trained()
    cell = {"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10, "density_g_cm3": 9.0}
    node = loop(exploration_cells={"cells": [cell]})
    assert node.exit_status == 406
    assert "can be reached" in node.exit_message
    assert not called(node, "cycle_0_explore")
    assert labels_kept(node) == 3


# Labels that fail


@pytest.mark.slow
@pytest.mark.parametrize(("succeed", "status", "words"), [(3, 401, "Not one of 2 frames"), (4, 402, "1 of 2 frames")])
def test_a_cycle_whose_labels_fail_keeps_all_that_were_made(loop, worker, trained, succeed, status, words):
    trained()
    worker.tell("rehearse", f"[ $runs -le {succeed} ] || kill -9 $$")
    node = loop()
    assert node.exit_status == 405
    assert called(node, "cycle_0_label")[0].exit_status == status
    assert words in node.exit_message
    assert labels_kept(node) == succeed


@pytest.fixture
def second_look(monkeypatch):
    """The stand-in labeller as if it had states; the first chosen frame is suspect and has no other start after all."""
    from aiida_nvp.labelling.label_state import LabelState
    from aiida_nvp.workflows.labellers import RehearsalLabeller

    monkeypatch.setattr(RehearsalLabeller, "HAS_STATE", True)
    monkeypatch.setattr("aiida_nvp.calculations.label.state_of", lambda *_: LabelState())
    monkeypatch.setattr(
        "aiida_nvp.calculations.recheck.suspect_ids", lambda calibration: [calibration["audit"][0]["frame"]]
    )
    monkeypatch.setattr("aiida_nvp.calculations.recheck.other_starts", lambda *_: ("permuted",))


@pytest.mark.slow
def test_a_suspect_label_is_looked_at_again(loop, trained, second_look):
    trained()
    node = loop()
    assert node.is_finished_ok, node.exit_message
    (again,) = called(node, "cycle_0_recheck")
    assert again.inputs.branch_share.value == 1.0
    chosen = called(node, "cycle_0_suspects")[0].outputs.result
    assert len(chosen) == 1
    merged, settled = (called(node, f"cycle_0_{step}")[0].outputs.result for step in ("merge", "settle"))
    assert node.outputs.dataset.uuid == settled.uuid
    assert settled.frames.ids()[-1] == chosen.frames.ids()[0]
    assert sorted(settled.frames.ids()) == sorted(merged.frames.ids())
    assert settled.sources[-1]["label"] in {job.uuid for job in again.called}
    histories = trace_all(settled)
    assert [history.sentence for history in histories if history.misses] == []
    assert histories[-1].label.calculation.uuid == settled.sources[-1]["label"]
    found = collect(node)
    assert [name for name, _ in found.all_batches] == ["seed", "cycle 0", "cycle 0, second look"]
    assert found.cycles[0].dataset.node.uuid == settled.uuid
    first, renewed = (called(node, f"cycle_0_{step}")[0] for step in ("calibrate", "calibrate_again"))
    assert renewed.inputs.labels.uuid == settled.uuid
    assert found.cycles[0].calibration == renewed.outputs.result.get_dict()
    assert first.outputs.result["n_frames"] == renewed.outputs.result["n_frames"]


# A model that gives no numbers


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [(1,), (0, 1, 2)], ids=["one member", "all members"])
def test_weights_that_are_no_numbers_end_the_loop(loop, trained, spoil):
    trained(spoil)
    node = loop()
    assert node.exit_status == 403
    assert "the committee gives no numbers" in node.exit_message
    assert labels_kept(node) == 3


# The whole campaign


def test_a_density_that_cannot_be_packed_ends_the_campaign_at_once(run_campaign):
    cell = {"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10, "density_g_cm3": 9.0}
    node = run_campaign(cells=[cell])
    assert node.exit_status == 201
    assert "cells[0] (NaPO3)" in node.exit_message
    assert "can be reached" in node.exit_message


@pytest.mark.slow
def test_a_campaign_whose_loop_fails_hands_over_the_labels(run_campaign, worker):
    worker.tell("train", "exit 1")
    node = run_campaign(compute={"worker": worker.code.full_label})
    assert node.exit_status == 401
    assert "[402] Training failed" in node.exit_message
    assert labels_kept(node) >= 4
    assert node.outputs.dataset.uuid in {member.uuid for member in orm.load_group("nvp/tiny").nodes}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "status", "words"), [("produce", 402, "ProduceWorkChain"), ("analyse", 403, "AnalyseCalculation")]
)
def test_a_campaign_keeps_what_came_before_the_stage_that_fails(run_campaign, worker, trained, stage, status, words):
    trained()
    worker.tell(stage, ALWAYS)
    # Two epochs on other labels make a poor potential; the run has to last until it is measured.
    node = run_campaign(compute={"worker": worker.code.full_label}, production=CALM)
    assert node.exit_status == status, node.exit_message
    assert words in node.exit_message
    assert worker.runs(stage) == 2
    assert labels_kept(node) >= 4
    assert len(dict(node.outputs.committee)) == MEMBERS
    assert node.outputs.verdict["verdict"]
    assert ("production" in node.outputs) == (stage == "analyse")
    assert "analysis" not in node.outputs
