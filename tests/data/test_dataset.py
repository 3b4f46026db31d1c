"""The data set node."""

import io
import json

import numpy as np
import pytest
from aiida import orm
from ase.build import bulk

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData

pytestmark = pytest.mark.usefixtures("aiida_profile_clean")


@pytest.fixture
def frames():
    return FrameSet.from_atoms([bulk("Cu", cubic=True), bulk("NaCl", "rocksalt", a=5.6)])


def test_frames_and_sources_round_trip(frames):
    node = DatasetData(frames, [{"label": "a"}, {}]).store()
    loaded = orm.load_node(node.pk)
    assert loaded.frames.content_hash == frames.content_hash
    assert loaded.sources == [{"label": "a"}, {}]
    assert len(loaded) == 2


def test_attributes_can_be_queried(frames):
    node = DatasetData(frames).store()
    query = orm.QueryBuilder().append(
        DatasetData, filters={"attributes.n_frames": 2, "attributes.compositions": {"has_key": "Cu4"}}
    )
    assert [found.pk for found in query.all(flat=True)] == [node.pk]
    assert node.base.attributes.get("species") == ["Na", "Cl", "Cu"]
    assert node.base.attributes.get("labelled") is False


def test_equal_data_have_equal_hashes_whoever_made_them(frames):
    one = DatasetData(frames, [{"label": "a"}, {}]).store()
    two = DatasetData(frames, [{"label": "b"}, {}]).store()
    other = DatasetData(frames.subset([0])).store()
    assert one.base.caching.get_hash() == two.base.caching.get_hash()
    assert one.base.caching.get_hash() != other.base.caching.get_hash()


def test_sources_must_match_frames(frames):
    with pytest.raises(InputError, match="1 sources for 2 frames"):
        DatasetData(frames, [{}])


def test_contents_that_were_altered_are_refused(frames):
    node = DatasetData(frames)
    node.base.repository.put_object_from_bytes(frames.subset([0]).to_bytes(), DatasetData.FRAMES_FILE)
    with pytest.raises(InputError, match="does not describe the frames"):
        node.store()


def test_damaged_file_is_refused(frames):
    node = DatasetData(frames)
    node.base.repository.put_object_from_bytes(b"damaged", DatasetData.FRAMES_FILE)
    with pytest.raises(InputError, match="not a readable frame set"):
        node.store()


def test_sources_are_a_file_of_plain_json(frames):
    node = DatasetData(frames, [{"label": "x"}, {}]).store()
    assert json.loads(node.base.repository.get_object_content("sources.json"))[0] == {"label": "x"}


@pytest.fixture
def package():
    buffer = io.BytesIO()
    np.savez(buffer, weights=np.arange(3))
    buffer.seek(0)
    return buffer


def test_potential_keeps_the_package_and_its_description(package):
    node = PotentialData(package, types=["Na", "O"], cutoff=4.5, seed=3, versions={"nequip": "0"}).store()
    assert node.types == ["Na", "O"]
    assert node.cutoff == 4.5
    assert len(node.base.attributes.get("sha256")) == 64
    with node.open(mode="rb") as handle:
        assert np.load(io.BytesIO(handle.read()))["weights"].tolist() == [0, 1, 2]


def test_corrupt_package_is_refused():
    with pytest.raises(InputError, match="no zip archive"):
        PotentialData(io.BytesIO(b"not a package"), types=["Na"], cutoff=4.5, seed=0)


def test_potential_needs_types_and_cutoff(package):
    with pytest.raises(InputError, match="types must be given"):
        PotentialData(package, types=[], cutoff=4.5, seed=0)
