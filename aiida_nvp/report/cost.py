"""Where the time went: per stage, from the jobs in the graph."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiida.orm import CalcJobNode, Dict, ProcessNode

from aiida_nvp.calculations.base import granted_cores
from aiida_nvp.report.links import calls, inputs, jobs_below, output, process_ref

STAGES = {
    "label": "Labels",
    "recheck": "Second look at suspect labels",
    "train": "Training",
    "explore": "Exploration MD",
    "review": "Review of the training set",
    "predict": "Prediction before labelling",
    "produce": "Production MD",
    "analyse": "Analysis",
}
"""Last word of a call link label to the name of its stage, in data-flow order."""


@dataclass(frozen=True)
class StageCost:
    """Time of one stage, all cycles together.

    :param jobs: number of jobs, those reused from the cache among them.
    :param run_s: seconds inside the programs, summed over jobs.
    :param core_s: the same times the cores at work: those granted, or the processes of a job that runs more.
    :param engine_s: seconds that the jobs existed beyond that: preparing, queueing, polling, retrieving, parsing.
    :param reused: jobs taken over from the cache, which cost nothing; left out of the sums.
    :param saved_core_s: core seconds that those took when they ran.
    :param untimed: jobs that do not say how long their program ran; left out of the sums.
    """

    name: str
    jobs: int
    run_s: float
    core_s: float
    engine_s: float
    reused: int
    untimed: int
    saved_core_s: float = 0.0

    @property
    def timed(self) -> int:
        """Jobs that the sums are over."""
        return self.jobs - self.reused - self.untimed


def cost_by_stage(node: ProcessNode) -> tuple[StageCost, ...]:
    """Return the cost of every stage that has at least one job, in data-flow order."""
    top = calls(node)
    found: dict[str, list[CalcJobNode]] = {}
    for label, child in {**top, **calls(top.get("active_learning", node))}.items():
        stage = _stage(label)
        if stage is not None:
            found.setdefault(stage, []).extend(jobs_below(child))
    return tuple(_sum(STAGES[stage], found[stage]) for stage in STAGES if found.get(stage))


def program_seconds(job: CalcJobNode) -> float | None:
    """Return how long the program of a job ran, as far as its outputs say."""
    for label, key in (("output_parameters", "wall_time_seconds"), ("results", "wall_s")):
        values = output(job, label, Dict)
        found = _seconds(values.get_dict(), key) if values is not None else None
        if found is not None:
            return found
    return _last_progress(job)


def _seconds(values: Mapping[str, Any], key: str) -> float | None:
    found = values.get(key, values.get("totals", {}).get(key) if isinstance(values.get("totals"), Mapping) else None)
    if isinstance(found, Mapping):
        return float(sum(found.values()))
    return float(found) if isinstance(found, int | float) else None


def _stage(label: str) -> str | None:
    words = re.sub(r"_\d+$", "", label).split("_")
    return words[-1] if words[-1] in STAGES else None


def _sum(name: str, jobs: Sequence[CalcJobNode]) -> StageCost:
    reused = [job for job in jobs if job.base.caching.is_created_from_cache]
    timed = [(job, program_seconds(job)) for job in jobs if not job.base.caching.is_created_from_cache]
    known = [(job, seconds) for job, seconds in timed if seconds is not None]
    return StageCost(
        name=name,
        jobs=len(jobs),
        run_s=sum(seconds for _, seconds in known),
        core_s=sum(seconds * _cores(job) for job, seconds in known),
        engine_s=sum(max(0.0, process_ref(job).elapsed_s - seconds) for job, seconds in known),
        reused=len(reused),
        untimed=len(timed) - len(known),
        saved_core_s=sum((program_seconds(job) or 0.0) * _cores(job) for job in reused),
    )


def _cores(job: CalcJobNode) -> int:
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
