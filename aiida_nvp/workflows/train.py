"""Train one member to its end, whatever happens to its jobs on the way."""

from __future__ import annotations

from typing import ClassVar

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import BaseRestartWorkChain, ProcessHandlerReport, ProcessSpec, process_handler, while_

from aiida_nvp.calculations.allegro_train import AllegroTrainCalculation
from aiida_nvp.workflows.checkpoints import end_with, wrote_checkpoint

RATE_FACTOR_AFTER_DIVERGENCE = 0.3

_CODES = AllegroTrainCalculation.exit_codes


class TrainWorkChain(BaseRestartWorkChain):
    """Run :class:`AllegroTrainCalculation` and answer what can be answered.

    Stopped or killed: go on from the last checkpoint of that job, or from the beginning if it had written none.
    Diverged: once more from the beginning with a lower learning rate.
    """

    _process_class: ClassVar = AllegroTrainCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(AllegroTrainCalculation, namespace="train", exclude=("restart",))
        spec.expose_outputs(AllegroTrainCalculation, exclude=("remote_folder", "retrieved", "remote_stash"))
        spec.outline(
            cls.setup,
            while_(cls.should_run_process)(cls.run_process, cls.inspect_process),
            cls.results,
        )
        spec.exit_code(210, "ERROR_TRAINING_INPUT", message="The training cannot start: {message}")
        spec.exit_code(411, "ERROR_TRAINING_DIVERGED", message="Diverged also at a lower learning rate: {message}")
        spec.exit_code(
            412,
            "ERROR_TRAINING_KILLED",
            message="Killed twice without reaching a checkpoint; give it more memory or time: {message}",
            invalidates_cache=True,
        )
        spec.exit_code(413, "ERROR_TRAINING_FAILED", message="The training failed: {message}", invalidates_cache=True)

    def setup(self) -> None:
        """Take over the inputs of the job."""
        super().setup()
        self.ctx.inputs = AttributeDict(self.exposed_inputs(AllegroTrainCalculation, "train"))
        self.ctx.lowered = False
        self.ctx.killed_in_vain = 0

    @process_handler(priority=400, exit_codes=[_CODES.ERROR_WORKER_INPUT, _CODES.ERROR_PARENT_PACKAGE])
    def refuse_input(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End: another attempt would meet the same input."""
        return end_with(self.exit_codes.ERROR_TRAINING_INPUT, node)

    @process_handler(
        priority=200,
        exit_codes=[
            _CODES.ERROR_TRAINING_STOPPED,
            _CODES.ERROR_WORKER_KILLED,
            _CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME,
            _CODES.ERROR_SCHEDULER_OUT_OF_MEMORY,
            _CODES.ERROR_SCHEDULER_NODE_FAILURE,
        ],
    )
    def go_on(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Go on from the last checkpoint if there is a new one, else try once more from where this job began."""
        if wrote_checkpoint(node):
            self.ctx.inputs.restart = node.outputs.remote_folder
            self.ctx.killed_in_vain = 0
            self.report(f"training<{node.pk}> ended early; going on from its checkpoint")
            return ProcessHandlerReport(True)
        self.ctx.killed_in_vain += 1
        if self.ctx.killed_in_vain > 1:
            return end_with(self.exit_codes.ERROR_TRAINING_KILLED, node)
        self.report(f"training<{node.pk}> ended before its first checkpoint; trying once more")
        return ProcessHandlerReport(True)

    @process_handler(priority=100, exit_codes=[_CODES.ERROR_TRAINING_DIVERGED])
    def lower_rate(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Begin again with a lower learning rate, once."""
        if self.ctx.lowered:
            return end_with(self.exit_codes.ERROR_TRAINING_DIVERGED, node)
        self.ctx.lowered = True
        before = self.ctx.inputs.rate_factor.value if "rate_factor" in self.ctx.inputs else 1.0
        self.ctx.inputs.rate_factor = orm.Float(before * RATE_FACTOR_AFTER_DIVERGENCE)
        self.ctx.inputs.pop("restart", None)
        self.report(f"training<{node.pk}> diverged; beginning again with {RATE_FACTOR_AFTER_DIVERGENCE} of the rate")
        return ProcessHandlerReport(True)

    @process_handler(
        priority=0, exit_codes=[_CODES.ERROR_WORKER_FAILED, _CODES.ERROR_OUTPUT_INVALID, _CODES.ERROR_NO_RETRIEVED]
    )
    def give_up(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """End with the sentence of the job: nothing here could make a difference."""
        return end_with(self.exit_codes.ERROR_TRAINING_FAILED, node)
