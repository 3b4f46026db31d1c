"""What jobs cost: read from the graph, where programs left their times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from aiida.orm import CalcJobNode, Dict

from aiida_nvp.calculations.base import granted_cores
from aiida_nvp.data.links import inputs, output


def core_seconds(jobs: Iterable[CalcJobNode]) -> float:
    """Return seconds times cores of the jobs whose time is known; what came from the cache cost nothing."""
    paid = [job for job in jobs if not job.base.caching.is_created_from_cache]
    return sum((program_seconds(job) or 0.0) * busy_cores(job) for job in paid)


def program_seconds(job: CalcJobNode) -> float | None:
    """Return how long the program of a job ran, as far as its outputs say."""
    for label, key in (("output_parameters", "wall_time_seconds"), ("results", "wall_s")):
        values = output(job, label, Dict)
        found = _seconds(values.get_dict(), key) if values is not None else None
        if found is not None:
            return found
    return _last_progress(job)


def busy_cores(job: CalcJobNode) -> int:
    """Return the cores at work: those granted, or the processes of a job that runs more."""
    return max(granted_cores(job.get_option("resources") or {}), _processes(job))


def _processes(job: CalcJobNode) -> int:
    """Return how many processes an exploration spread its replicas over; every other job is one."""
    parameters = inputs(job, Dict).get("parameters")
    values = parameters.get_dict() if parameters is not None else {}
    if "replicas" not in values:
        return 1
    return min(int(values.get("processes", 1)), int(values["replicas"]))


def _last_progress(job: CalcJobNode) -> float | None:
    """Read the clock of a worker program that left no result, from its last sign of life."""
    folder = job.outputs.retrieved if "retrieved" in job.outputs else None
    if folder is None or "progress.jsonl" not in folder.base.repository.list_object_names():
        return None
    lines = folder.base.repository.get_object_content("progress.jsonl").strip().splitlines()
    try:
        return float(json.loads(lines[-1])["elapsed_s"])
    except (IndexError, KeyError, ValueError):
        return None


def _seconds(values: Mapping[str, Any], key: str) -> float | None:
    found = values.get(key, values.get("totals", {}).get(key) if isinstance(values.get("totals"), Mapping) else None)
    if isinstance(found, Mapping):
        return float(sum(found.values()))
    return float(found) if isinstance(found, int | float) else None
