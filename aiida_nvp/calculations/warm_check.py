"""What a warm start costs in accuracy, as a node: the same member trained from its parent and from random weights."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction

ERROR_INPUT = 210

_PARTS = ("test", "out_of_bag", "validation")
"""Frames that neither training learned from, the least tempting first."""


@calcfunction
def warm_check(warm: orm.Dict, scratch: orm.Dict) -> orm.Dict | ExitCode:
    """Return the force errors of both trainings on the same unseen frames, and their ratio.

    :param warm: results of a training that began with the weights of its parent.
    :param scratch: results of the training of the same member, seed and frames from random weights.
    :return: ``part`` (whose frames), ``frames``, ``warm`` and ``scratch`` (force RMSE, eV/angstrom), ``ratio`` (warm
        over scratch: above 1 the warm start has cost accuracy), ``seconds`` of each training, and a ``sentence``.

    Exit status 210 if the two have no unseen frames in common.
    """
    one, other = warm.get_dict(), scratch.get_dict()
    part = next((name for name in _PARTS if _comparable(one, other, name)), None)
    if part is None:
        return ExitCode(ERROR_INPUT, "the two trainings have no unseen frames in common; they cannot be compared.")
    errors = [float(results["errors"][part]["force_rmse"]) for results in (one, other)]
    ratio = errors[0] / errors[1]
    frames = int(one[f"n_{part}"])
    verdict = "costs accuracy" if ratio > 1 else "costs no accuracy"
    unseen = f"{frames} {part.replace('_', '-')} frames"
    sentence = (
        f"Force error on {unseen}: {errors[0]:.3f} eV/angstrom from the parent, {errors[1]:.3f} from scratch, "
        f"ratio {ratio:.2f}: the warm start {verdict} here."
    )
    seconds = {"warm": one["wall_s"]["train"], "scratch": other["wall_s"]["train"]}
    return orm.Dict(
        {
            "part": part,
            "frames": frames,
            "warm": errors[0],
            "scratch": errors[1],
            "ratio": ratio,
            "seconds": seconds,
            "sentence": sentence,
        }
    )


def _comparable(one: dict[str, Any], other: dict[str, Any], part: str) -> bool:
    counted = one.get(f"n_{part}", 0) == other.get(f"n_{part}", 0) > 0
    found = [results.get("errors", {}).get(part, {}).get("force_rmse") for results in (one, other)]
    return counted and all(value is not None and value > 0 for value in found)
