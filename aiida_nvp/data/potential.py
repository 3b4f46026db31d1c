"""A trained potential as one AiiDA node."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from aiida.orm import SinglefileData

from aiida_nvp.common.errors import InputError


class PotentialData(SinglefileData):
    """The ``.nequip.zip`` package of one model: the only form of it that survives a change of machine.

    The package carries code and pickles: load one only if this database trained it or if you trust its maker.

    :param file: absolute path or binary stream of the package.
    :param types: chemical symbols in model order.
    :param cutoff: angstrom.
    :param seed: of initialisation and data order.
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
        seed: int,
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
            "seed": int(seed),
            "versions": dict(versions or {}),
            "sha256": digest,
        }
        for key, value in values.items():
            self.base.attributes.set(key, value)

    @property
    def types(self) -> list[str]:
        """Chemical symbols in model order."""
        return list(self.base.attributes.get("types"))

    @property
    def cutoff(self) -> float:
        """Cutoff in angstrom."""
        return float(self.base.attributes.get("cutoff"))
