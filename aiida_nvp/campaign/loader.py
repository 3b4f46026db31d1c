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

from aiida_nvp.campaign.checks import find_faults
from aiida_nvp.campaign.schema import Campaign
from aiida_nvp.campaign.source import Source
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import PotentialDefinition, TrainingSettings, load_potential
from aiida_nvp.common.validation import told


@dataclass(frozen=True)
class LoadedCampaign:
    """A campaign file that passed every check that needs no database.

    :param source: the file and its lines.
    :param campaign: its content.
    :param potential: the definition it names.
    """

    source: Source
    campaign: Campaign
    potential: PotentialDefinition


def load_campaign(path: str | Path) -> LoadedCampaign:
    """Read and check a campaign file.

    :raises InputError: one line a fault, each ``file:line: key: what is wrong; what would be right``.
    """
    source = Source.read(Path(path))
    try:
        campaign = Campaign.model_validate(yaml.safe_load(source.path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = [_sentence(source, details) for details in told(error)]
        raise InputError("\n".join(faults)) from error
    potential = _retrained(source, campaign, _find_potential(source, campaign))
    faults = find_faults(source, campaign, potential)
    if faults:
        raise InputError("\n".join(faults))
    return LoadedCampaign(source, campaign, potential)


def json_schema() -> str:
    """Return the JSON schema of the campaign file, for editors and for the documentation."""
    return json.dumps(Campaign.model_json_schema(), indent=2, sort_keys=True) + "\n"


def _sentence(source: Source, details: ErrorDetails) -> str:
    location = details["loc"]
    where = source.place(*(location or ("file",)))
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


def _find_potential(source: Source, campaign: Campaign) -> PotentialDefinition:
    folder = source.path.resolve().parent
    places = [folder / campaign.potential]
    places += [parent / "potentials" / campaign.potential for parent in (folder, *folder.parents)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise InputError(
            f"{source.place('potential')}: no definition `{campaign.potential}`; give a folder with potential.yaml, "
            "or the name of one in a folder `potentials` beside or above the campaign file."
        )
    return load_potential(found)


def _retrained(source: Source, campaign: Campaign, potential: PotentialDefinition) -> PotentialDefinition:
    """Return the definition with the training settings of the campaign in place of its own."""
    try:
        training = TrainingSettings.model_validate(potential.training.model_dump() | campaign.training)
    except ValidationError as error:
        faults = []
        for details in error.errors():
            name = str(details["loc"][0])
            close = difflib.get_close_matches(name, TrainingSettings.model_fields, n=1)
            hint = f"did you mean `{close[0]}`?" if close else details["msg"]
            faults.append(f"{source.place('training', name)}: {hint}")
        raise InputError("\n".join(faults)) from error
    return potential.model_copy(update={"training": training})
