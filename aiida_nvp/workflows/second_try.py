"""One more attempt for a worker job that was killed: whoever killed it, the job itself is rarely at fault."""

from __future__ import annotations

from typing import cast

from aiida.engine import CalcJob, ToContext, WorkChain
from aiida.orm import CalcJobNode, ProcessNode

from aiida_nvp.calculations.base import WorkerCalculation
from aiida_nvp.calculations.explore import ExploreCalculation

_CODES = WorkerCalculation.exit_codes
KILLED = frozenset(
    code.status
    for code in (
        _CODES.ERROR_WORKER_KILLED,
        CalcJob.exit_codes.ERROR_SCHEDULER_NODE_FAILURE,
    )
)


_STOPPED = ExploreCalculation.exit_codes.ERROR_EXPLORATION_STOPPED.status


class SecondTry(WorkChain):
    """A work chain whose own jobs get a second try; put :meth:`run_again` between their start and their inspection.

    Where an exploration is among the jobs, put ``while_(cls.has_unfinished)(cls.run_again)`` there: a stopped one goes
    on from its checkpoint as long as that brings it forward. Trainings and production runs have work chains of their
    own instead.
    """

    def has_unfinished(self) -> bool:
        """Whether another attempt could make a difference to one of the jobs."""
        return bool(self._unfinished())

    def run_again(self) -> ToContext:
        """Submit each job that was killed or stopped once more, under the same link label: the last of it counts."""
        return ToContext(**{key: self._submit_again(node) for key, node in self._unfinished().items()})

    def _unfinished(self) -> dict[str, CalcJobNode]:
        children = {key: node for key, node in self.ctx.items() if isinstance(node, CalcJobNode)}
        return {key: node for key, node in children.items() if self._deserves_another(node)}

    def _deserves_another(self, node: CalcJobNode) -> bool:
        if node.exit_status in KILLED:
            return _link_label(node, self.node) not in self.ctx.get("tried_again", [])
        return node.process_label == ExploreCalculation.__name__ and node.exit_status == _STOPPED and _moved_on(node)

    def _submit_again(self, node: CalcJobNode) -> CalcJobNode:
        label = _link_label(node, self.node)
        builder = node.get_builder_restart()
        builder.metadata.call_link_label = label
        if node.exit_status in KILLED:
            self.ctx.tried_again = [*self.ctx.get("tried_again", []), label]
            self.report(f"{label}<{node.pk}> was killed; trying once more")
        else:
            builder.restart = node.outputs.remote_folder
            self.report(f"{label}<{node.pk}> was stopped; going on from its checkpoint")
        return cast(CalcJobNode, self.submit(builder))


def _link_label(node: CalcJobNode, parent: ProcessNode) -> str:
    label: str = node.base.links.get_incoming(node_class=type(parent)).one().link_label
    return label


def _moved_on(node: CalcJobNode) -> bool:
    """Return whether a stopped exploration came further than the one it went on from."""
    before = node.inputs.restart.creator.outputs.results["totals"]["steps"] if "restart" in node.inputs else 0
    return bool(node.outputs.results["totals"]["steps"] > before)
