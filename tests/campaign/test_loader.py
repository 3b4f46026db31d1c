"""Campaign files: what is wrong is said with file, line and what would be right."""

import json
import textwrap

import numpy as np
import pytest

from aiida_nvp.campaign.checks import _frames
from aiida_nvp.campaign.loader import json_schema, load_campaign
from aiida_nvp.campaign.plan import make_plan
from aiida_nvp.campaign.schema import ExplorationSpec, MdStage, ProductionSpec
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.stages import Stage
from aiida_nvp.worker.course import Course
from aiida_nvp.worker.settings import Dynamics, ExploreSettings, ProduceSettings

POTENTIAL = """\
name: tiny
description: for tests
species: [Na, V, P, O]
cutoff: 4.0
committee: {members: 3}
"""

CAMPAIGN = """\
name: small
title: A small campaign
seed: 7
potential: tiny
cells:
  - {name: NaVPO5, oxides: {Na2O: 1, V2O5: 1, P2O5: 1}, reduced: {V: 1.0}, atoms: 8, copies: 2}
  - {name: NaPO3, oxides: {Na2O: 1, P2O5: 1}, atoms: 10, density_g_cm3: 2.5}
labeller: {kind: rehearsal}
seeding: {relax_steps: 5}
exploration:
  replicas: 4
  schedules:
    - [{steps: 100, temperature_from: 300, temperature_to: 900}]
selection: {labels_per_cycle: 6}
stop: {max_cycles: 2, max_labels: 40}
production:
  cell: {name: NaVPO5, oxides: {Na2O: 1, V2O5: 1, P2O5: 1}, reduced: {V: 1.0}, atoms: 64}
  schedule:
    - {name: melt, steps: 100, temperature_from: 300, temperature_to: 1500}
analysis: {stages: [melt], pairs: {P-O: 2.2}, mobile: Na}
"""


@pytest.fixture
def write(tmp_path):
    folder = tmp_path / "potentials" / "tiny"
    folder.mkdir(parents=True)
    (folder / "potential.yaml").write_text(POTENTIAL)

    def _write(old="", new=""):
        assert old in CAMPAIGN
        path = tmp_path / "campaign.yaml"
        path.write_text(CAMPAIGN.replace(old, new, 1) if old else CAMPAIGN)
        return path

    _write.path = tmp_path / "campaign.yaml"
    return _write


def line_of(text):
    return next(n for n, line in enumerate(CAMPAIGN.splitlines(), 1) if text in line)


def test_a_good_file_is_read(write):
    loaded = load_campaign(write())
    assert loaded.campaign.cells[0].reduced == {"V": 1.0}
    assert loaded.potential.name == "tiny"


def test_training_settings_of_the_campaign_win(write):
    loaded = load_campaign(write("potential: tiny", "potential: tiny\ntraining: {epochs: 4}"))
    assert loaded.potential.training.epochs == 4


def test_plan_counts_what_will_be_done(write):
    plan = make_plan(load_campaign(write()))
    assert plan.labels == 3 * 5 + 2 * 6
    assert plan.trainings == 3 * (2 + 1)
    assert plan.core_hours > 0
    assert ("labeller", "rehearsal: an analytic stand-in, not first principles") in plan.rows


def test_plan_counts_rounds_from_scratch_and_what_they_are_compared_with(write):
    plain = make_plan(load_campaign(write()))
    scratch = make_plan(
        load_campaign(write("potential: tiny", "potential: tiny\ntraining: {scratch_every: 1, scratch_release: true}"))
    )
    assert scratch.trainings == plain.trainings + 2
    assert scratch.core_hours > plain.core_hours


def test_plan_respects_the_label_budget(write):
    plan = make_plan(load_campaign(write("max_labels: 40", "max_labels: 20")))
    assert plan.labels == 3 * 5 + 6
    assert plan.trainings == 3 * 2


def priced(write, labeller, atoms=8):
    text = CAMPAIGN.replace("labeller: {kind: rehearsal}", f"labeller: {{kind: quantumespresso, {labeller}}}")
    write().write_text(text.replace("atoms: 8, copies", f"atoms: {atoms}, copies"))
    return make_plan(load_campaign(write.path))


