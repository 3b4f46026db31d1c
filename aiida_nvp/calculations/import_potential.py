"""A potential that was trained elsewhere becomes a node, with provenance: the file, and what the user stated of it."""

from __future__ import annotations

import importlib
import tempfile
from importlib.metadata import version
from pathlib import Path

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from pydantic import BaseModel, ConfigDict

from aiida_nvp.calculations.remarks import remark
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.package import TRUST_SENTENCE, check_sha256, read_header, version_remarks
from aiida_nvp.common.validation import validated
from aiida_nvp.data.potential import PotentialData

ERROR_INPUT = 210
_DISTRIBUTIONS = {"nequip": "nequip", "allegro": "nequip-allegro", "torch": "torch", "e3nn": "e3nn"}


class ImportStatement(BaseModel):
    """What the user says of the file.

    :param trusted: that code in it may run here; nothing is loaded without.
    :param sha256: checksum that the maker published; not compared where not given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    trusted: bool = False
    sha256: str | None = None


@calcfunction
def import_potential(
    file: orm.SinglefileData, statement: orm.Dict, card: orm.SinglefileData | None = None
) -> PotentialData | ExitCode:
    """Return the potential in a ``.nequip.zip`` package, marked as foreign.

    What the package says in plain text is checked first; then it is loaded in this process, which runs its code, and
    predicts the frame that it carries.

    :param statement: as in :class:`ImportStatement`.
    :param card: what its maker says of it; kept beside it.

    Exit status 210 with a sentence if it is not trusted, has another checksum, is no model, or does not run here. Other
    versions than those of here stand in the extra ``aiida_nvp_remarks`` of the process and are no error.
    """
    del card  # Its link says that it belongs to the potential; export copies it.
    try:
        stated = validated(ImportStatement, statement.get_dict(), "statement")
        if not stated.trusted:
            raise InputError(TRUST_SENTENCE)
        with tempfile.TemporaryDirectory() as folder:
            # The name has to end so: nequip takes anything else for a checkpoint.
            path = Path(folder) / PotentialData.DEFAULT_FILENAME
            path.write_bytes(file.get_content(mode="rb"))
            return _take(path, stated)
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))


def _take(path: Path, stated: ImportStatement) -> PotentialData:
    header = read_header(path)
    check_sha256(header, stated.sha256)
    remarks = version_remarks(header, {name: version(found) for name, found in _DISTRIBUTIONS.items()})
    try:
        # Torch and nequip cost seconds, and the daemon imports this module.
        found = importlib.import_module("aiida_nvp.uncertainty.probe").probe_package(path)
    except InputError as error:
        raise InputError(" ".join([str(error), *(remark.capitalize() for remark in remarks)])) from error
    if not found.has_features:
        remarks.append("it has no Allegro read-out: no feature distance and no last-layer sigma.")
    remark(remarks)
    potential = PotentialData(path, types=found.types, cutoff=found.cutoff, seed=None, versions=header.versions)
    potential.set_origin(foreign=True)
    return potential
