"""The recipes under workchains/, run one after the other as their README says, each on what the one before made."""

import h5py
import pytest
from aiida import orm

from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("aiida_profile_clean")]


def test_recipes_in_sequence(worker_code, recipe, capsys):
    assert worker_code.full_label == "nvp-worker@localhost"

    frames = recipe("01_generate")()
    assert isinstance(frames, DatasetData)
    assert frames.base.attributes.get("compositions") == {"NaO5PV": 2, "Na2O6P2": 1}

    labelled = recipe("02_label")(frames.pk)
    assert labelled.base.attributes.get("labelled")
    assert len(labelled) > len(frames)

    committee = recipe("03_train")(labelled.pk, epochs=2)
    assert len(committee) == 3
    assert all(isinstance(member, PotentialData) for member in committee)
    assert len({member.base.attributes.get("sha256") for member in committee}) == 3
    members = [member.pk for member in committee]

    candidates = recipe("04_explore")(labelled.pk, *members)
    assert not candidates.base.attributes.get("labelled")
    assert {info["origin"]["kind"] for info in candidates.frames.info} <= {"exploration"}

    produced = recipe("06_produce")(*members)
    check_run(produced)

    measured = recipe("07_analyse")(produced.outputs.trajectory.pk).get_dict()
    assert [stage["name"] for stage in measured["stages"]] == ["hold 900 K"]
    shortest = measured["stages"][0]["shortest_distance"]
    assert min(distance for distance in shortest.values() if distance is not None) > 0.5

    said = capsys.readouterr().out
    for pk in (frames.pk, labelled.pk, *members, candidates.pk, produced.pk):
        assert str(pk) in said


def check_run(node):
    """Two epochs make a poor potential: the run may break, and then says so; its frames are there either way."""
    assert node.exit_status in (0, 510), node.exit_message
    with node.outputs.trajectory.open(mode="rb") as handle, h5py.File(handle) as file:
        assert len(file) > 0
    assert isinstance(node.outputs.thermo, orm.ArrayData)
    assert len(node.outputs.thermo.get_array("time_ps")) > 1