def test_plan_counts_the_labels_that_a_branch_check_makes_again(write):
    """Of 16 atoms a cell has two V, which can be opposed; of 8 one, which cannot; NaPO3 has none."""
    one, two, all_up = (
        priced(write, f"branch_share: 0.5, settings: {{{settings}}}", atoms)
        for settings, atoms in (("start: valence", 8), ("start: valence", 16), ("starting_magnetization: {}", 16))
    )
    assert (one.checks, two.checks, all_up.checks) == (0, 4, 0)
    assert all_up.labels == two.labels
    assert two.core_hours - all_up.core_hours == pytest.approx(12 * 0.5 * 2 / 3 * 0.03 * 16**3 / 3600)
    words = "4 labels again from other starts (50% of the single points; flagged ones come on top)"
    assert dict(two.rows)["branch checks, at most"] == words
    assert "branch checks, at most" not in dict(one.rows)


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("seeding: {relax_steps: 5}", "seeding: {relax_step: 5}", "seeding", "did you mean `relax_steps`?"),
        ("seed: 7\n", "", "name: small", "seed: required"),
        ("density_g_cm3: 2.5", "density_g_cm3: 2500", "name: NaPO3", "2500 kg/m3 would be 2.5"),
        ("atoms: 8,", "atoms: 9,", "copies: 2", "8"),
        ("reduced: {V: 1.0}, atoms: 8", "reduced: {V: 1.5}, atoms: 8", "copies: 2", "less than or equal to 1"),
        ("Na2O: 1, P2O5: 1}, atoms: 10", "K2O: 1, P2O5: 1}, atoms: 10", "name: NaPO3", "no species K"),
        ("labels_per_cycle: 6", "labels_per_cycle: 0", "labels_per_cycle", "greater than or equal to 1"),
        ("labels_per_cycle: 6", "labels_per_cycle: 60", "labels_per_cycle", "no cycle could be labelled"),
        ("kind: rehearsal", "kind: vasp", "labeller", "quantumespresso"),
        ("stages: [melt]", "stages: [freeze]", "analysis", "no stage freeze; production.schedule has melt"),
        ("name: melt, ", "", "analysis", "no stage melt; production.schedule has no stage with a name"),
        ("mobile: Na", "mobile: K", "analysis", "no K to follow; the production cell has Na, O, P, V"),
        ("mobile: Na", "structure: {formers: [P, Si]}", "analysis", "no Si to form a network; the production cell has"),
        ("mobile: Na", "structure: {formers: [P], ligand: Na}", "analysis", "give P-Na in analysis.pairs"),
        ("P-O: 2.2", "Si-O: 2.2", "analysis", "no Si to measure; the production cell has Na, O, P, V"),
        ("name: melt, steps: 100", "name: melt, steps: 29", "name: melt", "(3 frames, at least 4 are needed)"),
        ("max_labels: 40", "max_labels: 15", "max_labels", "up to 15 labels and the budget is 15; give more than 15"),
        ("replicas: 4", "replicas: 4\n  friction_per_fs: 20", "schedules:", "less than or equal to 1"),
        (
            "kind: rehearsal",
            "kind: rehearsal, settings: {starting_magnetization: {v: 0.3}}",
            "labeller",
            "v is no chemical symbol; write it as `V: 0.3`",
        ),
        ("P-O: 2.2", "PO: 2.2", "analysis", "write it as `P-O: 2.2`"),
        (
            "temperature_from: 300, temperature_to: 900",
            "temperature_to: 900",
            "steps: 100",
            "temperature_from: required",
        ),
        (
            "temperature_from: 300, temp",
            "pressure_from_gpa: 3, temperature_from: 300, temp",
            "steps: 100",
            "ensemble: npt",
        ),
        (
            "temperature_from: 300, temp",
            "duration_ps: 1, temperature_from: 300, temp",
            "steps: 100",
            "exactly one of steps",
        ),
        ("potential: tiny", "potential: tiny\ntraining: {epoch: 4}", "cells:", "did you mean `epochs`?"),
        ("potential: tiny", "potential: huge", "potential", "no definition `huge`"),
    ],
)
def test_faults_are_named_with_their_line(write, old, new, line, words):
    path = write(old, new)
    with pytest.raises(InputError) as caught:
        load_campaign(path)
    message = str(caught.value)
    assert words in message
    assert f"{path}:{line_of(line)}:" in message


