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

OVERLAP_ANGSTROM = 0.5
"""Two nuclei closer than this are one mistake, not one configuration."""


@dataclass(frozen=True)
class Outcome:
    """What became of one frame in the labeller.

    :param frame: its id.
    :param calculations: keys of the calculations whose steps may be taken, in order.
    :param process: UUID of the process that ran for it; empty if none was started.
    :param attempts: how many calculations that process needed.
    :param reason: why it did not end as it should, or empty.
    :param wall_s: seconds from its start to its end.
    """

    frame: str
    calculations: tuple[str, ...] = ()
    process: str = ""
    attempts: int = 0
    reason: str = ""
    wall_s: float | None = None

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {**asdict(self), "calculations": list(self.calculations)}

    @classmethod
    def from_plain(cls, values: Mapping[str, Any]) -> Outcome:
        """Read what :meth:`plain` wrote."""
        return replace(cls(**values), calculations=tuple(values["calculations"]))


@dataclass(frozen=True)
class Harvest:
    """What one calculation gave.

    :param labels: number of labels taken.
    :param left_out: steps that gave no label: ``{"step", "reason"}``; step None stands for the whole calculation.
    :param code_s: seconds inside the labelling code.
    """

    labels: int = 0
    left_out: Sequence[Mapping[str, Any]] = ()
    code_s: float = 0.0


def triage_row(outcome: Outcome, harvests: Sequence[Harvest] = ()) -> dict[str, Any]:
    """Return one line of the table from what all calculations of a frame gave."""
    labels = sum(harvest.labels for harvest in harvests)
    left_out = [dict(entry) for harvest in harvests for entry in harvest.left_out]
    if not labels:
        status = LabelStatus.REJECTED
    else:
        status = LabelStatus.RETRIED if outcome.attempts > 1 else LabelStatus.CONVERGED
    reason = outcome.reason
    if not labels and not reason:
        reason = str(left_out[0]["reason"]) if left_out else "the calculation gave no label"
    row = {
        "frame": outcome.frame,
        "status": status.value,
        "reason": reason,
        "process": outcome.process,
        "attempts": outcome.attempts,
        "labels": labels,
        "left_out": left_out,
        "code_s": round(sum(harvest.code_s for harvest in harvests), 2),
    }
    return row if outcome.wall_s is None else {**row, "wall_s": round(outcome.wall_s, 2)}


def count_statuses(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the number of frames by status, and of labels."""
    found = Counter(str(row["status"]) for row in rows)
    counts = {status.value: found[status.value] for status in LabelStatus}
    return {**counts, "frames": len(rows), "labels": sum(int(row["labels"]) for row in rows)}


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
