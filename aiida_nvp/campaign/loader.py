"""Read a campaign file; what is wrong is said with file, line and what would be right."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aiida_nvp.campaign.schema import Campaign, CellSpec
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import PotentialDefinition, TrainingSettings, load_potential
from aiida_nvp.structures.composition import compose


@dataclass(frozen=True)
class LoadedCampaign:
    """A campaign file that passed every check that needs no database.

    :param path: of the file.
    :param campaign: its content.
    :param potential: the definition it names.
    """

    path: Path
    campaign: Campaign
    potential: PotentialDefinition


def load_campaign(path: str | Path) -> LoadedCampaign:
    """Read and check a campaign file.

    :raises InputError: one line a fault, each ``file:line: key: what is wrong; what would be right``.
    """
    file = Path(path)
    root = _compose(file)
    try:
        campaign = Campaign.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = [_sentence(file, root, details) for details in error.errors()]
        raise InputError("\n".join(faults)) from error
    potential = _retrained(file, root, campaign, _find_potential(file, root, campaign))
    faults = [*_cell_faults(file, root, campaign, potential), *_unphysical(file, root, campaign)]
    if faults:
        raise InputError("\n".join(faults))
    return LoadedCampaign(file, campaign, potential)


def json_schema() -> str:
    """Return the JSON schema of the campaign file, for editors and for the documentation."""
    return json.dumps(Campaign.model_json_schema(), indent=2, sort_keys=True) + "\n"


def _compose(file: Path) -> yaml.Node | None:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"no campaign file at {file}: {error.strerror}.") from error
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise InputError(f"{file}:{line}: not YAML: {getattr(error, 'problem', error)}.") from error


def _line(node: yaml.Node | None, location: Sequence[str | int]) -> int:
    """Return the line of the deepest part of ``location`` that the file has."""
    line = 1 if node is None else node.start_mark.line + 1
    for step in location:
        child: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(step):
                    line, child = key.start_mark.line + 1, value
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            child = node.value[step]
            line = child.start_mark.line + 1
        if child is None:
            break
        node = child
    return line


def _sentence(file: Path, root: yaml.Node | None, details: ErrorDetails) -> str:
    location = details["loc"]
    name = ".".join(str(part) for part in location) or "file"
    where = f"{file}:{_line(root, location)}: {name}"
    match details["type"]:
        case "extra_forbidden":
            allowed = _keys_at(location[:-1])
            close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
            hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(allowed)}."
            return f"{where}: unknown key; {hint}"
        case "missing":
            return f"{where}: required, but missing."
        case _:
            message = details["msg"].removeprefix("Value error, ")
            shown = "" if isinstance(details["input"], dict | list | tuple) else f" (got {details['input']!r})"
            return f"{where}: {message}{shown}."


def _keys_at(location: Sequence[str | int]) -> list[str]:
    model: Any = Campaign
    for step in location:
        fields = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
        if isinstance(step, str) and step in fields:
            model = _inner_model(fields[step].annotation)
    return sorted(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _inner_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _inner_model(argument)
        if found is not None:
            return found
    return None


def _find_potential(file: Path, root: yaml.Node | None, campaign: Campaign) -> PotentialDefinition:
    folder = file.resolve().parent
    places = [folder / campaign.potential]
    places += [parent / "potentials" / campaign.potential for parent in (folder, *folder.parents)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        line = _line(root, ["potential"])
        raise InputError(
            f"{file}:{line}: potential: no definition `{campaign.potential}`; give a folder with potential.yaml, "
            "or the name of one in a folder `potentials` beside or above the campaign file."
        )
    return load_potential(found)


def _retrained(
    file: Path, root: yaml.Node | None, campaign: Campaign, potential: PotentialDefinition
) -> PotentialDefinition:
    """Return the definition with the training settings of the campaign in place of its own."""
    try:
        training = TrainingSettings.model_validate(potential.training.model_dump() | campaign.training)
    except ValidationError as error:
        faults = []
        for details in error.errors():
            name = str(details["loc"][0])
            close = difflib.get_close_matches(name, TrainingSettings.model_fields, n=1)
            hint = f"did you mean `{close[0]}`?" if close else details["msg"]
            faults.append(f"{file}:{_line(root, ['training', name])}: training.{name}: {hint}")
        raise InputError("\n".join(faults)) from error
    return potential.model_copy(update={"training": training})


def _cell_faults(file: Path, root: yaml.Node | None, campaign: Campaign, potential: PotentialDefinition) -> list[str]:
    cells: list[tuple[tuple[str | int, ...], CellSpec]] = [
        (("cells", index), cell) for index, cell in enumerate(campaign.cells)
    ]
    cells += [(("exploration", "cells", index), cell) for index, cell in enumerate(campaign.exploration.cells)]
    if campaign.production is not None:
        cells.append((("production", "cell"), campaign.production.cell))
    faults = []
    for location, cell in cells:
        where = f"{file}:{_line(root, location)}: {'.'.join(map(str, location))} ({cell.name})"
        try:
            counts = compose(cell.oxides, cell.reduced, cell.atoms).counts
        except InputError as error:
            faults.append(f"{where}: {error}")
            continue
        unknown = sorted(set(counts) - set(potential.species))
        if unknown:
            known = ", ".join(potential.species)
            faults.append(f"{where}: potential `{potential.name}` has no species {', '.join(unknown)}; it has {known}.")
    return faults


def _unphysical(file: Path, root: yaml.Node | None, campaign: Campaign) -> list[str]:
    """Catch what is legal field by field and useless together."""
    faults = []
    if campaign.selection.labels_per_cycle > campaign.stop.max_labels:
        line = _line(root, ["selection", "labels_per_cycle"])
        faults.append(
            f"{file}:{line}: selection.labels_per_cycle ({campaign.selection.labels_per_cycle}) exceeds "
            f"stop.max_labels ({campaign.stop.max_labels}); no cycle could be labelled."
        )
    return faults
