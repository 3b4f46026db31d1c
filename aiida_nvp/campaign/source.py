"""The text of a campaign file: where each part of it stands, for messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from aiida_nvp.common.errors import InputError

Location = Sequence[str | int]


@dataclass(frozen=True)
class Source:
    """A campaign file that is YAML.

    :param path: of the file.
    :param root: its nodes, which know their lines.
    """

    path: Path
    root: yaml.Node | None = field(repr=False, compare=False)

    @classmethod
    def read(cls, path: Path) -> Source:
        """Read the file.

        :raises InputError: if it is missing, or with the line where it is not YAML.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"no campaign file at {path}: {error.strerror}.") from error
        try:
            return cls(path, yaml.compose(text, Loader=yaml.SafeLoader))
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark else 1
            raise InputError(f"{path}:{line}: not YAML: {getattr(error, 'problem', error)}.") from error

    def line(self, location: Location) -> int:
        """Return the line of the deepest part of ``location`` that the file has."""
        node = self.root
        line = 1 if node is None else node.start_mark.line + 1
        for step in location:
            child: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(step):
                        line, child = key.start_mark.line + 1, value
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                child = node.value[step]
                line = child.start_mark.line + 1
            if child is None:
                break
            node = child
        return line

    def place(self, *location: str | int) -> str:
        """Return ``file:line: key``, with which a message about ``location`` begins."""
        return f"{self.path}:{self.line(location)}: {'.'.join(map(str, location))}"
