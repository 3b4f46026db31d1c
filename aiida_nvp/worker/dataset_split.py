"""Which frames a committee member trains on, validates on and never sees: decided frame by frame from a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

_MINIMUM_FRAMES = 2


@dataclass(frozen=True)
class Split:
    """Indices into the frames that were split; the lists are disjoint and cover all frames."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    out_of_bag: tuple[int, ...]
    test: tuple[int, ...] = ()

    def codes(self) -> NDArray[np.int8]:
        """Return (F,) where each frame went: 0 train, 1 validation, 2 out of bag, 3 test."""
        parts = (self.train, self.validation, self.out_of_bag, self.test)
        codes = np.empty(sum(map(len, parts)), dtype=np.int8)
        for code, part in enumerate(parts):
            codes[list(part)] = code
        return codes


def frozen_test(trajectories: Sequence[str], test_fraction: float) -> tuple[int, ...]:
    """Return the frames that no member may see: whole trajectories, drawn by their key alone.

    No seed enters and no other frame counts, so that the same frames are left out for all members and as the set grows.

    :param trajectories: key of the trajectory of each frame.
    :param test_fraction: expected share of the trajectories.
    """
    return tuple(i for i, key in enumerate(trajectories) if _share(f"test:{key}") < test_fraction)


def split_frames(
    ids: Sequence[str], seed: int, bag_fraction: float, validation_fraction: float, test: Collection[int] = ()
) -> Split:
    """Return the split of one member.

    Each decision depends on the id of the frame and the seed alone: a frame keeps its place as the set grows, and the
    order of the frames does not count. Where chance leaves a part empty, the frame nearest to the border moves
    over, so that at least one frame trains and at least one validates.

    :param ids: canonical frame ids.
    :param seed: seed of the member.
    :param bag_fraction: expected share of the frames that the member sees, in (0, 1].
    :param validation_fraction: expected share of those that it validates on instead of learning from.
    :param test: indices of frames that the member may not see, of :func:`frozen_test`.
    :raises InputError: for fewer than two different frames outside the test.
    """
    hidden = {ids[index] for index in test}
    open_ids = set(ids) - hidden
    if len(open_ids) < _MINIMUM_FRAMES:
        beside = f" beside {len(hidden)} of the test (`committee.test_fraction`)" if hidden else ""
        raise InputError(
            "a training needs at least two different frames, one to learn and one to validate; "
            f"got {len(open_ids)}{beside}."
        )
    bag_draw = {identity: _draw(identity, seed, "bag") for identity in open_ids}
    by_draw = sorted(bag_draw, key=lambda identity: bag_draw[identity])
    bag = {identity for identity in by_draw if bag_draw[identity] < bag_fraction} | set(by_draw[:_MINIMUM_FRAMES])

    validation_draw = {identity: _draw(identity, seed, "validation") for identity in bag}
    ranked = sorted(bag, key=lambda identity: validation_draw[identity])
    held = {identity for identity in ranked if validation_draw[identity] < validation_fraction}
    held = (held | {ranked[0]}) - {ranked[-1]}
    return Split(
        train=tuple(i for i, identity in enumerate(ids) if identity in bag and identity not in held),
        validation=tuple(i for i, identity in enumerate(ids) if identity in held),
        out_of_bag=tuple(i for i, identity in enumerate(ids) if identity not in bag | hidden),
        test=tuple(i for i, identity in enumerate(ids) if identity in hidden),
    )


def _draw(identity: str, seed: int, purpose: str) -> float:
    return _share(f"{purpose}:{seed}:{identity}")


def _share(text: str) -> float:
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
