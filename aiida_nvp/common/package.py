"""What a ``.nequip.zip`` package says about itself in plain text: read without running anything that is in it."""

from __future__ import annotations

import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ase.data import atomic_numbers

from aiida_nvp.common.errors import InputError

NEWEST_FORMAT = 2
"""``package_version_id`` that the nequip of this release writes."""
SHA256_DIGITS = 64
TRUST_SENTENCE = (
    "a .nequip.zip carries Python code and pickles, and loading it runs them with your rights: "
    "say --trust if you trust who made it."
)
_METADATA_ENDING = "/model/package_metadata.txt"
_FIRST_TEXT_FORMAT = 1
_CONFIG_ENDING = "/model/config.yaml"
_ALLEGRO = "allegro.model.AllegroModel"
_ARCHITECTURE = {
    "l_max": "l_max",
    "num_layers": "num_layers",
    "num_scalar_features": "num_scalar_features",
    "num_tensor_features": "num_tensor_features",
    "mlp_width": "allegro_mlp_hidden_layers_width",
    "readout_width": "readout_mlp_hidden_layers_width",
}
"""Settings of a definition, each with nequip's name for it."""


@dataclass(frozen=True)
class PackageHeader:
    """What stands in clear text in a package.

    :param types: chemical symbols in model order.
    :param versions: package name to version string of what built it.
    :param format_id: version of the archive format.
    :param sha256: checksum of the whole file, hexadecimal.
    """

    types: tuple[str, ...]
    versions: Mapping[str, str]
    format_id: int
    sha256: str


def read_header(path: str | Path) -> PackageHeader:
    """Return what a package says about itself; no code or pickle of it is touched.

    :raises InputError: if the file is missing, no zip archive, damaged, no nequip package, of a format that this
        release does not know, or of atom types that are no chemical symbols.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror}.") from error
    text = _metadata_text(path)
    try:
        values = yaml.safe_load(text)
        types = dict(values["atom_types"])
        names = tuple(str(types[index]) for index in range(len(types)))
        versions = {str(name): str(version) for name, version in dict(values["versions"]).items()}
        format_id = int(values["package_version_id"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path.name}: the package does not say its types and versions as nequip writes them."
        ) from error
    if not _FIRST_TEXT_FORMAT <= format_id <= NEWEST_FORMAT:
        raise InputError(
            f"{path.name} has package format {format_id}, made by nequip {versions.get('nequip', '?')}; "
            f"this release reads up to {NEWEST_FORMAT}: package the model again with its own nequip, or update here."
        )
    strangers = [name for name in names if name not in atomic_numbers or name == "X"]
    if strangers or not names:
        raise InputError(
            f"{path.name} has the atom types {', '.join(names) or 'none'}; here each has to be a chemical symbol."
        )
    return PackageHeader(names, versions, format_id, hashlib.sha256(content).hexdigest())


def read_architecture(path: str | Path) -> dict[str, Any]:
    """Return what the configuration in a package says of its Allegro model, named as in a potential definition.

    Where pairs of species have cutoffs of their own, ``pair_cutoffs`` is one table of ordered pairs, angstrom.

    No code or pickle is touched. A package that was trained from another one says nothing, and an empty dictionary
    comes back.

    :raises InputError: as :func:`read_header`.
    """
    header = read_header(path)
    with zipfile.ZipFile(path) as archive:
        found = next((name for name in archive.namelist() if f"/{name}".endswith(_CONFIG_ENDING)), None)
        text = "" if found is None else archive.read(found).decode(errors="replace")
    try:
        model = yaml.safe_load(text)["training_module"]["model"]
        if model["_target_"] != _ALLEGRO:
            return {}
    except (yaml.YAMLError, KeyError, TypeError):
        return {}
    known = {ours: model[theirs] for ours, theirs in _ARCHITECTURE.items() if theirs in model}
    embedding = model.get("radial_chemical_embed")
    if isinstance(embedding, dict) and "num_bessels" in embedding:
        known["num_bessels"] = embedding["num_bessels"]
    if cutoffs := model.get("per_edge_type_cutoff"):
        # nequip takes one number for all pairs of a species as well as a number for each.
        known["pair_cutoffs"] = {
            first: row if isinstance(row, dict) else dict.fromkeys(header.types, row) for first, row in cutoffs.items()
        }
    return known | {"zbl": model.get("pair_potential") is not None}


def check_sha256(header: PackageHeader, expected: str | None) -> None:
    """Compare the checksum with the one that the maker published, if any.

    :raises InputError: if it is another one, or no SHA-256 at all.
    """
    if expected is None:
        return
    wanted = expected.strip().lower()
    if not re.fullmatch(f"[0-9a-f]{{{SHA256_DIGITS}}}", wanted):
        raise InputError(f"--sha256 takes {SHA256_DIGITS} hexadecimal digits, not {expected!r}.")
    if wanted != header.sha256:
        raise InputError(f"the file has the SHA-256 {header.sha256}, not {wanted}: it is damaged or another one.")


def version_remarks(header: PackageHeader, here: Mapping[str, str]) -> list[str]:
    """Return one sentence for each part whose version here is of another series (first two numbers).

    :param here: installed version by package name, named as in the header.
    """
    return [
        f"made by {name} {made}, here is {here[name]}."
        for name, made in sorted(header.versions.items())
        if name in here and _series(made) != _series(here[name])
    ]


def _series(version: str) -> tuple[str, ...]:
    return tuple(re.split(r"[.+]", version)[:2])


def _metadata_text(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [name for name in archive.namelist() if f"/{name}".endswith(_METADATA_ENDING)]
            damaged = archive.testzip()
            text = archive.read(found[0]).decode() if len(found) == 1 and damaged is None else ""
    except (zipfile.BadZipFile, OSError, RuntimeError, UnicodeDecodeError, NotImplementedError) as error:
        raise InputError(f"{path.name} is no zip archive, or a damaged one; a potential is a .nequip.zip.") from error
    if damaged is not None:
        raise InputError(f"{path.name} is damaged at {damaged}.")
    if not text:
        raise InputError(
            f"{path.name} is a zip archive but no model: it lacks the package_metadata.txt of nequip-package."
        )
    return text
