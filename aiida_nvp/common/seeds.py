"""Seeds of single jobs, derived from the one seed that the user gives."""

from __future__ import annotations

import hashlib

_SEED_BITS = 31


def derive_seed(seed: int, *labels: str | int) -> int:
    """Return a seed below 2**31 that depends on ``seed`` and on what it is for, and on nothing else.

    :param labels: what the seed is for, for example ``("train", cycle, member)``.
    """
    text = "/".join(str(part) for part in (seed, *labels))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - _SEED_BITS)
