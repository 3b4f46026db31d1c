"""Which frames come from one trajectory and are therefore no independent evidence about each other."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from aiida_nvp.common.frameset import FrameSet


def trajectory_key(info: Mapping[str, Any], identity: str, box: str = "") -> str:
    """Return what all frames of one trajectory share and survives that a data set grows.

    Steps of a labeller's MD or relaxation share the frame that they began from (its id, so that a label of that frame
    itself belongs to them), frames of an exploration their replica, its start and the seed of the exploration, by which
    the replicas of one cycle differ from those of the next. Any other frame stands alone.

    :param info: of the frame; read is ``origin``.
    :param identity: canonical id of the frame.
    :param box: what replicas of one number in different cells differ by, where no seed tells their explorations apart.
        With a seed it has no part in the key: under a barostat the cell changes from frame to frame.
    """
    origin = info.get("origin")
    if not isinstance(origin, Mapping):
        return identity
    if "replica" in origin:
        # Explorations of before their seed was kept lack it; their frames keep the key they had.
        run = f"seed {origin['seed']}" if "seed" in origin else box
        return f"replica {origin['replica']} start {origin.get('start', '')} {run}".rstrip()
    if "start" not in origin:
        return identity
    start = str(origin["start"])
    before = origin.get("start_origin")
    # An MD run that began on a frame of an exploration is as near to that replica as the frame itself.
    return trajectory_key({"origin": before}, start, box) if isinstance(before, Mapping) else start


def trajectory_keys(frames: FrameSet) -> list[str]:
    """Return the key of each frame; explorations without a seed are told apart by atoms and cell."""
    return [
        trajectory_key(info, identity, _box(frames, index))
        for index, (info, identity) in enumerate(zip(frames.info, frames.ids(), strict=True))
    ]


def _box(frames: FrameSet, index: int) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(frames.numbers[frames.slice_of(index)], dtype="<i4").tobytes())
    digest.update(np.rint(frames.cells[index] * 1e6).astype("<i8").tobytes())
    return digest.hexdigest()[:16]
