"""Directive ``nvp-processes``: ports and exit codes of the processes, read from their specifications.

```{nvp-processes} aiida.workflows
```
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import entry_points
from types import FunctionType
from typing import Any, ClassVar

from aiida.engine import Process
from docutils import nodes
from plumpy.ports import Port, PortNamespace
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

OF_THE_ENGINE = {"metadata", "monitors", "remote_folder", "remote_stash", "retrieved"}
"""Ports that every AiiDA process has; the documentation of AiiDA describes them."""
ROLE = re.compile(r":\w+:`~?(?:[\w.]+\.)?(\w+)`")


class Processes(SphinxDirective):
    """One section for each process of an entry point group, or for the one that is named."""

    required_arguments = 1
    optional_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the sections."""
        group, *names = self.arguments
        found = sorted(entry_points(group=group), key=lambda entry: entry.name)
        own = [entry for entry in found if entry.name.startswith("nvp.") and (not names or entry.name in names)]
        return [self._section(entry.name, entry.load()) for entry in own]

    def _section(self, name: str, process: type[Process] | FunctionType) -> nodes.section:
        section = nodes.section(ids=[nodes.make_id(name)], names=[name])
        section += nodes.title("", "", nodes.literal(text=name))
        section += nodes.paragraph("", "", nodes.literal(text=f"{process.__module__}.{process.__name__}"))
        section.extend(_prose(inspect.getdoc(process) or ""))
        if not isinstance(process, type):
            return section
        spec = process.spec()
        section.extend(table("Inputs", ("port", "type", "what"), _port_rows(spec.inputs)))
        section.extend(table("Outputs", ("port", "type", "what"), _port_rows(spec.outputs)))
        section.extend(table("Exit codes", ("status", "label", "message"), _exit_rows(process)))
        return section


def _prose(docstring: str) -> Iterator[nodes.Node]:
    for block in re.split(r"\n\s*\n", docstring):
        fields = re.findall(r"^:(\w+)(?: (\w+))?: (.*(?:\n[ ]{2,}.*)*)", block, re.MULTILINE)
        if not fields:
            yield _paragraph(block)
            continue
        items = nodes.bullet_list()
        for kind, subject, text in fields:
            words = [nodes.literal(text=subject), nodes.Text(" ")] if subject else [nodes.Text(f"{kind} ")]
            items += nodes.list_item("", nodes.paragraph("", "", *words, *inline(text)))
        yield items


def _paragraph(text: str) -> nodes.paragraph:
    return nodes.paragraph("", "", *inline(text))


def inline(text: str) -> Iterator[nodes.Node]:
    """Yield the text with what stands in backticks as literals; that is all the markup that docstrings use."""
    flat = ROLE.sub(r"``\1``", " ".join(text.split()))
    for index, part in enumerate(re.split(r"``?([^`]+)``?", flat)):
        if part:
            yield nodes.literal(text=part) if index % 2 else nodes.Text(part)


def _port_rows(namespace: PortNamespace, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    for name, port in namespace.items():
        if name in OF_THE_ENGINE:
            continue
        if isinstance(port, PortNamespace) and len(port):
            yield from _port_rows(port, f"{prefix}{name}.")
        else:
            required = "" if port.required else " (optional)"
            yield f"{prefix}{name}", _types(port), f"{port.help or ''}{required}"


def _types(port: Port) -> str:
    kinds = port.valid_type if isinstance(port.valid_type, tuple) else (port.valid_type,)
    names = [kind.__name__ for kind in kinds if kind is not None and kind is not type(None)]
    return " or ".join(names) + (" each" if isinstance(port, PortNamespace) else "")


def _exit_rows(process: type[Process]) -> Iterator[tuple[str, str, str]]:
    foreign = next(base for base in process.__mro__ if not base.__module__.startswith("aiida_nvp."))
    inherited = set(foreign.spec().exit_codes)
    for label, code in sorted(process.spec().exit_codes.items(), key=lambda item: item[1].status):
        if label not in inherited:
            yield str(code.status), label, code.message


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[nodes.Node]:
    """Yield a table under a small title, or nothing where there is no row; first cells are literals."""
    body = list(rows)
    if not body:
        return
    if title:
        yield nodes.rubric("", title)
    group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (22, 33, 45)), cols=len(header))
    group += nodes.thead("", _row([[nodes.Text(text)] for text in header]))
    group += nodes.tbody("", *(_row([[nodes.literal(text=row[0])], *map(_cell, row[1:])]) for row in body))
    yield nodes.table("", group)


def _cell(text: str) -> list[nodes.Node]:
    return list(inline(text))


def _row(cells: Iterable[Iterable[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("nvp-processes", Processes)
    return {"version": "1", "parallel_read_safe": True}
