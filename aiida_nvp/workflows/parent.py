"""The potential that the members of a committee begin with: found in the profile, and refused where it does not fit."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.package import read_architecture
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.data.links import creator
from aiida_nvp.data.potential import PotentialData

_TOLERANCE = 1e-6


def find_parent(identifier: str) -> PotentialData:
    """Return the potential with this UUID, pk or label.

    :raises InputError: if there is none, if several carry the label, or if it is a node of another kind.
    """
    labelled = orm.QueryBuilder().append(PotentialData, filters={"label": identifier}).all(flat=True)
    if len(labelled) > 1:
        uuids = ", ".join(node.uuid for node in labelled)
        raise InputError(f"{len(labelled)} potentials carry the label `{identifier}`; give the UUID of one: {uuids}.")
    if labelled:
        found = labelled[0]
    else:
        try:
            found = orm.load_node(int(identifier) if identifier.isdigit() else identifier)
        except (NotExistent, MultipleObjectsError, ValueError) as error:
            raise InputError(
                f"no single potential `{identifier}` in this profile; `aiida-nvp potential list` shows them, and "
                "`aiida-nvp potential import` takes one in."
            ) from error
    if not isinstance(found, PotentialData):
        raise InputError(f"node `{identifier}` is a {type(found).__name__}, not a potential.")
    return found


def refuse_parent(parent: PotentialData, definition: PotentialDefinition) -> None:
    """Refuse a parent whose training would fail, or whose model is not what the definition says.

    Nothing of the package is loaded. A package that does not say its architecture, as one that was itself trained from
    a parent outside this database, is taken as it is.

    :raises InputError: with the first of species, cutoff and architecture that does not fit.
    """
    name = f"the parent {parent.label or parent.uuid}"
    unknown = [symbol for symbol in definition.species if symbol not in parent.types]
    if unknown:
        raise InputError(
            f"{name} knows {', '.join(parent.types)} but not {', '.join(unknown)}, which `{definition.name}` names; "
            "a training cannot add species to its parent."
        )
    if not math.isclose(parent.cutoff, definition.cutoff, abs_tol=_TOLERANCE):
        raise InputError(
            f"{name} has a cutoff of {parent.cutoff:g} angstrom but `{definition.name}` names {definition.cutoff:g}; "
            f"a training keeps the cutoff of its parent: state {parent.cutoff:g} in the definition."
        )
    wanted, found = definition.allegro.model_dump(), _architecture(parent)
    if found:
        wanted["pair_cutoffs"] = _shorter(definition.edge_cutoffs(), definition)
        found["pair_cutoffs"] = _shorter(found.get("pair_cutoffs"), definition)
    other = [key for key in wanted if found.get(key, wanted[key]) != wanted[key]]
    differ = [f"{key} {found[key]} instead of {wanted[key]}" for key in other]
    if differ:
        raise InputError(
            f"{name} is another model than `{definition.name}` says ({', '.join(differ)}); a training keeps the "
            "architecture of its parent: state it in the definition."
        )


def _shorter(table: Mapping[str, Mapping[str, float]] | None, definition: PotentialDefinition) -> dict[str, float]:
    """Return the ordered pairs of the definition's species that a table gives a shorter cutoff than all have."""
    return {
        f"{first}-{second}": float(value)
        for first, row in (table or {}).items()
        for second, value in row.items()
        if {first, second} <= set(definition.species) and value < definition.cutoff - _TOLERANCE
    }


def _architecture(parent: PotentialData) -> dict[str, Any]:
    """Return the settings of the model as far as the graph or the package tells them."""
    trained = creator(parent) if parent.is_stored else None
    if trained is not None and "definition" in trained.inputs:
        known = PotentialDefinition.model_validate(trained.inputs.definition.get_dict())
        return {**known.allegro.model_dump(), "pair_cutoffs": known.edge_cutoffs()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / parent.filename
        path.write_bytes(parent.base.repository.get_object_content(parent.filename, mode="rb"))
        return read_architecture(path)
