"""The fate of every frame that was sent to the labeller: nothing is dropped without a line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from aiida_nvp.common.vocabulary import LabelStatus
from aiida_nvp.labelling.branches import BranchCheck

OVERLAP_ANGSTROM = 0.5
"""Two nuclei closer than this are one mistake, not one configuration."""


@dataclass(frozen=True)
class Rerun:
    """A label made again from another start.

    :param start: name of the start.
    :param process: UUID of the process that ran for it.
    :param calculation: key of the calculation that it gave, or empty.
    :param reason: why it gave none, or empty.
    """

    start: str
    process: str
    calculation: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one frame in the labeller.

    :param frame: its id.
    :param calculations: keys of the calculations whose steps may be taken, in order.
    :param process: UUID of the process that ran for it; empty if none was started.
    :param attempts: how many calculations that process needed.
    :param reason: why it did not end as it should, or empty.
    :param wall_s: seconds from its start to its end.
    :param reused: those of all calculations that were found finished in the profile instead of being run.
    :param cores: cores that each calculation was granted.
    :param reruns: the branch check, if this frame had one.
    """

    frame: str
    calculations: tuple[str, ...] = ()
    process: str = ""
    attempts: int = 0
    reason: str = ""
    wall_s: float | None = None
    reused: tuple[str, ...] = ()
    cores: int = 1
    reruns: tuple[Rerun, ...] = ()

    @property
    def all_calculations(self) -> tuple[str, ...]:
        """Keys of the calculations of the usual start, then of the others."""
        return (*self.calculations, *(rerun.calculation for rerun in self.reruns if rerun.calculation))

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        lists = {"calculations": self.calculations, "reused": self.reused}
        reruns = [asdict(rerun) for rerun in self.reruns]
        return {**asdict(self), **{name: list(keys) for name, keys in lists.items()}, "reruns": reruns}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Outcome:
        """Read what :meth:`plain` wrote."""
        reused = tuple(values.get("reused", ()))
        reruns = tuple(Rerun(**rerun) for rerun in values.get("reruns", ()))
        return replace(cls(**values), calculations=tuple(values["calculations"]), reused=reused, reruns=reruns)


@dataclass(frozen=True)
class Harvest:
    """What one calculation gave.

    :param labels: number of labels taken.
    :param left_out: steps that gave no label: ``{"step", "reason"}``; step None stands for the whole calculation.
    :param code_s: seconds inside the labelling code.
    :param flags: what deserves a look in labels that were taken all the same.
    """

    labels: int = 0
    left_out: Sequence[Mapping[str, Any]] = ()
    code_s: float = 0.0
    flags: Sequence[str] = ()


def triage_row(outcome: Outcome, harvests: Sequence[Harvest] = (), check: BranchCheck | None = None) -> dict[str, Any]:
    """Return one line of the table from what the calculations of a frame gave.

    :param harvests: in the order of ``outcome.all_calculations``.
    :param check: what several starts of the frame say together, if there were several.
    """
    labels = sum(harvest.labels for harvest in harvests)
    left_out = [dict(entry) for harvest in harvests for entry in harvest.left_out]
    ambiguous = check is not None and check.ambiguous
    reason = outcome.reason
    if check is not None and ambiguous:
        status, reason = LabelStatus.AMBIGUOUS, check.sentence
    elif not labels:
        status = LabelStatus.REJECTED
    else:
        status = LabelStatus.RETRIED if outcome.attempts > 1 else LabelStatus.CONVERGED
    if status is LabelStatus.REJECTED and not reason:
        reason = str(left_out[0]["reason"]) if left_out else "the calculation gave no label"
    row: dict[str, Any] = {
        "frame": outcome.frame,
        "status": status.value,
        "reason": reason,
        "process": outcome.process,
        "attempts": outcome.attempts,
        "labels": labels,
        "left_out": left_out,
        "flags": [flag for harvest in harvests for flag in harvest.flags],
        "code_s": round(sum(harvest.code_s for harvest in harvests), 2),
        "reused": len(outcome.reused),
        "saved_core_s": round(outcome.cores * _reused_seconds(outcome, harvests), 2),
    }
    if outcome.reruns:
        row["branch"] = {**(check.plain() if check else {}), "reruns": [asdict(rerun) for rerun in outcome.reruns]}
    return row if outcome.wall_s is None else {**row, "wall_s": round(outcome.wall_s, 2)}


def count_statuses(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of frames by status, and of labels."""
    found = Counter(str(row["status"]) for row in rows)
    counts = {status.value: found[status.value] for status in LabelStatus}
    return {**counts, "frames": len(rows), "labels": sum(int(row["labels"]) for row in rows)}


def count_savings(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what was not computed again: ``frames`` with a reused calculation, and the core seconds it once took."""
    reused = [row for row in rows if row["reused"]]
    return {"frames": len(reused), "core_s": round(sum(float(row["saved_core_s"]) for row in reused), 2)}


def count_checks(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return what the branch check found: frames compared, those ambiguous, and the largest spreads in eV, angstrom.

    ``unchecked`` are those of which no other start gave a label. A frame that stands in several rows counts once, as
    its last row says.
    """
    checked = {str(row["frame"]): row["branch"] for row in rows if "branch" in row}
    compared = [branch for branch in checked.values() if "kept" in branch]
    return {
        "frames": len(compared),
        "unchecked": len(checked) - len(compared),
        "ambiguous": sum(bool(branch["ambiguous"]) for branch in compared),
        "energy_spread": max((float(branch["energy_spread"]) for branch in compared), default=0.0),
        "force_spread": max((float(branch["force_spread"]) for branch in compared), default=0.0),
    }


def _reused_seconds(outcome: Outcome, harvests: Sequence[Harvest]) -> float:
    pairs = zip(outcome.all_calculations, harvests, strict=False)
    return sum(harvest.code_s for key, harvest in pairs if key in outcome.reused)


def overlap(atoms: Atoms) -> str:
    """Return a sentence on the first two atoms that lie on each other, images included, or an empty string."""
    first, second, distance = neighbor_list("ijd", atoms, OVERLAP_ANGSTROM)
    if not len(distance):
        return ""
    worst = int(np.argmin(distance))
    names = [f"{atoms.symbols[int(i)]}{int(i)}" for i in (first[worst], second[worst])]
    return f"{names[0]} and {names[1]} overlap: {distance[worst]:.2f} angstrom apart"


def distinct(ids: Sequence[str]) -> list[int]:
    """Return the index of the first frame of each id, in order."""
    seen: dict[str, int] = {}
    for index, frame in enumerate(ids):
        seen.setdefault(frame, index)
    return list(seen.values())
