"""A data set of frames as one AiiDA node."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from aiida.orm import Data
from aiida.orm.nodes.caching import NodeCaching

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet


class _ContentCaching(NodeCaching):
    """Hash what the frames are, not which run made them: UUIDs differ between equal runs."""

    def get_objects_to_hash(self) -> dict[str, Any]:
        objects = super().get_objects_to_hash()
        objects["repository_hash"] = self._node.base.attributes.get("content_hash")
        return objects


class DatasetData(Data):
    """Frames with or without labels, stored as ``frames.npz``; where each came from as UUIDs in ``sources.json``.

    Two data sets with equal frames, labels and origins have equal hashes, whichever processes made them.

    :param frames: the frames.
    :param sources: one mapping a frame, for example ``{"label": uuid, "explore": uuid, "potential": uuid}``.
    :raises InputError: if the number of sources differs from the number of frames.
    """

    _CLS_NODE_CACHING = _ContentCaching
    FRAMES_FILE = "frames.npz"
    SOURCES_FILE = "sources.json"

    def __init__(self, frames: FrameSet, sources: Sequence[Mapping[str, str]] | None = None, **kwargs: Any) -> None:
        """Write the two files and the attributes that make the node queryable."""
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        origins = [dict(entry) for entry in sources] if sources is not None else [{} for _ in range(len(frames))]
        if len(origins) != len(frames):
            raise InputError(f"data set: {len(origins)} sources for {len(frames)} frames.")
        self.base.repository.put_object_from_bytes(frames.to_bytes(), self.FRAMES_FILE)
        text = json.dumps(origins, sort_keys=True)
        self.base.repository.put_object_from_bytes(text.encode(), self.SOURCES_FILE)
        for key, value in _describe(frames).items():
            self.base.attributes.set(key, value)

    def _validate(self) -> bool:
        super()._validate()
        described = _describe(self.frames)
        for key, value in described.items():
            if self.base.attributes.get(key, None) != value:
                raise InputError(f"data set: attribute `{key}` does not describe the frames stored beside it.")
        return True

    @property
    def frames(self) -> FrameSet:
        """The stored frames.

        :raises InputError: if the stored file is damaged or gone.
        """
        try:
            content = self.base.repository.get_object_content(self.FRAMES_FILE, mode="rb")
        except OSError as error:
            raise InputError(
                f"data set <{self.pk}>: the repository has lost its {self.FRAMES_FILE} ({error})."
            ) from error
        return FrameSet.load(io.BytesIO(content))

    @property
    def sources(self) -> list[dict[str, str]]:
        """UUIDs of the processes and potentials behind each frame."""
        stored: list[dict[str, str]] = json.loads(self.base.repository.get_object_content(self.SOURCES_FILE, mode="r"))
        return stored

    def __len__(self) -> int:
        """Return the number of frames."""
        return int(self.base.attributes.get("n_frames"))


def _describe(frames: FrameSet) -> dict[str, Any]:
    return {
        "n_frames": len(frames),
        "n_atoms": len(frames.numbers),
        "species": frames.species(),
        "compositions": dict(sorted(Counter(atoms.get_chemical_formula() for atoms in frames).items())),
        "labelled": frames.labelled,
        "level_of_theory": frames.level_of_theory,
        "content_hash": frames.content_hash,
    }
