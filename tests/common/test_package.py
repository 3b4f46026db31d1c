"""What a package says in plain text, and what is refused before anything in it runs."""

import zipfile

import pytest
import yaml

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.package import check_sha256, read_header, version_remarks

METADATA = {
    "atom_types": {0: "O", 1: "Na"},
    "versions": {"nequip": "0.19.1", "torch": "2.13.0+cpu"},
    "package_version_id": 2,
    "available_models": ["eager"],
}


@pytest.fixture
def package(tmp_path):
    """Return a function that writes a package whose metadata is changed, or left out with None."""

    def _make(change=(), name="m.nequip.zip"):
        path = tmp_path / name
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("m.nequip/model/eager_model.pkl", b"never read here")
            if change is not None:
                archive.writestr("m.nequip/model/package_metadata.txt", yaml.safe_dump(METADATA | dict(change)))
        return path

    return _make


def test_types_keep_the_order_of_the_model(package):
    header = read_header(package())
    assert header.types == ("O", "Na")
    assert header.format_id == 2
    assert header.versions["torch"] == "2.13.0+cpu"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, r"is a zip archive but no model: it lacks the package_metadata.txt"),
        (
            {"package_version_id": 3, "versions": {"nequip": "1.4"}},
            "package format 3, made by nequip 1.4; this release",
        ),
        ({"package_version_id": 0}, "package format 0"),
        ({"atom_types": {0: "Na_bulk"}}, "atom types Na_bulk; here each has to be a chemical symbol"),
        ({"atom_types": {}}, "atom types none"),
        ({"atom_types": {1: "Na"}}, "does not say its types"),
        ({"versions": None}, "does not say its types and versions"),
    ],
)
def test_another_content_is_refused(package, change, message):
    with pytest.raises(InputError, match=message):
        read_header(package(change))


def test_other_files_are_refused(package, tmp_path):
    text = tmp_path / "text.nequip.zip"
    text.write_text("energy = 0")
    with pytest.raises(InputError, match=r"text.nequip.zip is no zip archive"):
        read_header(text)
    with pytest.raises(InputError, match=r"gone.nequip.zip cannot be read: No such file"):
        read_header(tmp_path / "gone.nequip.zip")
    whole = package(name="whole.nequip.zip")
    content = whole.read_bytes().replace(b"never read here", b"never_read_here", 1)
    whole.write_bytes(content)
    with pytest.raises(InputError, match=r"whole.nequip.zip is damaged at m.nequip/model/eager_model.pkl"):
        read_header(whole)


def test_the_checksum_has_to_be_the_one_that_was_published(package):
    header = read_header(package())
    check_sha256(header, None)
    check_sha256(header, f" {header.sha256.upper()}\n")
    with pytest.raises(InputError, match="it is damaged or another"):
        check_sha256(header, "0" * 64)
    with pytest.raises(InputError, match="takes 64 hexadecimal digits, not 'abc'"):
        check_sha256(header, "abc")


def test_another_series_of_a_part_is_told_and_a_patch_is_not(package):
    header = read_header(package())
    assert version_remarks(header, {"nequip": "0.19.3", "torch": "2.13.0"}) == []
    assert version_remarks(header, {"nequip": "0.20.0"}) == ["made by nequip 0.19.1, here is 0.20.0."]
