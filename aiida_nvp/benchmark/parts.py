"""Which frames of a file a benchmark learns from, calibrates with and tests on, in and out of distribution."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import reduced_formula
from aiida_nvp.common.frameset import FrameSet

IntArray = NDArray[np.int64]

COMPOSITION = "composition"
_EXPRESSION = re.compile(r"^\s*([\w.-]+)\s*(>=|<=|!=|=|>|<)\s*(.+?)\s*$")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le,
}  # fmt: skip
_SHOWN = 8
FEWEST_FRAMES = 12
"""Labelled frames in distribution, below which nothing is left to learn from, calibrate with and test on."""


@dataclass(frozen=True)
class Parts:
    """Indices into the frames of a file; the four lists are disjoint.

    :param train: learned from; ``held``: in distribution, for calibration and test; ``out``: out of distribution.
    :param groups: (F,) number of the trajectory of each frame; a trajectory lies on one side of every border.
    """

    train: IntArray
    held: IntArray
    out: IntArray
    groups: IntArray

    def halves(self, generator: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Return one random division of ``held`` into frames that calibrate and frames that test, by trajectory."""
        members = np.unique(self.groups[self.held])
        first = generator.permutation(members)[: max(1, len(members) // 2)]
        calibrates = np.isin(self.groups[self.held], first)
        return self.held[calibrates], self.held[~calibrates]


def tags(frames: FrameSet) -> list[dict[str, Any]]:
    """Return what can be asked of each frame: the keys of its info and origin, and its reduced ``composition``.

    Of a foreign file, what its frames were given goes before what the reading of it has noted.
    """
    rows = []
    for index, info in enumerate(frames.info):
        parts = [part for key in ("origin", "given") if isinstance(part := info.get(key), Mapping)]
        known = {key: value for part in (*parts, info) for key, value in part.items()}
        rows.append({**known, COMPOSITION: reduced_formula(frames.numbers[frames.slice_of(index)])})
    return rows


def matches(rows: Sequence[Mapping[str, Any]], expressions: Sequence[str]) -> NDArray[np.bool_]:
    """Return (F,) which frames fulfil any of the expressions, such as ``temperature>2000`` or ``composition=NaO3V``.

    :raises InputError: for an expression that cannot be read or names a key that no frame has.
    """
    found = np.zeros(len(rows), dtype=bool)
    for expression in expressions:
        parsed = _EXPRESSION.match(expression)
        if parsed is None:
            raise InputError(f"`{expression}` is no condition; write KEY=VALUE, KEY>NUMBER or KEY<NUMBER.")
        key, sign, value = parsed.groups()
        if not any(key in row for row in rows):
            known = sorted({name for row in rows for name in row})
            raise InputError(f"`{expression}`: no frame has `{key}`; known are {', '.join(known[:_SHOWN])}.")
        found |= np.array([key in row and _holds(row[key], sign, value, expression) for row in rows], dtype=bool)
    return found


def divide(
    frames: FrameSet, seed: int, train_where: Sequence[str], out_where: Sequence[str], train_share: float
) -> Parts:
    """Divide the frames.

    :param train_where: conditions for frames to learn from; without any, ``train_share`` of the trajectories in
        distribution are drawn with ``seed``.
    :param out_where: conditions for frames out of distribution, which go before the others.
    :raises InputError: if a part would be empty.
    """
    rows = tags(frames)
    out = matches(rows, out_where)
    groups = np.unique([_trajectory(row, index) for index, row in enumerate(rows)], return_inverse=True)[1]
    groups = np.asarray(groups, dtype=np.int64)
    if int((~out).sum()) < FEWEST_FRAMES:
        raise InputError(
            f"{int((~out).sum())} of {len(frames)} frames are in distribution; "
            f"at least {FEWEST_FRAMES} labelled frames are needed to train, calibrate and test."
        )
    if train_where:
        train = matches(rows, train_where) & ~out
    else:
        members = np.unique(groups[~out])
        drawn = np.random.default_rng(seed).permutation(members)[: round(train_share * len(members))]
        train = np.isin(groups, drawn) & ~out
    held = ~train & ~out
    # A trajectory that the model has seen part of is no test, even where a condition would allow it.
    held &= ~np.isin(groups, groups[train])
    if not train.any() or len(np.unique(groups[held])) < 2:  # noqa: PLR2004 - one to calibrate with, one to test on
        raise InputError(
            f"the conditions leave {int(train.sum())} frames to learn from and {int(held.sum())} of other trajectories "
            "to calibrate with and test on; at least one and two are needed."
        )
    return Parts(np.flatnonzero(train), np.flatnonzero(held), np.flatnonzero(out), groups)


def _holds(found: object, sign: str, wanted: str, expression: str) -> bool:
    if sign in "=!=":
        return _COMPARE[sign](str(found), wanted)
    try:
        return _COMPARE[sign](float(str(found)), float(wanted))
    except ValueError as error:
        raise InputError(f"`{expression}` compares numbers, but there is {found!r}.") from error


def _trajectory(row: Mapping[str, Any], index: int) -> str:
    if "trajectory" in row:
        return f"trajectory {row['trajectory']}"
    if "start" in row and "replica" not in row:
        return f"start {row['start']}"
    if "replica" in row:
        return f"replica {row.get('split', '')} {row.get('temperature', '')} {row['replica']}"
    return f"frame {index}"
