"""Where the time went: per stage, from the jobs in the graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from aiida.orm import CalcJobNode, ProcessNode

from aiida_nvp.data.links import jobs_below, process_ref
from aiida_nvp.workflows.continuation import whole_campaign
from aiida_nvp.workflows.spent import busy_cores, program_seconds

STAGES = {
    "label": "Labels",
    "recheck": "Second look at suspect labels",
    "train": "Training",
    "explore": "Exploration MD",
    "review": "Review of the training set",
    "rescore": "Left-over candidates judged anew",
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
    found: dict[str, list[CalcJobNode]] = {}
    for label, child in whole_campaign(node):
        stage = _stage(label)
        if stage is not None:
            found.setdefault(stage, []).extend(jobs_below(child))
    return tuple(_sum(STAGES[stage], found[stage]) for stage in STAGES if found.get(stage))


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
        core_s=sum(seconds * busy_cores(job) for job, seconds in known),
        engine_s=sum(max(0.0, process_ref(job).elapsed_s - seconds) for job, seconds in known),
        reused=len(reused),
        untimed=len(timed) - len(known),
        saved_core_s=sum((program_seconds(job) or 0.0) * busy_cores(job) for job in reused),
    )
