"""What the graph knows of one potential: what it learned from, how far off it is, what it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from aiida.common.links import LinkType
from aiida.orm import Dict, ProcessNode, QueryBuilder, SinglefileData

from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import ProcessRef, calls, creator, inputs, output, process_ref
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.model import Values

PARTS = ("test", "out_of_bag", "validation", "train")
"""Parts of the frames whose errors a training measures, the most honest one first."""
_CALIBRATION = re.compile(r"cycle_(\d+)_calibrate(?:_again)?")
_HASH_DIGITS = 12


@dataclass(frozen=True)
class PotentialFacts:
    """One potential and what is found along its links.

    :param level: hash of the level of theory of its labels; None where nobody knows it.
    :param process: what created it, a training or an import; None for one that was only stored.
    :param top: the outermost process around that, a campaign for example.
    :param parent: whose weights the training began from.
    :param dataset: what it was trained on; ``results``: of the training.
    """

    node: PotentialData
    level: str | None
    process: ProcessRef | None
    top: ProcessRef | None
    parent: PotentialData | None
    dataset: DatasetData | None
    results: Values

    @cached_property
    def _calibrated(self) -> tuple[Values, str]:
        return _calibration(self.node, creator(self.node))

    @property
    def calibration(self) -> Values:
        """Newest calibration of its own predictions or, where there is none, of the committees before it."""
        return self._calibrated[0]

    @property
    def calibrated_on(self) -> str:
        """Which of the two, in words."""
        return self._calibrated[1]

    @property
    def card(self) -> str:
        """Card of its maker, if it is foreign and came with one."""
        return _card(creator(self.node)) if self.node.foreign else ""

    @property
    def errors(self) -> list[tuple[str, Mapping[str, float]]]:
        """Errors of the packaged model by part of the frames, the most honest part first."""
        known: Mapping[str, Mapping[str, float]] = self.results.get("errors", {})
        return [(part, known[part]) for part in PARTS if part in known]

    @property
    def level_words(self) -> str:
        """Beginning of the hash of its level of theory, or what is known instead."""
        if self.level is not None:
            return self.level[:_HASH_DIGITS]
        return "foreign" if self.node.foreign else "unknown"

    @property
    def origin_words(self) -> str:
        """Which process made it, and in what."""
        if self.process is None:
            return "stored without a process"
        made = f"{self.process.kind}<{self.process.pk}>"
        return (
            made if self.top is None or self.top.pk == self.process.pk else f"{made} of {self.top.kind}<{self.top.pk}>"
        )

    @property
    def error_words(self) -> str:
        """The most honest force error, eV/angstrom, in one phrase."""
        if not self.errors:
            return "no errors known"
        part, values = self.errors[0]
        return f"{values['force_rmse']:.3f} eV/angstrom on {part.replace('_', ' ')}"


def all_potentials() -> list[PotentialData]:
    """Return the potentials of the profile, oldest first."""
    query = QueryBuilder().append(PotentialData, tag="node").order_by({"node": "id"})
    return cast(list[PotentialData], query.all(flat=True))


def potential_facts(node: PotentialData) -> PotentialFacts:
    """Collect what the links of one potential lead to."""
    process = creator(node)
    dataset = inputs(process, DatasetData).get("frames") if process is not None else None
    level = node.level_of_theory
    if level is None and dataset is not None:
        level = dataset.base.attributes.get("level_of_theory")
    return PotentialFacts(
        node=node,
        level=level,
        process=process_ref(process) if process is not None else None,
        top=process_ref(_top(process)) if process is not None else None,
        parent=inputs(process, PotentialData).get("parent") if process is not None else None,
        dataset=dataset,
        results=_values(output(process, "results", Dict) if dataset is not None else None),
    )


def describe_potential(facts: PotentialFacts) -> list[tuple[str, str]]:
    """Return names and values of what a user asks first of a potential."""
    node = facts.node
    rows = [
        ("uuid", str(node.uuid)),
        ("label", node.label or "none"),
        ("types", f"{' '.join(node.types)} (the order of every engine)"),
        ("cutoff", f"{node.cutoff:g} angstrom"),
        ("level of theory", facts.level_words),
        ("made by", facts.origin_words),
    ]
    if facts.parent is not None:
        rows.append(("started from", f"{facts.parent.pk} ({facts.parent.uuid})"))
    if facts.dataset is not None:
        known = facts.dataset.base.attributes
        rows.append(
            ("trained on", f"{known.get('n_frames')} frames of {' '.join(known.get('species'))}, {facts.dataset.pk}")
        )
    for part, values in facts.errors:
        energy = f"{1000 * values['energy_rmse_per_atom']:.1f} meV an atom"
        rows.append((f"  {part.replace('_', ' ')}", f"forces {values['force_rmse']:.3f} eV/angstrom, energy {energy}"))
    if facts.calibration:
        limits = ", ".join(f"{name} {value:.3g}" for name, value in facts.calibration["thresholds"].items())
        rows.append(("thresholds", f"{limits} eV/angstrom ({facts.calibrated_on})"))
    rows += [
        ("seed", "unknown" if node.seed is None else str(node.seed)),
        ("made with", ", ".join(f"{name} {number}" for name, number in sorted(node.versions.items())) or "unknown"),
        ("sha256", node.sha256),
        ("statistics", "of its training set, stored with it" if node.has_statistics else "none"),
    ]
    return rows


def _top(process: ProcessNode) -> ProcessNode:
    while process.caller is not None:
        process = process.caller
    return process


def _calibration(node: PotentialData, process: ProcessNode | None) -> tuple[Values, str]:
    for evaluation in reversed(evaluations(node)):
        for link in _users(evaluation):
            found = _values(output(link, "result", Dict))
            if link.process_label == "calibrate" and "thresholds" in found:
                return found, "from its own predictions before labelling"
    loop = process.caller.caller if process is not None and process.caller is not None else None
    if loop is None:
        return {}, ""
    rounds = {
        int(match[1]): child for name, child in sorted(calls(loop).items()) if (match := _CALIBRATION.fullmatch(name))
    }
    for cycle in sorted(rounds, reverse=True):
        found = _values(output(rounds[cycle], "result", Dict))
        if "thresholds" in found:
            return found, f"from the committee of cycle {cycle} of the same loop"
    return {}, ""


def evaluations(node: PotentialData) -> list[ProcessNode]:
    """Return the finished evaluations that asked this potential, oldest first."""
    links = node.base.links.get_outgoing(node_class=ProcessNode, link_type=LinkType.INPUT_CALC).all()
    found = [cast(ProcessNode, link.node) for link in links if link.link_label.startswith("committee__")]
    asked = [process for process in found if process.process_label == "EvaluateCalculation"]
    return sorted((each for each in asked if each.is_finished_ok), key=lambda each: int(each.pk or 0))


def _users(evaluation: ProcessNode) -> list[ProcessNode]:
    users: list[ProcessNode] = []
    for link in evaluation.base.links.get_outgoing(link_type=LinkType.CREATE, link_label_filter="predictions").all():
        found = link.node.base.links.get_outgoing(node_class=ProcessNode, link_type=LinkType.INPUT_CALC).all_nodes()
        users += cast(list[ProcessNode], found)
    return users


def _card(process: ProcessNode | None) -> str:
    card = inputs(process, SinglefileData).get("card") if process is not None else None
    return "" if card is None else card.get_content(mode="rb").decode(errors="replace")


def _values(node: Dict | None) -> dict[str, Any]:
    return dict(node.get_dict()) if node is not None else {}
