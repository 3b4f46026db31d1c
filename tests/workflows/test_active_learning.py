"""The loop and the whole campaign: ports, what is refused before anything is submitted, and the outline."""

import pytest
from aiida import orm
from ase.build import bulk

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.workflows.active_learning import ActiveLearningWorkChain
from aiida_nvp.workflows.campaign import CampaignWorkChain

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


@pytest.fixture
def two():
    return orm.Dict({"committee": {"members": 2}})


@pytest.fixture
def cells():
    return DatasetData(FrameSet.from_atoms([bulk("Cu")]))


def refusal(inputs):
    """What the input namespace says of these inputs; ports that are missing are not the question here."""
    spec = ActiveLearningWorkChain.spec()
    return spec.inputs.validator(inputs, spec.inputs)


def test_something_to_begin_with_is_needed(cells, two):
    assert "give `frames`" in refusal({"definition": two})
    assert refusal({"definition": two, "frames": cells}) is None


def test_unlabelled_frames_are_no_dataset(cells, two):
    assert "belong to `frames`" in refusal({"definition": two, "dataset": cells})


def test_one_member_is_no_committee(cells):
    one = orm.Dict({"committee": {"members": 1}})
    assert "at least 2 members" in refusal({"definition": one, "frames": cells})


def test_a_campaign_makes_its_own_frames(two):
    ports = CampaignWorkChain.spec().inputs["learn"]
    assert "frames" not in ports
    assert ports.validator({"definition": two}, ports) is None


def test_the_outline_tells_the_story():
    steps = ActiveLearningWorkChain.spec().get_outline().get_description()
    flat = str(steps)
    order = ["run_training", "run_exploration", "run_selection", "run_prediction", "run_labels", "run_calibration"]
    positions = [flat.index(step) for step in [*order, "run_assessment"]]
    assert positions == sorted(positions)


@pytest.mark.parametrize("process", [ActiveLearningWorkChain, CampaignWorkChain])
def test_every_exit_code_has_a_sentence_and_its_band(process):
    for label, code in process.spec().exit_codes.items():
        assert code.message
        if label.startswith("ERROR_") and code.status >= 400:
            assert code.status // 100 in (4, 5, 7)
