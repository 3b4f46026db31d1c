"""What the loop refuses before anything is paid for: port validators see one port, these look across them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiida.engine import PortNamespace

from aiida_nvp.analysis.watched import Watched
from aiida_nvp.calculations.assess import stop_rules
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.labelling.settings import read_settings as read_label_settings
from aiida_nvp.selection.settings import batch_settings
from aiida_nvp.uncertainty.thresholds import Tolerance
from aiida_nvp.worker.settings import ExploreSettings, read_settings
from aiida_nvp.workflows.parent import refuse_parent

_SMALLEST_COMMITTEE = 2


def validate_ports(inputs: dict[str, Any], port: PortNamespace) -> str | None:
    """Return one sentence on ports that do not fit together, or None: the validator of the loop's input namespace."""
    # A work chain that exposes these inputs without `frames` makes the frames itself.
    if "frames" in port and "frames" not in inputs and "dataset" not in inputs:
        return "give `frames` (cells to label) or `dataset` (labelled frames), or both."
    if "dataset" in inputs and not inputs["dataset"].base.attributes.get("labelled"):
        return "`dataset` must hold labelled frames; cells without labels belong to `frames`."
    members = inputs.get("definition", {}).get("committee", {}).get("members", 0) if "definition" in inputs else 0
    if "definition" in inputs and members < _SMALLEST_COMMITTEE:
        return f"a committee needs at least {_SMALLEST_COMMITTEE} members to disagree; the definition says {members}."
    return None


def refuse(inputs: Mapping[str, Any]) -> str:
    """Return one sentence on why these inputs of the loop cannot lead to a potential, or an empty string."""
    try:
        stop_rules(inputs["stop"].get_dict())
        Watched.read(inputs["stop"].get_dict().get("observables") or {})
        batch_settings(inputs["selection"].get_dict(), {})
        for name, check in _CHECKS.items():
            if name in inputs:
                _check(name, check, inputs[name].get_dict())
        _check("label.settings", read_label_settings, inputs["label"]["settings"].get_dict())
        for name in ("frames", "dataset"):
            if name in inputs:
                _check_species(name, inputs[name].frames.species(), inputs["definition"]["species"])
        if "parent" in inputs:
            refuse_parent(inputs["parent"], read_settings(PotentialDefinition, inputs["definition"].get_dict()))
    except InputError as error:
        return str(error)
    return ""


def _check(name: str, check: Callable[[dict[str, Any]], object], values: dict[str, Any]) -> None:
    try:
        check(values)
    except InputError as error:
        raise InputError(f"`{name}`: {error}") from error


def _check_calibration(values: Mapping[str, Any]) -> None:
    target = values.get("target_force_error")
    if isinstance(target, bool) or not isinstance(target, int | float):
        raise InputError(f"target_force_error must be a number in eV/angstrom, not {target!r}.")
    risk = values.get("risk")
    if isinstance(risk, bool) or not isinstance(risk, int | float | None):
        raise InputError(f"risk must be a share between 0 and 1, not {risk!r}.")
    Tolerance(target, risk)


_CHECKS: Mapping[str, Callable[[dict[str, Any]], object]] = {
    "definition": lambda values: read_settings(PotentialDefinition, values),
    "exploration": lambda values: read_settings(ExploreSettings, values),
    "calibration": _check_calibration,
    "seed_settings": read_label_settings,
}
"""Who will read each port later, asked now."""


def _check_species(name: str, found: list[str], known: list[str]) -> None:
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise InputError(
            f"`{name}` holds {', '.join(unknown)}, but the potential knows {', '.join(known)} only; "
            "leave those cells out, or take a definition with these species."
        )
