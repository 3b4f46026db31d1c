"""From an inputs file to a builder: references resolved, every fault told in one sentence.

A value may be a reference: ``code:label@computer``, ``node:uuid-or-pk``, ``pseudos:family`` (all potentials of it, by
element) or ``file:path`` (relative to the inputs file). Plain numbers, texts, lists and mappings become nodes where the
port wants nodes.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import yaml
from aiida import orm
from aiida.common.exceptions import EntryPointError, MultipleObjectsError, NotExistent
from aiida.engine import Process, ProcessBuilder
from aiida.engine.processes.ports import PortNamespace
from aiida.plugins import CalculationFactory, WorkflowFactory
from aiida.plugins.entry_point import get_entry_point_names
from plumpy.ports import Port

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.codes import load_code
from aiida_nvp.provision.pseudopotentials import load_family

_GROUPS = ("aiida.workflows", "aiida.calculations")


def load_process(name: str) -> type[Process]:
    """Return the process class or function behind an entry point; a workflow wins over a calculation of its name.

    :raises InputError: if there is none, or it cannot be imported.
    """
    for group, factory in zip(_GROUPS, (WorkflowFactory, CalculationFactory), strict=True):
        if name not in get_entry_point_names(group):
            continue
        try:
            return cast("type[Process]", factory(name))
        except EntryPointError as error:
            raise InputError(f"the process {name!r} is known but does not load: {error}") from error
    names = sorted({known for group in _GROUPS for known in get_entry_point_names(group)})
    close = difflib.get_close_matches(name, names, n=3) or [known for known in names if known.startswith("nvp.")]
    raise InputError(f"there is no process {name!r}; did you mean {', '.join(close)}?")


def read_inputs(path: Path) -> dict[str, Any]:
    """Read an inputs file and resolve its references.

    :raises InputError: if it is not a YAML mapping, or a reference leads nowhere.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"the inputs file {path} cannot be read: {error.strerror}.") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} has to be a mapping of input names to values, it is {type(content).__name__}.")
    folder = path.resolve().parent
    return {str(key): _resolve(value, folder) for key, value in content.items()}


def fill_builder(process: type[Process], inputs: Mapping[str, Any]) -> ProcessBuilder:
    """Return a complete, validated builder.

    :raises InputError: for an unknown, missing or unsuitable input; the message names it.
    """
    name = process.__name__
    builder = process.get_builder()
    values = _to_nodes(process.spec().inputs, inputs, "", name)
    try:
        builder._update(values)
        complaint = process.spec().inputs.validate(builder._inputs(prune=True))
    except (ValueError, TypeError) as error:
        raise InputError(f"{name}: {_first_line(error)}") from error
    if complaint is not None:
        place = complaint.port.removeprefix("inputs").removeprefix(".")
        raise InputError(f"{name}: {f'input {place!r}: ' if place else ''}{_first_line(complaint.message)}")
    return builder


def _resolve(value: object, folder: Path) -> object:
    if isinstance(value, dict):
        return {str(key): _resolve(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, folder) for item in value]
    if isinstance(value, str):
        prefix, colon, reference = value.partition(":")
        if colon and prefix in _REFERENCES:
            return _REFERENCES[prefix](reference.strip(), folder)
    return value


def _node(reference: str, _folder: Path) -> orm.Node:
    try:
        return orm.load_node(int(reference) if reference.isdigit() else reference)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        raise InputError(f"there is no single node {reference!r} in this profile.") from error


def _file(reference: str, folder: Path) -> orm.SinglefileData:
    path = folder / Path(reference).expanduser()
    if not path.is_file():
        raise InputError(f"there is no file {path}.")
    return orm.SinglefileData(path)


_REFERENCES: Mapping[str, Callable[[str, Path], Any]] = {
    "code": lambda reference, _folder: load_code(reference),
    "node": _node,
    "pseudos": lambda reference, _folder: dict(load_family(reference).pseudos),
    "file": _file,
}


def _to_nodes(namespace: PortNamespace, inputs: Mapping[str, Any], where: str, name: str) -> dict[str, Any]:
    """Turn plain values into nodes where a port of ``namespace`` takes nothing else."""
    converted: dict[str, Any] = {}
    for key, value in inputs.items():
        place = f"{where}{key}"
        port = namespace.get(key)
        if port is None and not namespace.dynamic:
            close = difflib.get_close_matches(key, namespace, n=1)
            hint = f"did you mean {where}{close[0]}?" if close else f"it takes: {', '.join(sorted(namespace))}."
            raise InputError(f"{name} has no input {place!r}; {hint}")
        if isinstance(port, PortNamespace):
            if not isinstance(value, Mapping):
                raise InputError(f"{name}: input {place!r} is a group of inputs, not {value!r}.")
            converted[key] = _to_nodes(port, value, f"{place}.", name)
        else:
            converted[key] = _to_value(namespace if port is None else port, value, f"{name}: input {place!r}")
    return converted


def _to_value(port: Port, value: object, subject: str) -> object:
    """Return what ``port`` takes; ``subject`` begins the sentence of a complaint."""
    accepted = port.valid_type if isinstance(port.valid_type, tuple) else (port.valid_type,)
    classes = tuple(item for item in accepted if isinstance(item, type))
    if not classes or getattr(port, "serializer", None) not in (None, orm.to_aiida_type):
        return value
    converted = _to_node(classes, value) if any(issubclass(item, orm.Node) for item in classes) else value
    if not isinstance(converted, classes):
        wanted = " or ".join(dict.fromkeys(item.__name__ for item in classes if item is not type(None)))
        raise InputError(f"{subject} takes {wanted}, not {reprlib.repr(value)} ({type(value).__name__}).")
    return converted


def _to_node(classes: tuple[type, ...], value: object) -> object:
    if isinstance(value, orm.Node):
        return value
    # YAML reads `1` as an integer where a length or a temperature was meant.
    if isinstance(value, int) and not isinstance(value, bool) and orm.Float in classes and orm.Int not in classes:
        return orm.Float(value)
    try:
        return orm.to_aiida_type(value)
    except TypeError:
        return value


def _first_line(error: object) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") + "."
