"""What the graph says of a potential, and the card that says it to others."""

import io
import zipfile

import numpy as np
import pytest
from aiida import orm

from aiida_nvp.data.links import calls
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.potential import PARTS, describe_potential, evaluations, potential_facts
from aiida_nvp.report.potential_card import CardFile, model_card
from aiida_nvp.report.potential_errors import measured_errors


@pytest.fixture
def final(built):
    """The first member that the campaign hands over."""
    return calls(built.loop)["final_train_0"].outputs.potential


@pytest.fixture
def first(built):
    """The first member of the first cycle."""
    return calls(built.loop)["cycle_0_train_0"].outputs.potential


def test_a_member_is_traced_to_its_campaign_and_its_labels(built, final):
    facts = potential_facts(final)
    assert facts.top.uuid == built.campaign.uuid
    assert facts.dataset.uuid == built.dataset.uuid
    assert facts.level == "a" * 64
    assert facts.level_words == "a" * 12
    assert facts.origin_words.endswith(f"of CampaignWorkChain<{built.campaign.pk}>")
    assert f"{len(built.dataset)} frames" in dict(describe_potential(facts))["trained on"]


def test_calibration_is_of_its_own_predictions_or_of_the_loop_before_it(built, first, final):
    own, later = potential_facts(first), potential_facts(final)
    before = calls(built.loop)["cycle_0_calibrate"].outputs.result.get_dict()
    last = calls(built.loop)["cycle_1_calibrate"].outputs.result.get_dict()
    assert before["prospective"] != last["prospective"]
    assert own.calibration == before
    assert own.calibrated_on == "from its own predictions before labelling"
    assert later.calibration == last
    assert later.calibrated_on == "from the committee of cycle 1 of the same loop"


def test_errors_have_intervals_that_hold_the_value(built, final):
    found = measured_errors(final)
    (review,) = evaluations(final)
    forces = review.outputs.predictions.get_array("forces")
    frames = built.dataset.frames
    codes = np.arange(len(frames)) % 4
    assert [row.part for row in found] == [part for part in PARTS if part in {row.part for row in found}]
    assert len(found) >= 2
    for row in found:
        mine = np.flatnonzero(codes == ("train", "validation", "out_of_bag", "test").index(row.part))
        rows = np.concatenate([np.arange(len(frames.numbers))[frames.slice_of(index)] for index in mine])
        exact = np.sqrt(np.mean((forces[0][rows] - frames.forces[rows]) ** 2))
        assert row.force_rmse.value == pytest.approx(exact)
        assert row.force_rmse.low < exact < row.force_rmse.high
        assert row.frames == len(mine)
        # Steps of one relaxation are no independent evidence.
        assert 3 <= row.trajectories <= row.frames
        assert row.energy_rmse.value >= 0


def test_the_second_member_is_judged_by_its_own_predictions(built, final):
    second = calls(built.loop)["final_train_1"].outputs.potential
    one, two = measured_errors(final), measured_errors(second)
    assert all(a.force_rmse.value != b.force_rmse.value for a, b in zip(one, two, strict=True))


def test_the_card_says_all_that_a_colleague_needs(built, final):
    card = model_card(potential_facts(final), [CardFile("potential.nequip.zip", "package of nequip", final.sha256)])
    dataset = built.dataset
    for word in (
        final.uuid,
        dataset.uuid,
        built.campaign.uuid,
        final.sha256,
        "Na V P O",
        "5 angstrom",
        "nequip 0.19.1",
    ):
        assert str(word) in card
    for formula in dataset.base.attributes.get("compositions"):
        assert formula in card
    # No process here states a level of theory with this hash: nothing is claimed.
    assert f"beyond its hash, {'a' * 64}" in card
    assert "doi:10.1088/1361-648X/aa8f79" not in card
    temperatures = [info["origin"].get("temperature") for info in dataset.frames.info]
    known = [value for value in temperatures if value is not None]
    assert f"Temperatures: {min(known):g} to {max(known):g} K in {len(known)} frames" in card
    assert "lower 0.3, upper 1.8, break 3.6" in card
    assert " [" in card.split("## Errors")[1].split("## Valid")[0]
    assert "Card of its maker" not in card
    # A table survives only if each of its rows has as many cells as its head.
    rows = [line for line in card.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {3, 6}


def test_the_card_states_the_level_of_theory_and_who_made_the_labels(final, monkeypatch):
    theory = {"labeller": "quantumespresso", "functional": "PBE", "hubbard": {"V-3d": 3.1}, "dispersion": None}
    monkeypatch.setattr("aiida_nvp.report.potential_card.find_theory", lambda _dataset: theory)
    card = model_card(potential_facts(final), [])
    for row in ("| functional | PBE |", "| hubbard | V-3d 3.1 |", "| dispersion | none |"):
        assert row in card
    assert "doi:10.1088/1361-648X/aa8f79" in card


def test_a_potential_that_nobody_made_has_a_card_without_claims(aiida_profile):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model", "weights")
    buffer.seek(0)
    node = PotentialData(buffer, types=["Na", "O"], cutoff=4.5, seed=None)
    node.set_origin(foreign=True)
    facts = potential_facts(node.store())
    assert (facts.level_words, facts.origin_words, facts.error_words) == (
        "foreign",
        "stored without a process",
        "no errors known",
    )
    card = model_card(facts, [])
    assert "does not know on what" in card
    assert "None known here" in card
    assert measured_errors(node) == []
    assert isinstance(node, orm.Data)
