"""Rounds of training a committee: warm or from scratch, and what the difference is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ToContext
from aiida.engine.processes.functions import ProcessFunctionType

from aiida_nvp.calculations.warm_check import warm_check
from aiida_nvp.common.potential import TrainingSettings
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.workflows.earlier import Continued
from aiida_nvp.workflows.train import TrainWorkChain

FINAL = "final"
"""Name of the round of training that follows the last cycle."""


class CommitteeRounds(Continued):
    """A work chain that trains its committee in rounds, each from its predecessor or all from where they began.

    Where they began are random weights, or those of one ``parent`` that is no member itself; the members then differ by
    seed and bag alone. A round from scratch trains the first member from its predecessor as well, under the name
    ``cycle_4_warm_train``: the ratio of the two errors (``cycle_4_warm_check``) tells what warm starts cost so far.
    """

    def run_training(self) -> ToContext:
        """Train all members side by side."""
        self.ctx.scratch, self.ctx.warm = self._from_scratch() or not self.ctx.members, None
        parents: list[PotentialData] = self._origin() if self.ctx.scratch else self.ctx.members
        running = {f"train_{m}": self._submit_training(m, parents, f"train_{m}") for m in range(self._n_members)}
        if self.ctx.scratch and self.ctx.members:
            self.report(
                f"{self.ctx.round}: the committee is trained from scratch, and member 0 from its predecessor as well"
            )
            running["warm"] = self._submit_training(0, self.ctx.members, "warm_train")
        return self.wait_for(**running)

    def inspect_training(self) -> ExitCode | None:
        """Take over the committee."""
        trained = [self.ctx[f"train_{m}"] for m in range(self._n_members)]
        failed = next((node for node in trained if not node.is_finished_ok), None)
        if failed is not None:
            return self._abort(self.exit_codes.ERROR_TRAINING_FAILED, failed)
        self.ctx.members = [node.outputs.potential for node in trained]
        if self.ctx.warm is not None:
            self._compare(self.ctx.warm, trained[0])
        return None

    def should_train_final(self) -> bool:
        """Train once more unless the last committee has seen every label and started as the release shall."""
        return self.ctx.trained_on is None or (self._training.scratch_release and not self.ctx.scratch)

    @property
    def _n_members(self) -> int:
        return int(self.inputs.definition["committee"]["members"])

    @property
    def _training(self) -> TrainingSettings:
        return TrainingSettings.model_validate(self.inputs.definition.get_dict().get("training", {}))

    def _origin(self) -> list[PotentialData]:
        return [self.inputs.parent] * self._n_members if "parent" in self.inputs else []

    def _from_scratch(self) -> bool:
        if self.ctx.round == FINAL:
            return self._training.scratch_release
        every = self._training.scratch_every
        return every > 0 and self.ctx.cycle % every == 0

    def _compare(self, warm: orm.ProcessNode | AttributeDict, scratch: orm.ProcessNode | AttributeDict) -> None:
        """Note what the warm start costs; a comparison that fails is told, and ends nothing."""
        if not warm.is_finished_ok:
            self.report(f"the warm training for comparison failed [{warm.exit_status}]; this round has no ratio")
            return
        inputs = {"warm": warm.outputs.results, "scratch": scratch.outputs.results}
        made, node = warm_check.run_get_node(**inputs, metadata={"call_link_label": f"{self.ctx.round}_warm_check"})
        self.report(made["sentence"] if node.is_finished_ok else str(node.exit_message))

    def _submit_training(
        self, member: int, parents: Sequence[PotentialData], label: str
    ) -> orm.ProcessNode | AttributeDict:
        done = self.take(label)
        if done is not None:
            return done
        builder = TrainWorkChain.get_builder()
        builder.train.frames = self.ctx.dataset
        builder.train.definition = self.inputs.definition
        builder.train.shifts = self.ctx.shifts
        builder.train.seed = orm.Int(derive_seed(self.inputs.seed.value, "train", member))
        builder.train.code = self.inputs.worker
        if parents:
            builder.train.parent = parents[member]
        if "worker_options" in self.inputs:
            builder.train.metadata.options = self.inputs.worker_options.get_dict()
        builder.metadata.call_link_label = f"{self.ctx.round}_{label}"
        node: orm.ProcessNode = self.submit(builder)
        return node

    def _calculate(
        self, key: str, function: ProcessFunctionType, inputs: dict[str, Any], label: str
    ) -> ExitCode | None:
        """Run a calcfunction, keep what it made as ``ctx[key]``, and end the loop if it refused."""
        done = self.take_result(label.removeprefix(f"{self.ctx.round}_"))
        if done is not None:
            self.ctx[key] = done
            return None
        made, node = function.run_get_node(**inputs, metadata={"call_link_label": label})
        if not node.is_finished_ok:
            return self._abort(self.exit_codes.ERROR_CALCULATION_FAILED, node)
        self.ctx[key] = made
        return None

    def _abort(self, error: ExitCode, child: orm.ProcessNode) -> ExitCode:
        if self.ctx.dataset is not None:
            self.out("dataset", self.ctx.dataset)
        name = child.process_label or child.node_type
        return error.format(message=f"{name}<{child.pk}> [{child.exit_status}] {child.exit_message or ''}")
