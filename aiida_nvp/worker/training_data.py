"""The frames of one training in memory, with their neighbour lists made once instead of once an epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from nequip.data.ase import from_ase
from nequip.data.dataset import AtomicDataset
from numpy.typing import NDArray

from aiida_nvp.common.frameset import FrameSet


class FrameSetDataset(AtomicDataset):  # type: ignore[misc]
    """A labelled frame set as nequip wants it.

    :param file_path: frame set on disk.
    :param transforms: nequip's, applied once to each frame (they have no chance in them).
    :param stress: whether the stress labels are kept; all frames need one then.
    """

    def __init__(self, file_path: str, transforms: Sequence[Callable[..., Any]] = (), stress: bool = False) -> None:
        """Read and transform all frames."""
        super().__init__(transforms=list(transforms))
        excluded = [] if stress else ["stress"]
        self._ready = [self._transform(from_ase(atoms, exclude_keys=excluded)) for atoms in FrameSet.load(file_path)]

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self._ready)

    def __getitems__(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> list[dict[str, Any]]:
        """Return frames with all transforms applied."""
        # Positions are copied because the model asks for their gradient in place.
        return [{**data, "pos": data["pos"].clone()} for data in self._get_data_list(indices)]

    def _get_data_list(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> list[dict[str, Any]]:
        if isinstance(indices, slice):
            return self._ready[indices]
        return [self._ready[int(index)] for index in indices]
