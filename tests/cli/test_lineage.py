"""The command that traces frames: what it prints, and what it refuses in one sentence."""

import pytest
from aiida import orm
from ase.build import bulk
from click.testing import CliRunner

from aiida_nvp.cli import lineage
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


def invoke(*arguments):
    return CliRunner().invoke(lineage.lineage, [str(argument) for argument in arguments])


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


@pytest.mark.parametrize(("text", "key"), [("7", 7), ("0", 0), ("7abc", "7abc"), ("12345678", "12345678")])
def test_digits_are_a_number_unless_they_could_be_an_id(text, key):
    assert lineage._frame_key(text) == key
