"""A trained potential as one AiiDA node."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from aiida.common.exceptions import ValidationError
from aiida.orm import Data, SinglefileData

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import STATISTICS_FILE


class PotentialData(SinglefileData):
    """The ``.nequip.zip`` package of one model: the only form of it that survives a change of machine.

    The package carries code and pickles: load one only if this database trained it or if you trust its maker.

    :param file: absolute path or binary stream of the package.
    :param types: chemical symbols in model order.
    :param cutoff: angstrom.
    :param seed: of initialisation and data order; None where nobody knows it.
    :param versions: package name to version string of what trained it.
    :raises InputError: if the file is no package or a value is out of range.
    """

    DEFAULT_FILENAME = "potential.nequip.zip"

    def __init__(
        self,
        file: str | Path | IO[bytes],
        *,
        types: Sequence[str],
        cutoff: float,
        seed: int | None,
        versions: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Store the package under its fixed name and describe it in attributes."""
        super().__init__(file, filename=self.DEFAULT_FILENAME, **kwargs)
        if not types or cutoff <= 0:
            raise InputError("potential: types must be given and the cutoff positive.")
        with self.open(mode="rb") as handle:
            if not zipfile.is_zipfile(handle):
                raise InputError("potential: the file is not a .nequip.zip package (no zip archive).")
            handle.seek(0)
            digest = hashlib.sha256(handle.read()).hexdigest()
        values = {
            "types": list(types),
            "cutoff": float(cutoff),
            "seed": None if seed is None else int(seed),
            "versions": dict(versions or {}),
            "sha256": digest,
        }
        for key, value in values.items():
            self.base.attributes.set(key, value)

    def set_origin(self, level_of_theory: str | None = None, *, foreign: bool = False) -> None:
        """Say where the potential, which is not stored yet, comes from.

        :param level_of_theory: hash of the level of the labels that it learned from; None where nobody knows it.
        :param foreign: whether it was trained outside this database.
        """
        self.base.attributes.set("level_of_theory", level_of_theory)
        self.base.attributes.set("foreign", foreign)

    def attach_statistics(self, path: str | Path) -> None:
        """Keep the feature statistics of the training set with the potential, which is not stored yet.

        By them its last layer tells what it knows; a foreign potential comes without.

        :param path: absolute path of a saved :class:`~aiida_nvp.uncertainty.last_layer.FeatureStatistics`.
        """
        self.base.repository.put_object_from_file(str(path), STATISTICS_FILE)

    def _validate(self) -> bool:
        # The base class allows its one file only.
        Data._validate(self)
        stray = set(self.base.repository.list_object_names()) - {self.filename, STATISTICS_FILE}
        if stray or self.filename not in self.base.repository.list_object_names():
            raise ValidationError(f"a potential holds {self.filename} and at most {STATISTICS_FILE} beside it.")
        return True

    @property
    def has_statistics(self) -> bool:
        """Whether the feature statistics of the training set are stored with the potential."""
        return STATISTICS_FILE in self.base.repository.list_object_names()

    @property
    def types(self) -> list[str]:
        """Chemical symbols in model order."""
        return list(self.base.attributes.get("types"))

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""
        return float(self.base.attributes.get("cutoff"))

    @property
    def seed(self) -> int | None:
        """Seed of initialisation and data order; None where nobody knows it."""
        seed = self.base.attributes.get("seed")
        return None if seed is None else int(seed)

    @property
    def sha256(self) -> str:
        """Checksum of the package, hexadecimal."""
        return str(self.base.attributes.get("sha256"))

    @property
    def versions(self) -> dict[str, str]:
        """Package name to version string of what trained it."""
        return dict(self.base.attributes.get("versions"))

    @property
    def foreign(self) -> bool:
        """Whether it was trained outside this database."""
        return bool(self.base.attributes.get("foreign", False))

    @property
    def level_of_theory(self) -> str | None:
        """Hash of the level of theory that it learned from; None where nobody knows it.

        Potentials of before this was kept say None as well; their training knows.
        """
        level = self.base.attributes.get("level_of_theory", None)
        return None if level is None else str(level)
