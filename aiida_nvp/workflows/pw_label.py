"""pw.x as a labeller: what ends well for a label, and what is tried when it does not."""

from __future__ import annotations

from aiida.engine import ExitCode, ProcessHandlerReport, process_handler
from aiida.orm import CalcJobNode
from aiida_quantumespresso.calculations.pw import PwCalculation
from aiida_quantumespresso.common.types import RestartType
from aiida_quantumespresso.workflows.pw.base import PwBaseWorkChain

from aiida_nvp.labelling.scf_remedies import scf_remedy

_EXIT = PwCalculation.exit_codes
ENDED_WITHOUT_MINIMUM = (
    _EXIT.ERROR_IONIC_CYCLE_EXCEEDED_NSTEP,
    _EXIT.ERROR_IONIC_CONVERGENCE_NOT_REACHED,
    _EXIT.ERROR_IONIC_CYCLE_BFGS_HISTORY_FAILURE,
)
LOST_ON_THE_WAY = (
    _EXIT.ERROR_SCHEDULER_NODE_FAILURE,
    _EXIT.ERROR_SCHEDULER_OUT_OF_WALLTIME,
    _EXIT.ERROR_NO_RETRIEVED_FOLDER,
    _EXIT.ERROR_OUTPUT_XML_MISSING,
    _EXIT.ERROR_OUTPUT_STDOUT_MISSING,
    _EXIT.ERROR_OUTPUT_STDOUT_INCOMPLETE,
    _EXIT.ERROR_OUTPUT_FILES,
)
SECOND_TRIES = 1
LEAN_MIXING_NDIM = 4


class PwLabelWorkChain(PwBaseWorkChain):
    """``PwBaseWorkChain`` that asks for no minimum and tries the remedies of a label in their documented order."""

    def setup(self) -> None:
        """Begin with no remedy used."""
        super().setup()
        self.ctx.remedies = 0
        self.ctx.detour_from = None
        self.ctx.second_tries = 0
        self.ctx.leaner = False

    def inspect_process(self) -> ExitCode | None:
        """Keep a failed job from being taken for a finished label later: caching would hand it out again."""
        calculation = self.ctx.children[self.ctx.iteration - 1]
        if not calculation.is_finished_ok and calculation.exit_status not in {c.status for c in ENDED_WITHOUT_MINIMUM}:
            calculation.base.caching.is_valid_cache = False
        return super().inspect_process()

    @process_handler(priority=610, exit_codes=list(ENDED_WITHOUT_MINIMUM))
    def accept_unfinished_relaxation(self, calculation: CalcJobNode) -> ProcessHandlerReport:
        """Finish normally: every ionic step up to here is a label."""
        self.ctx.is_finished = True
        self.report(f"{calculation.process_label}<{calculation.pk}> gave labels; a minimum was not asked for")
        return ProcessHandlerReport(True)

    @process_handler(priority=600, exit_codes=[ExitCode(0)])
    def return_from_detour(self, calculation: CalcJobNode) -> ProcessHandlerReport | None:
        """Go on from the density of a detour with the parameters that were asked for."""
        if self.ctx.detour_from is None:
            return None
        self.ctx.inputs.parameters = self.ctx.detour_from
        self.ctx.detour_from = None
        self.set_restart_type(RestartType.FROM_CHARGE_DENSITY, calculation.outputs.remote_folder)
        self.report(f"{calculation.process_label}<{calculation.pk}> gave a density; going on with the asked smearing")
        return ProcessHandlerReport(True)

    @process_handler(priority=415, exit_codes=[_EXIT.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED])
    def try_next_remedy(self, calculation: CalcJobNode) -> ProcessHandlerReport:
        """Begin anew with the next change of the self-consistent cycle."""
        remedy = scf_remedy(self.ctx.remedies, self.ctx.inputs.parameters)
        if remedy is None or self.ctx.detour_from is not None:
            self.report(f"{calculation.process_label}<{calculation.pk}> did not converge; no remedy is left")
            return ProcessHandlerReport(True, _EXIT.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED)
        self.ctx.remedies += 1
        if remedy.detour:
            self.ctx.detour_from = self.ctx.inputs.parameters
        self.ctx.inputs.parameters = remedy.parameters
        self.set_restart_type(RestartType.FROM_SCRATCH)
        self.report(f"{calculation.process_label}<{calculation.pk}> did not converge; next: {remedy.name}")
        return ProcessHandlerReport(True)

    @process_handler(priority=620, exit_codes=[_EXIT.ERROR_SCHEDULER_OUT_OF_MEMORY])
    def need_less_memory(self, calculation: CalcJobNode) -> ProcessHandlerReport:
        """Begin anew with a shorter mixing history and Davidson's smallest work space, once."""
        if self.ctx.leaner:
            return ProcessHandlerReport(True, _EXIT.ERROR_SCHEDULER_OUT_OF_MEMORY)
        self.ctx.leaner = True
        self.ctx.inputs.parameters["ELECTRONS"] |= {"mixing_ndim": LEAN_MIXING_NDIM, "diago_david_ndim": 2}
        self.set_restart_type(RestartType.FROM_SCRATCH)
        self.report(f"{calculation.process_label}<{calculation.pk}> ran out of memory; once more with less of it")
        return ProcessHandlerReport(True)

    @process_handler(priority=400, exit_codes=list(LOST_ON_THE_WAY))
    def try_once_more(self, calculation: CalcJobNode) -> ProcessHandlerReport | None:
        """Begin anew where the machine, not the input, may have been the cause."""
        if self.ctx.second_tries >= SECOND_TRIES:
            return ProcessHandlerReport(True, calculation.exit_code)
        self.ctx.second_tries += 1
        self.set_restart_type(RestartType.FROM_SCRATCH)
        self.report(f"{calculation.process_label}<{calculation.pk}>: {calculation.exit_message}; trying once more")
        return ProcessHandlerReport(True)
