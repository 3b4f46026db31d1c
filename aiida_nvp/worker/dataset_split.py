"""Which frames a committee member trains on, validates on and never sees: decided frame by frame from a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from aiida_nvp.common.errors import InputError

_MINIMUM_FRAMES = 2


@dataclass(frozen=True)
class Split:
    """Indices into the frames that were split; the three lists are disjoint and cover all frames."""

    train: tuple[int, ...]
    validation: tuple[int, ...]
    out_of_bag: tuple[int, ...]


def split_frames(ids: Sequence[str], seed: int, bag_fraction: float, validation_fraction: float) -> Split:
    """Return the split of one member.

    Each decision depends on the id of the frame and the seed alone: a frame keeps its place as the set grows, and the
    order of the frames does not count. Where chance leaves a part empty, the frame nearest to the border moves
    over, so that at least one frame trains and at least one validates.

    :param ids: canonical frame ids.
    :param seed: seed of the member.
    :param bag_fraction: expected share of the frames that the member sees, in (0, 1].
    :param validation_fraction: expected share of those that it validates on instead of learning from.
    :raises InputError: for fewer than two different frames.
    """
    if len(set(ids)) < _MINIMUM_FRAMES:
        raise InputError(
            f"a training needs at least two different frames, one to learn and one to validate; got {len(set(ids))}."
        )
    bag_draw = {identity: _draw(identity, seed, "bag") for identity in ids}
    by_draw = sorted(bag_draw, key=lambda identity: bag_draw[identity])
    bag = {identity for identity in by_draw if bag_draw[identity] < bag_fraction} | set(by_draw[:_MINIMUM_FRAMES])

    validation_draw = {identity: _draw(identity, seed, "validation") for identity in bag}
    ranked = sorted(bag, key=lambda identity: validation_draw[identity])
    held = {identity for identity in ranked if validation_draw[identity] < validation_fraction}
    held = (held | {ranked[0]}) - {ranked[-1]}
    return Split(
        train=tuple(i for i, identity in enumerate(ids) if identity in bag and identity not in held),
        validation=tuple(i for i, identity in enumerate(ids) if identity in held),
        out_of_bag=tuple(i for i, identity in enumerate(ids) if identity not in bag),
    )


def _draw(identity: str, seed: int, purpose: str) -> float:
    digest = hashlib.sha256(f"{purpose}:{seed}:{identity}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