def test_a_production_without_named_stages_is_refused(write):
    path = write("name: melt, ", "")
    path.write_text(path.read_text().replace("stages: [melt], ", ""))
    with pytest.raises(InputError) as caught:
        load_campaign(path)
    assert str(caught.value) == (
        f"{path}:{line_of('schedule:')}: production.schedule: no stage has a name, and only named ones are analysed."
    )


def test_without_a_mobile_species_percolation_is_left_out(write):
    assert load_campaign(write(", mobile: Na", "")).campaign.analysis.mobile is None


def test_stages_nobody_analyses_may_be_short(write):
    short = "- {name: blink, steps: 1, temperature_from: 300, temperature_to: 300}"
    path = write("- {name: melt", f"{short}\n    - {{name: melt")
    assert len(load_campaign(path).campaign.production.schedule) == 2


@pytest.mark.parametrize("begin", [0, 3, 10, 17])
@pytest.mark.parametrize("steps", [1, 9, 10, 41])
@pytest.mark.parametrize("every", [1, 5, 10])
def test_frames_of_a_stage_are_counted_as_the_run_dumps_them(begin, steps, every):
    schedule = [Stage(steps=n, temperature_from=1) for n in (begin, steps) if n]
    course = Course.of(schedule, Dynamics())
    stages = np.array([course.stage_at(step) for step in range(course.total + 1)])
    dumped = stages[::every]
    assert _frames(begin, begin + steps, every) == np.count_nonzero(dumped == stages[-1])


@pytest.mark.parametrize(
    ("wide", "narrow"), [(Stage, MdStage), (ExploreSettings, ExplorationSpec), (ProduceSettings, ProductionSpec)]
)
def test_bounds_of_a_campaign_lie_within_those_of_the_worker(wide, narrow):
    def bounds(model, name):
        return [(type(bound), bound) for bound in model.model_fields[name].metadata]

    shared = {name for name in narrow.model_fields if name in wide.model_fields and bounds(wide, name)}
    assert shared
    for name in shared:
        assert set(bounds(wide, name)) <= set(bounds(narrow, name)), name


def test_several_faults_are_told_at_once(write):
    with pytest.raises(InputError) as caught:
        load_campaign(write("seed: 7\n", "sead: 7\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_not_yaml_is_told_with_its_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text(textwrap.dedent("name: a\ncells: [1, 2\ntitle: b: c\n"))
    with pytest.raises(InputError, match=r"broken.yaml:\d+: not YAML"):
        load_campaign(path)


def test_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(InputError, match="no campaign file"):
        load_campaign(tmp_path / "none.yaml")


def test_schema_is_json_and_knows_every_section():
    schema = json.loads(json_schema())
    assert {"cells", "labeller", "exploration", "stop", "production"} <= set(schema["properties"])


def test_a_grid_is_counted_and_checked_as_its_cells(write):
    grid = "grids: [{name: NVP, oxides: {Na2O: [10, 30], V2O5: 20, P2O5: 30}, reduced: {V: [0, 0.5]}, atoms: 100}]"
    campaign = load_campaign(write("seed: 7\n", f"seed: 7\n{grid}\n")).campaign
    assert len(campaign.all_cells) == len(campaign.cells) + 4
    assert all(90 <= cell.atoms <= 110 for cell in campaign.all_cells[-4:])
    with pytest.raises(InputError, match=r"grids.*give more atoms"):
        load_campaign(write("seed: 7\n", "seed: 7\n" + grid.replace("100", "9") + "\n"))
