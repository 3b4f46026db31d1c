"""Run one cell to the end of its schedule, whatever happens to its jobs on the way."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import BaseRestartWorkChain, ProcessHandlerReport, ProcessSpec, process_handler, while_

from aiida_nvp.calculations.md import MolecularDynamicsCalculation
from aiida_nvp.workflows.checkpoints import end_with, wrote_checkpoint

_CODES = MolecularDynamicsCalculation.exit_codes


class ProduceWorkChain(BaseRestartWorkChain):
    """Run :class:`MolecularDynamicsCalculation` and go on from its checkpoint when it was stopped or killed.

    A run that broke (atoms fused, temperature out of bounds, not a number) is not tried again: the same potential would
    break it again. What it produced until then is attached.
    """

    _process_class: ClassVar = MolecularDynamicsCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(MolecularDynamicsCalculation, namespace="md")
        spec.expose_outputs(MolecularDynamicsCalculation, exclude=("remote_folder", "retrieved", "remote_stash"))
        for name in ("trajectory", "thermo", "results"):
            spec.outputs[name].required = False
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
        )
        spec.exit_code(210, "ERROR_PRODUCTION_INPUT", message="The run cannot start: {message}")
        spec.exit_code(
            411,
            "ERROR_PRODUCTION_KILLED",
            message="Killed twice without reaching a checkpoint; give it more memory or time: {message}",
            invalidates_cache=True,
        )
        spec.exit_code(412, "ERROR_PRODUCTION_FAILED", message="The run failed: {message}", invalidates_cache=True)
        spec.exit_code(510, "ERROR_PRODUCTION_BROKEN", message="{message}")

    def setup(self) -> None:
        """Take over the inputs of the job."""
        super().setup()
        self.ctx.inputs = AttributeDict(self.exposed_inputs(MolecularDynamicsCalculation, "md"))
        self.ctx.killed_in_vain = 0

    @process_handler(priority=400, exit_codes=[_CODES.ERROR_WORKER_INPUT])
    def refuse_input(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End: another attempt would meet the same input."""
        return end_with(self.exit_codes.ERROR_PRODUCTION_INPUT, node)

    @process_handler(priority=300, exit_codes=[_CODES.ERROR_RUN_STOPPED])
    def resume_stopped(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on from the checkpoint that the job wrote when it was told to stop."""
        return self._go_on_from(node)

    @process_handler(
        priority=200,
        exit_codes=[
            _CODES.ERROR_WORKER_KILLED,
            _CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME,
            _CODES.ERROR_SCHEDULER_OUT_OF_MEMORY,
            _CODES.ERROR_SCHEDULER_NODE_FAILURE,
        ],
    )
    def restart_killed(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on from the last checkpoint if there is a new one, else try once more from where this job began."""
        if wrote_checkpoint(node):
            return self._go_on_from(node)
        self.ctx.killed_in_vain += 1
        if self.ctx.killed_in_vain > 1:
            return end_with(self.exit_codes.ERROR_PRODUCTION_KILLED, node)
        self.report(f"production<{node.pk}> was killed before its first checkpoint; trying once more")
        return ProcessHandlerReport(True)

    @process_handler(priority=100, exit_codes=[_CODES.ERROR_RUN_BROKEN])
    def keep_broken(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End, with the outputs up to the break."""
        self.out_many(self.exposed_outputs(node, MolecularDynamicsCalculation))
        return end_with(self.exit_codes.ERROR_PRODUCTION_BROKEN, node)

    @process_handler(
        priority=0, exit_codes=[_CODES.ERROR_WORKER_FAILED, _CODES.ERROR_OUTPUT_INVALID, _CODES.ERROR_NO_RETRIEVED]
    )
    def give_up(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End with the sentence of the job: nothing here could make a difference."""
        return end_with(self.exit_codes.ERROR_PRODUCTION_FAILED, node)

    def _go_on_from(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        self.ctx.inputs.restart = node.outputs.remote_folder
        self.ctx.killed_in_vain = 0
        self.report(f"production<{node.pk}> ended early; going on from its checkpoint")
        return ProcessHandlerReport(True)
