"""What the work chains that restart a job share: is there something to go on from, and how does one end."""

from __future__ import annotations

import json
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, ProcessHandlerReport

from aiida_nvp.worker.job import PROGRESS_FILE


def wrote_checkpoint(node: orm.CalcJobNode) -> bool:
    """Return whether the progress file of a job, which every stage retrieves, tells of a checkpoint."""
    retrieved = node.outputs.retrieved if "retrieved" in node.outputs else None
    if retrieved is None or PROGRESS_FILE not in retrieved.base.repository.list_object_names():
        return False
    lines = retrieved.base.repository.get_object_content(PROGRESS_FILE).splitlines()
    return any("checkpoint" in _values(line) for line in lines)


def end_with(code: ExitCode, node: orm.CalcJobNode) -> ProcessHandlerReport:
    """Return the report that ends the work chain with ``code`` and the sentence of the job."""
    return ProcessHandlerReport(True, code.format(message=node.exit_message or ""))


def _values(line: str) -> dict[str, Any]:
    # The last line of a killed job may be half a line.
    try:
        values: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return values
