"""What an import noticed and is no error: sentences on its node, where commands find them."""

from __future__ import annotations

from collections.abc import Sequence

from aiida.engine import Process

REMARKS = "aiida_nvp_remarks"
"""Extra of the process that holds the sentences."""


def remark(sentences: Sequence[str]) -> None:
    """Leave sentences on the node of the running process."""
    process = Process.current()
    if process is not None and sentences:
        process.node.base.extras.set(REMARKS, list(sentences))
