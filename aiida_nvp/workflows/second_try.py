"""One more attempt for a worker job that was killed: whoever killed it, the job itself is rarely at fault."""

from __future__ import annotations

from typing import cast

from aiida.engine import CalcJob, ToContext, WorkChain
from aiida.orm import CalcJobNode

from aiida_nvp.calculations.base import WorkerCalculation

_CODES = WorkerCalculation.exit_codes
KILLED = frozenset(
    code.status
    for code in (
        _CODES.ERROR_WORKER_KILLED,
        CalcJob.exit_codes.ERROR_SCHEDULER_NODE_FAILURE,
    )
)


class SecondTry(WorkChain):
    """A work chain whose own jobs get a second try; put :meth:`run_again` between their start and their inspection.

    Trainings and production runs, which have checkpoints to go on from, have work chains of their own instead.
    """

    def run_again(self) -> ToContext:
        """Submit each job that was killed once more, under the same link label: the last of that name counts."""
        children = {key: node for key, node in self.ctx.items() if isinstance(node, CalcJobNode)}
        killed = {key: node for key, node in children.items() if node.exit_status in KILLED}
        return ToContext(**{key: self._submit_again(node) for key, node in killed.items()})

    def _submit_again(self, node: CalcJobNode) -> CalcJobNode:
        link = node.base.links.get_incoming(node_class=type(self.node)).one()
        builder = node.get_builder_restart()
        builder.metadata.call_link_label = link.link_label
        self.report(f"{link.link_label}<{node.pk}> was killed; trying once more")
        return cast(CalcJobNode, self.submit(builder))
