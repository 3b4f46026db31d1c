"""What the how-to pages show works as it stands."""

from pathlib import Path

import pytest
import yaml
from aiida import orm

from aiida_nvp.calculations.generate import generate
from aiida_nvp.campaign.schema import ExplorationSpec
from aiida_nvp.cli.inputs import fill_builder, load_process, read_inputs
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.labelling.settings import read_settings
from aiida_nvp.worker.course import Course
from aiida_nvp.worker.settings import ExploreSettings

TOPICS = Path(__file__).parents[1] / "docs" / "topics"
HOWTO = Path(__file__).parents[1] / "docs" / "howto"


def test_schedules_of_the_exploration_page_are_what_their_comments_say():
    shown = ExplorationSpec.model_validate(yaml.safe_load((TOPICS / "exploration.schedules.yaml").read_text()))
    values = shown.model_dump(mode="json", exclude={"cells"})
    settings = ExploreSettings.model_validate(values)
    courses = [Course.of(schedule, settings) for schedule in settings.schedules]
    assert [course.time_ps(course.total) for course in courses] == [89.0, 10.0, 9.0, 6.0]
    assert [course.total for course in courses] == [89_000, 10_000, 9_000, 7_000]
    assert courses[0].at(45_000).temperature == pytest.approx(2250)
    assert courses[2].at(7_500).pressure_gpa == pytest.approx(-1.5)
    assert "exploration.schedules.yaml" in (TOPICS / "exploration.md").read_text()


@pytest.mark.usefixtures("aiida_profile_clean")
def test_inputs_of_the_loop_are_complete_and_valid(worker_code, tmp_path):
    cells = {"cells": [{"name": "NaPO3", "oxides": {"Na2O": 1, "P2O5": 1}, "atoms": 10}]}
    frames = generate(orm.Dict(cells), orm.Int(1))
    shown = (HOWTO / "active_learning.inputs.yaml").read_text()
    path = tmp_path / "inputs.yaml"
    path.write_text(shown.replace("node:PK", f"node:{frames.pk}"))
    builder = fill_builder(load_process("nvp.active_learning"), read_inputs(path))
    assert builder.worker.uuid == builder.label.code.uuid == worker_code.uuid
    assert builder.frames.uuid == frames.uuid
    for settings in (builder.label.settings, builder.seed_settings):
        assert read_settings(settings.get_dict())
    assert ExploreSettings.model_validate(builder.exploration.get_dict()).replicas == 8
    assert len(generate(builder.exploration_cells, orm.Int(1))) == 4
    assert "active_learning.inputs.yaml" in (HOWTO / "submit.md").read_text()


@pytest.mark.usefixtures("aiida_profile_clean")
def test_inputs_of_a_fine_tuning_are_complete_and_valid(worker_code, tiny_committee, morse_frames, tmp_path):
    parent = PotentialData(tiny_committee[0], types=["Na", "V", "P", "O"], cutoff=4.0, seed=None)
    parent.set_origin(foreign=True)
    frames = DatasetData(morse_frames(4)).store()
    shown = (HOWTO / "fine_tune.inputs.yaml").read_text()
    path = tmp_path / "inputs.yaml"
    path.write_text(
        shown.replace("node:PARENT", f"node:{parent.store().pk}").replace("node:DATASET", f"node:{frames.pk}")
    )
    builder = fill_builder(load_process("nvp.train"), read_inputs(path))
    assert (builder.train.parent.uuid, builder.train.frames.uuid) == (parent.uuid, frames.uuid)
    assert PotentialDefinition.model_validate(builder.train.definition.get_dict()).training.warm_epochs == 20
    # Whole as it stands: AiiDA finds no port that is missing.
    assert builder.process_class.spec().inputs.validate(builder._inputs(prune=True)) is None
    assert "fine_tune.inputs.yaml" in (HOWTO / "potentials.md").read_text()
