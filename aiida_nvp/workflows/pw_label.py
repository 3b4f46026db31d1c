"""pw.x as a labeller: a relaxation that used up its steps has done its work."""

from __future__ import annotations

from aiida.engine import ProcessHandlerReport, process_handler
from aiida.orm import CalcJobNode
from aiida_quantumespresso.calculations.pw import PwCalculation
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

_EXIT = PwCalculation.exit_codes
ENDED_WITHOUT_MINIMUM = (
    _EXIT.ERROR_IONIC_CYCLE_EXCEEDED_NSTEP,
    _EXIT.ERROR_IONIC_CONVERGENCE_NOT_REACHED,
    _EXIT.ERROR_IONIC_CYCLE_BFGS_HISTORY_FAILURE,
)


class PwLabelWorkChain(PwBaseWorkChain):
    """``PwBaseWorkChain`` that takes the steps of a relaxation as labels and asks for no minimum."""

    @process_handler(priority=610, exit_codes=list(ENDED_WITHOUT_MINIMUM))
    def accept_unfinished_relaxation(self, calculation: CalcJobNode) -> ProcessHandlerReport:
        """Finish normally: every ionic step up to here is a label."""
        self.ctx.is_finished = True
        self.report(f"{calculation.process_label}<{calculation.pk}> gave labels; a minimum was not asked for")
        return ProcessHandlerReport(True)
