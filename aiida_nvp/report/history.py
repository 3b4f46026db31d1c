"""The history of one training frame, and how it is told: in one line, or in full."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiida_nvp.data.links import NodeRef, ProcessRef

_UNITS = {"replica": "", "step": "", "time_ps": " ps", "temperature": " K", "score": " eV/angstrom"}
_COMMITTEE = "committee__"
_PSEUDOS = "pseudos__"


@dataclass(frozen=True)
class LabelSource:
    """The calculation that made a label.

    :param step: ionic step of the calculation, from 0.
    :param inputs: its inputs by link label.
    """

    calculation: ProcessRef
    step: int
    trajectory: NodeRef
    inputs: Mapping[str, NodeRef]


@dataclass(frozen=True)
class Proposal:
    """What put the start geometry of the labelling calculation forward.

    :param process: an exploration or a generator; None for frames that the user gave.
    :param info: what that process says of the frame: kind, replica, MD step, time, temperature, score, reason.
    :param committee: potentials that drove and judged the exploration, by link label.
    """

    process: ProcessRef | None
    dataset: NodeRef
    info: Mapping[str, Any]
    committee: Mapping[str, NodeRef]

    @property
    def members(self) -> list[tuple[str, NodeRef]]:
        """The committee by name in its own order: the first member drove the run, all of them judged it."""
        named = [(label.removeprefix(_COMMITTEE), node) for label, node in self.committee.items()]
        return sorted(named, key=lambda item: (len(item[0]), item[0]))


@dataclass(frozen=True)
class Lineage:
    """The history of one frame; complete when ``misses`` is empty.

    :param hops: processes passed on the way, from the data set back.
    :param misses: one sentence for each place where the trail was lost.
    """

    index: int
    frame_id: str
    formula: str
    dataset: NodeRef
    label: LabelSource | None
    proposal: Proposal | None
    hops: tuple[ProcessRef, ...]
    misses: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The history in one line."""
        if self.misses:
            return f"{self._head}: {' '.join(self.misses)}"
        label = "no label" if self.label is None else f"labelled by {_label_words(self.label)}"
        return f"{self._head}: {label}; {_proposal_words(self.proposal)}."

    @property
    def story(self) -> str:
        """The history in full, one line for each thing a user may want to look up."""
        rows: list[tuple[str, str]] = []
        if self.label is not None:
            rows.append(("labelled by", _label_words(self.label)))
            rows += [("" if row else "its inputs", words) for row, words in enumerate(_input_words(self.label.inputs))]
        if self.proposal is not None:
            rows += _proposal_rows(self.proposal)
        rows += [("lost", miss) for miss in self.misses]
        return "\n".join([self._head, *(f"  {name:<12} {words}" for name, words in rows)])

    @property
    def _head(self) -> str:
        return f"Frame {self.index} ({self.formula}, {self.frame_id[:12]})"


def _label_words(label: LabelSource) -> str:
    return f"{_name(label.calculation)}, ionic step {label.step}"


def _input_words(inputs: Mapping[str, NodeRef]) -> list[str]:
    """Return one entry an input; pseudopotentials of all species share one."""
    pseudos = {label.removeprefix(_PSEUDOS): node for label, node in inputs.items() if label.startswith(_PSEUDOS)}
    words = [f"{label} {_name(node)}" for label, node in inputs.items() if not label.startswith(_PSEUDOS)]
    words += ["pseudos " + ", ".join(f"{symbol} {_name(node)}" for symbol, node in pseudos.items())] if pseudos else []
    return words


def _proposal_words(proposal: Proposal | None) -> str:
    if proposal is None:
        return "origin unknown"
    if proposal.process is None:
        return f"start geometry given by the user in {_name(proposal.dataset)}"
    said = _origin_words(proposal.info)
    said += [str(proposal.info["reason"])] if proposal.info.get("reason") else []
    words = f"proposed by {_name(proposal.process)} ({', '.join(said)})"
    if proposal.members:
        name, driver = proposal.members[0]
        words += f" with {name} <{driver.pk}> of {len(proposal.members)}"
    return words


def _proposal_rows(proposal: Proposal) -> list[tuple[str, str]]:
    if proposal.process is None:
        return [("begun from", f"a geometry that the user gave in {_name(proposal.dataset)}")]
    rows = [("proposed by", f"{_name(proposal.process)}: {', '.join(_origin_words(proposal.info))}")]
    if proposal.members:
        members = ", ".join(f"{name} <{node.pk}>" for name, node in proposal.members)
        rows.append(("potentials", f"{members}; {proposal.members[0][0]} drove the run"))
    why = proposal.info.get("reason") or "a cell to begin with"
    rows.append(("why", f"{why}; kept in {_name(proposal.dataset)}"))
    return rows


def _origin_words(info: Mapping[str, Any]) -> list[str]:
    words = [str(info.get("kind", "frame"))]
    words += [str(info["name"])] if info.get("name") else []
    for key, unit in _UNITS.items():
        if isinstance(info.get(key), int | float):
            words.append(f"{key.removesuffix('_ps')} {_number(info[key])}{unit}")
    return words


def _number(value: float) -> str:
    # A step is exact, however large; what was computed is not.
    return str(value) if isinstance(value, int) else f"{value:.4g}"


def _name(node: NodeRef) -> str:
    return f"{node.kind}<{node.pk}>"
