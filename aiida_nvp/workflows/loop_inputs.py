"""What the loop refuses before anything is paid for: port validators see one port, these look across them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida_nvp.calculations.assess import stop_rules
from aiida_nvp.calculations.select import batch_settings
from aiida_nvp.common.errors import InputError


def refuse(inputs: Mapping[str, Any]) -> str:
    """Return one sentence on why these inputs of the loop cannot lead to a potential, or an empty string."""
    try:
        stop_rules(inputs["stop"].get_dict())
        batch_settings(inputs["selection"].get_dict(), {})
        for name in ("frames", "dataset"):
            if name in inputs:
                _check_species(name, inputs[name].frames.species(), inputs["definition"]["species"])
    except InputError as error:
        return str(error)
    return ""


def _check_species(name: str, found: list[str], known: list[str]) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise InputError(
            f"`{name}` holds {', '.join(unknown)}, but the potential knows {', '.join(known)} only; "
            "leave those cells out, or take a definition with these species."
        )
