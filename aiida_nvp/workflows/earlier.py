"""What a work chain takes over from one that ended: finished steps stand in for those that it would run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ProcessSpec, ToContext

from aiida_nvp.calculations.assess import count_cycles
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.workflows.second_try import SecondTry

NAMESPACE = "earlier"
RESULT = "result"
"""Link label of what a calcfunction with one output made."""


def define_earlier(spec: ProcessSpec) -> None:
    """Declare the ports of what an earlier loop left; all of them are data, so that the graph leads back to it."""
    spec.input_namespace(NAMESPACE, required=False, help="What an earlier loop left; see the how-to on continuing.")
    spec.input(f"{NAMESPACE}.process", valid_type=orm.Str, required=False, help="UUID of the loop that is continued.")
    spec.input(f"{NAMESPACE}.shifts", valid_type=orm.Dict, required=False, help="Its energy zero of each species.")
    starts = "The cells that it explored from, where it did not pack them anew each cycle."
    spec.input(f"{NAMESPACE}.starts", valid_type=DatasetData, required=False, help=starts)
    left = "Candidates that found no place in its last batch; the next committee judges them anew."
    spec.input(f"{NAMESPACE}.left_over", valid_type=DatasetData, required=False, help=left)
    spec.input(f"{NAMESPACE}.verdict", valid_type=orm.Dict, required=False, help="Its last: no cycle is to follow.")
    history = "`selection_0`, `exploration_0`, `calibration_0` ... of its complete cycles."
    spec.input_namespace(f"{NAMESPACE}.history", dynamic=True, valid_type=orm.Dict, required=False, help=history)
    members = "Its last whole committee: parents of the members to come."
    spec.input_namespace(f"{NAMESPACE}.committee", dynamic=True, valid_type=PotentialData, required=False, help=members)
    done = "Outputs of the finished steps of its open round, by the name of the step: `done.train_0.potential` ..."
    spec.input_namespace(f"{NAMESPACE}.done", dynamic=True, valid_type=orm.Data, required=False, help=done)


def last_of(history: Mapping[str, orm.Dict], kind: str) -> orm.Dict | None:
    """Return the youngest record of one kind, ``calibration`` for example; None if no cycle has one."""
    known = [int(name.rpartition("_")[2]) for name in history if name.startswith(f"{kind}_")]
    return history[f"{kind}_{max(known)}"] if known else None


class Continued(SecondTry):
    """A work chain that may find its first steps done.

    A finished step looks like the process that made it, as far as anyone looks: ``is_finished_ok`` and ``outputs``.
    """

    @property
    def earlier(self) -> AttributeDict:
        """What was taken over; empty in a loop that begins anew."""
        found: AttributeDict = self.inputs.get(NAMESPACE, AttributeDict())
        return found

    def begin_after(self) -> None:
        """Set the context to where the earlier loop ended."""
        self.ctx.history = dict(self.earlier.get("history", {}))
        self.ctx.cycle = count_cycles(self.ctx.history)
        committee = self.earlier.get("committee", {})
        self.ctx.members = [committee[name] for name in sorted(committee, key=lambda name: (len(name), name))]
        self.ctx.shifts = self.earlier.get("shifts")
        self.ctx.calibration = last_of(self.ctx.history, "calibration")
        self.ctx.left_over = self.earlier.get("left_over")
        self.ctx.verdict = self.earlier.get("verdict")
        # Plain dictionaries: a checkpoint has to hold them.
        self.ctx.done = {step: dict(outputs) for step, outputs in self.earlier.get("done", {}).items()}
        if self.ctx.done:
            self.report(f"taken over and not done again: {', '.join(sorted(self.ctx.done))}")

    def forget_done(self) -> None:
        """Leave the open round of the earlier loop behind: the next one runs all its steps."""
        self.ctx.done = {}

    def take(self, step: str) -> AttributeDict | None:
        """Return the finished step of that name, once; None if it has to be run."""
        outputs = self.ctx.done.pop(step, None)
        if outputs is None:
            return None
        return AttributeDict({"is_finished_ok": True, "outputs": AttributeDict(outputs)})

    def take_result(self, step: str) -> Any:  # noqa: ANN401 - a node, or nodes by link label, as the calcfunction made
        """Return what a finished calcfunction made, as a call of it would; None if it has to be run."""
        outputs = self.ctx.done.pop(step, None)
        if outputs is None or set(outputs) != {RESULT}:
            return None if outputs is None else dict(outputs)
        return outputs[RESULT]

    def wait_for(self, **steps: orm.ProcessNode | AttributeDict) -> ToContext:
        """Put finished steps into the context at once and wait for the processes among them."""
        running = {key: step for key, step in steps.items() if isinstance(step, orm.ProcessNode)}
        for key in steps.keys() - running.keys():
            self.ctx[key] = steps[key]
        return ToContext(**running)
