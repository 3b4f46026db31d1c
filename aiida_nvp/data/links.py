"""Steps along the links of the provenance graph, and nothing else: the only way this package moves through it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar, cast

from aiida.common.links import LinkType
from aiida.orm import CalcJobNode, Data, Node, ProcessNode
from aiida.orm.utils.links import LinkTriple

_INPUT = (LinkType.INPUT_CALC, LinkType.INPUT_WORK)
_OUTPUT = (LinkType.CREATE, LinkType.RETURN)
_CALL = (LinkType.CALL_CALC, LinkType.CALL_WORK)

AnyData = TypeVar("AnyData", bound=Data)


@dataclass(frozen=True)
class NodeRef:
    """How a node is named on a page or in a terminal."""

    pk: int
    uuid: str
    kind: str


@dataclass(frozen=True)
class ProcessRef(NodeRef):
    """A process and how it stands.

    :param state: AiiDA's process state (``finished``, ``running``, ``waiting``, ``excepted``, ``killed``).
    :param exit_status: None while it runs.
    """

    state: str
    exit_status: int | None
    exit_message: str | None
    started: datetime
    changed: datetime

    @property
    def ok(self) -> bool:
        """Whether the process finished with exit code 0."""
        return self.state == "finished" and self.exit_status == 0

    @property
    def ended(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in ("finished", "excepted", "killed")

    @property
    def elapsed_s(self) -> float:
        """Seconds from creation to the last change of the node."""
        return max(0.0, (self.changed - self.started).total_seconds())


def ref(node: Node) -> NodeRef:
    """Return the name of a data node."""
    return NodeRef(pk=int(node.pk or 0), uuid=str(node.uuid), kind=_kind(node))


def process_ref(node: ProcessNode) -> ProcessRef:
    """Return the name and state of a process."""
    state = node.process_state
    return ProcessRef(
        pk=int(node.pk or 0),
        uuid=str(node.uuid),
        kind=_kind(node),
        state=state.value if state is not None else "created",
        exit_status=node.exit_status,
        exit_message=node.exit_message,
        started=node.ctime,
        changed=node.mtime,
    )


def inputs(node: ProcessNode, kind: type[AnyData]) -> dict[str, AnyData]:
    """Return the inputs of one type, by link label and in its order."""
    links = node.base.links.get_incoming(node_class=kind, link_type=_INPUT).all()
    return _by_label(links, kind)


def outputs(node: ProcessNode, kind: type[AnyData]) -> dict[str, AnyData]:
    """Return the outputs of one type, by link label and in its order."""
    links = node.base.links.get_outgoing(node_class=kind, link_type=_OUTPUT).all()
    return _by_label(links, kind)


def output(node: ProcessNode | None, label: str, kind: type[AnyData]) -> AnyData | None:
    """Return the output called ``label``; a process with one output of that type needs no name for it."""
    if node is None:
        return None
    found = outputs(node, kind)
    if label in found:
        return found[label]
    return next(iter(found.values())) if len(found) == 1 else None


def creator(node: Data) -> ProcessNode | None:
    """Return the calculation that created the node, or None for one that was given."""
    link = node.base.links.get_incoming(node_class=ProcessNode, link_type=LinkType.CREATE).first()
    return cast(ProcessNode, link.node) if link is not None else None


def calls(node: ProcessNode) -> dict[str, ProcessNode]:
    """Return the processes called, by call link label, oldest first.

    Of several calls of one label only the last is found; :func:`all_calls` finds all.
    """
    return dict(all_calls(node))


def calls_below(node: ProcessNode) -> list[ProcessNode]:
    """Return every process under ``node``, itself left out."""
    below: list[ProcessNode] = []
    for _, child in all_calls(node):
        below += [child, *calls_below(child)]
    return below


def jobs_below(node: ProcessNode) -> list[CalcJobNode]:
    """Return the jobs under ``node``, or the node itself if it is one."""
    return [each for each in (node, *calls_below(node)) if isinstance(each, CalcJobNode)]


def all_calls(node: ProcessNode) -> list[tuple[str, ProcessNode]]:
    """Return the processes called with their call link labels, oldest first, those that were run again among them."""
    links = node.base.links.get_outgoing(node_class=ProcessNode, link_type=_CALL).all()
    found = [(str(link.link_label), cast(ProcessNode, link.node)) for link in links]
    return sorted(found, key=lambda item: int(item[1].pk or 0))


def _by_label(links: Iterable[LinkTriple], kind: type[AnyData]) -> dict[str, AnyData]:
    found = {str(link.link_label): link.node for link in links}
    return {label: node for label, node in sorted(found.items()) if isinstance(node, kind)}


def _kind(node: Node) -> str:
    if isinstance(node, ProcessNode):
        return str(node.process_label or node.label or type(node).__name__)
    return type(node).__name__
