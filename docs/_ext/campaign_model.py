"""Directive ``nvp-campaign-file``: one table a section of the campaign file, from the model itself."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from docutils import nodes
from processes import inline, table
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from aiida_nvp.analysis.structure import settings as structure_settings
from aiida_nvp.campaign import schema as campaign_schema
from aiida_nvp.labelling import settings as label_settings

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
LONGEST_DEFAULT = 40
MODELS = (label_settings, campaign_schema, structure_settings)


class CampaignFile(SphinxDirective):
    """A section for the file as a whole and one for each model inside it."""

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        whole = campaign_schema.Campaign.model_json_schema()
        sections = [_section(campaign_schema.Campaign, whole)]
        for name in _sections_in_order(whole, whole["$defs"]):
            model = next(getattr(module, name) for module in MODELS if hasattr(module, name))
            sections.append(_section(model, whole["$defs"][name]))
        return sections


def _sections_in_order(definition: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return the names of the models under a definition, as they come up in the file."""
    names = dict.fromkeys(re.findall(r'"#/\$defs/(\w+)"', json.dumps(definition["properties"])))
    found: dict[str, None] = {}
    for name in names:
        if "properties" in known[name]:
            found |= {name: None, **dict.fromkeys(_sections_in_order(known[name], known))}
    return list(found)


def _section(model: type[BaseModel], definition: Mapping[str, Any]) -> nodes.section:
    name = model.__name__
    section = nodes.section(ids=[nodes.make_id(name)], names=[name])
    text = inspect.getdoc(model) or ""
    section += nodes.title("", name)
    section += nodes.paragraph("", "", *inline(text.split("\n\n")[0]))
    meanings: dict[str, str] = {}
    for part in reversed(model.__mro__):
        meanings |= _meanings(inspect.getdoc(part) or "")
    section.extend(table("", ("key", "value", "meaning"), _rows(definition, meanings)))
    return section


def _rows(definition: Mapping[str, Any], meanings: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    required = definition.get("required", ())
    for key, field in definition["properties"].items():
        default = json.dumps(field.get("default"))
        shown = "" if key in required or len(default) > LONGEST_DEFAULT else f"; default `{default}`"
        unit = field.get("description", "")
        words = meanings.get(key, "")
        yield (
            key,
            f"{_kind(field)}{', required' if key in required else shown}",
            f"{words} {f'({unit})' if unit else ''}".strip(),
        )


def _meanings(docstring: str) -> dict[str, str]:
    fields = re.findall(r"^:param (\w+): (.*(?:\n[ ]{2,}.*)*)", docstring, re.MULTILINE)
    return dict(fields)


def _kind(field: Mapping[str, Any]) -> str:
    """Return type and limits in words."""
    if "$ref" in field:
        return str(field["$ref"].rsplit("/", 1)[-1])
    if "anyOf" in field:
        return " or ".join(_kind(option) for option in field["anyOf"] if option.get("type") != "null")
    if "enum" in field or "const" in field:
        return " or ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}" if "items" in field else "list of three integers"
    if isinstance(field.get("additionalProperties"), Mapping):
        return f"mapping of name to {_kind(field['additionalProperties'])}"
    limits = [f"{sign} {field[bound]:g}" for bound, sign in BOUNDS.items() if bound in field]
    return " ".join([str(field.get("type", "")), *limits]).replace("null", "empty")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("nvp-campaign-file", CampaignFile)
    return {"version": "1", "parallel_read_safe": True}
