"""Arrays of a worker as a node."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from aiida import orm


def read_arrays(file: Path) -> orm.ArrayData:
    """Return all arrays of an npz file.

    :raises OSError: if the file is missing; ``ValueError`` if it is damaged.
    """
    node = orm.ArrayData()
    with np.load(file, allow_pickle=False) as stored:
        for name in stored.files:
            node.set_array(name, stored[name])
    return node
