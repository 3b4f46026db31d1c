"""The loop: label, train, explore, select, predict, label, calibrate, assess, until the evidence says stop."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, if_, while_

from aiida_nvp.calculations.assess import assess
from aiida_nvp.calculations.calibrate import calibrate
from aiida_nvp.calculations.energy_shifts import energy_shifts
from aiida_nvp.calculations.evaluate import EvaluateCalculation
from aiida_nvp.calculations.explore import ExploreCalculation
from aiida_nvp.calculations.generate import generate
from aiida_nvp.calculations.merge import merge
from aiida_nvp.calculations.observe import observe_replicas
from aiida_nvp.calculations.recheck import doubtful, settle_suspects, take_suspects
from aiida_nvp.calculations.select import select
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.common.vocabulary import LabellerName, Verdict
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.labelling.settings import read_settings
from aiida_nvp.workflows.committee_rounds import FINAL, CommitteeRounds
from aiida_nvp.workflows.continuation import cycle_cost
from aiida_nvp.workflows.earlier import define_earlier
from aiida_nvp.workflows.label import LabelWorkChain
from aiida_nvp.workflows.labellers import LABELLERS
from aiida_nvp.workflows.loop_inputs import refuse, validate_ports


class ActiveLearningWorkChain(CommitteeRounds):
    """Train a committee on labels that the committee itself asked for.

    Every child carries a link label (``cycle_0_train_2``, ``cycle_0_select`` ...): reports and queries find it by that.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        as_node = {"serializer": orm.to_aiida_type}
        spec.input("frames", valid_type=DatasetData, required=False, help="Unlabelled cells to begin with.")
        spec.input("dataset", valid_type=DatasetData, required=False, help="Labelled frames to begin with.")
        spec.input("definition", valid_type=orm.Dict, help="Potential definition.", **as_node)
        spec.input("seed", valid_type=orm.Int, help="The one seed that all others follow from.", **as_node)
        spec.input("exploration", valid_type=orm.Dict, help="Parameters of the exploration.", **as_node)
        spec.input("exploration_cells", valid_type=orm.Dict, required=False, help="Packed anew each cycle.", **as_node)
        spec.input("selection", valid_type=orm.Dict, help="Parameters of the selection.", **as_node)
        spec.input("calibration", valid_type=orm.Dict, help="Parameters of the calibration.", **as_node)
        spec.input("stop", valid_type=orm.Dict, help="Stop criteria and budgets.", **as_node)
        spec.input("seed_settings", valid_type=orm.Dict, required=False, help="Label settings of the seeds.", **as_node)
        spec.input("parent", valid_type=PotentialData, required=False, help="Every member begins with its weights.")
        spec.input("worker", valid_type=orm.AbstractCode, help="Code of the worker programs.")
        spec.input("worker_options", valid_type=orm.Dict, required=False, help="Job options of workers.", **as_node)
        spec.expose_inputs(LabelWorkChain, namespace="label", exclude=("frames",))
        define_earlier(spec)
        spec.inputs.validator = validate_ports
        spec.output("dataset", valid_type=DatasetData, help="All labelled frames.")
        spec.output("verdict", valid_type=orm.Dict, help="Why the loop ended.")
        spec.output_namespace("committee", dynamic=True, valid_type=PotentialData, help="The last members.")
        spec.outline(
            cls.setup,
            cls.validate,
            if_(cls.should_label_seeds)(cls.run_seed_labels, cls.inspect_seed_labels),
            if_(cls.should_join_starts)(cls.join_starts),
            if_(cls.should_fix_energies)(cls.run_energy_shifts),
            while_(cls.should_run_cycle)(
                cls.run_training,
                cls.inspect_training,
                if_(cls.should_pack_starts)(cls.run_starts),
                cls.run_exploration,
                while_(cls.has_unfinished)(cls.run_again),
                cls.inspect_exploration,
                cls.run_selection,
                if_(cls.has_chosen)(
                    cls.run_prediction,
                    cls.run_again,
                    cls.inspect_prediction,
                    cls.run_labels,
                    cls.inspect_labels,
                    cls.run_calibration,
                    if_(cls.has_suspects)(cls.run_recheck, cls.inspect_recheck, cls.run_calibration_again),
                ),
                cls.run_assessment,
                cls.next_cycle,
            ),
            if_(cls.should_train_final)(cls.run_training, cls.inspect_training),
            cls.run_review,
            cls.run_again,
            cls.inspect_review,
            cls.results,
        )
        spec.exit_code(201, "ERROR_INPUT_REFUSED", message="The loop cannot start: {message}")
        spec.exit_code(401, "ERROR_SEED_LABELS_FAILED", message="The seed labels failed: {message}")
        spec.exit_code(402, "ERROR_TRAINING_FAILED", message="Training failed: {message}")
        spec.exit_code(403, "ERROR_EXPLORATION_FAILED", message="The exploration failed: {message}")
        spec.exit_code(404, "ERROR_EVALUATION_FAILED", message="The evaluation of the committee failed: {message}")
        spec.exit_code(405, "ERROR_LABELS_FAILED", message="Labelling failed; finished labels are kept: {message}")
        spec.exit_code(406, "ERROR_CALCULATION_FAILED", message="A step of the loop refused its input: {message}")

    def setup(self) -> None:
        """Begin with what was given, after the cycles that were given."""
        self.begin_after()
        self.ctx.round = f"cycle_{self.ctx.cycle}" if self.should_run_cycle() else FINAL
        self.ctx.trained_on = None
        self.ctx.dataset = self.inputs.get("dataset")
        self.ctx.start_frames = self.inputs.get("frames", self.earlier.get("starts", self.ctx.dataset))

    def validate(self) -> ExitCode | None:
        """Refuse now what would otherwise fail after the first labels have been paid for."""
        refusal = refuse(self.inputs)
        return self.exit_codes.ERROR_INPUT_REFUSED.format(message=refusal) if refusal else None

    # Seeds

    def should_label_seeds(self) -> bool:
        """Label the given cells, if any were given."""
        return "frames" in self.inputs

    def run_seed_labels(self) -> ToContext:
        """Label the cells that begin the campaign."""
        settings = self.inputs.get("seed_settings", self.inputs.label.settings)
        return self.wait_for(labels=self._submit_labels(self.inputs.frames, settings, "seed_label"))

    def inspect_seed_labels(self) -> ExitCode | None:
        """Take over the seeds, or end with what there is."""
        return self._take_labels("seed_label", self.exit_codes.ERROR_SEED_LABELS_FAILED)

    def should_join_starts(self) -> bool:
        """Explore from the cells that were added and from those of the loop that is continued."""
        return "frames" in self.inputs and "starts" in self.earlier

    def join_starts(self) -> ExitCode | None:
        """Put the added cells first: where replicas are few, the first cells are explored."""
        inputs = {"added": self.inputs.frames, "before": self.earlier.starts}
        return self._calculate("start_frames", merge, inputs, "join_starts")

    def should_fix_energies(self) -> bool:
        """Keep the energy zero of an earlier loop: its members were trained with it."""
        return self.ctx.shifts is None

    def run_energy_shifts(self) -> ExitCode | None:
        """Fix the energy zero of each species for the whole campaign."""
        inputs = {"dataset": self.ctx.dataset, "definition": self.inputs.definition}
        return self._calculate("shifts", energy_shifts, inputs, "energy_shifts")

    # One cycle

    def should_run_cycle(self) -> bool:
        """Go on while the verdict says so."""
        return self.ctx.verdict is None or self.ctx.verdict["verdict"] == Verdict.CONTINUE

    def should_pack_starts(self) -> bool:
        """Start from fresh cells where the campaign asks for it."""
        return "exploration_cells" in self.inputs

    def run_starts(self) -> ExitCode | None:
        """Pack the cells from which this cycle explores."""
        seed = orm.Int(derive_seed(self.inputs.seed.value, "starts", self.ctx.cycle))
        inputs = {"parameters": self.inputs.exploration_cells, "seed": seed}
        return self._calculate("start_frames", generate, inputs, f"{self.ctx.round}_starts")

    def run_exploration(self) -> ToContext:
        """Explore with the new committee, and review it on what it was trained on."""
        builder = ExploreCalculation.get_builder()
        builder.frames = self.ctx.start_frames
        builder.parameters = self.inputs.exploration
        builder.seed = orm.Int(derive_seed(self.inputs.seed.value, "explore", self.ctx.cycle))
        if self.ctx.calibration is not None:
            builder.calibration = self.ctx.calibration
        explore = self._submit_worker(builder, "explore")
        jobs = {"explore": explore, "review": self._submit_evaluation(self.ctx.dataset, "review")}
        if self.ctx.left_over is not None:
            jobs["rescore"] = self._submit_evaluation(self.ctx.left_over, "rescore")
        return self.wait_for(**jobs)

    def inspect_exploration(self) -> ExitCode | None:
        """Go on if all jobs delivered."""
        if not self.ctx.explore.is_finished_ok:
            return self._abort(self.exit_codes.ERROR_EXPLORATION_FAILED, self.ctx.explore)
        return self._evaluated(self.ctx.review, *([] if self.ctx.left_over is None else [self.ctx.rescore]))

    def run_selection(self) -> ExitCode | None:
        """Choose the frames that deserve a label."""
        inputs: dict[str, Any] = {
            "candidates": self.ctx.explore.outputs.candidates,
            "predictions": self.ctx.explore.outputs.predictions,
            "known": self.ctx.dataset,
            "review": self.ctx.review.outputs.predictions,
            "parameters": self.inputs.selection,
            "seed": orm.Int(derive_seed(self.inputs.seed.value, "select", self.ctx.cycle)),
        }
        if self.ctx.calibration is not None:
            inputs["calibration"] = self.ctx.calibration
        if self.ctx.left_over is not None:
            inputs |= {"left_over": self.ctx.left_over, "rescored": self.ctx.rescore.outputs.predictions}
        failed = self._calculate("selected", select, inputs, f"{self.ctx.round}_select")
        if failed is None:
            self.ctx.chosen = self.ctx.selected["chosen"]
            self.ctx.left_over = self.ctx.selected.get("left_over")
            self.ctx.history[f"selection_{self.ctx.cycle}"] = self.ctx.selected["table"]
            self.ctx.history[f"exploration_{self.ctx.cycle}"] = self.ctx.explore.outputs.results
        return failed

    def has_chosen(self) -> bool:
        """Skip labelling when nothing was worth a label."""
        return len(self.ctx.chosen) > 0

    def run_prediction(self) -> ToContext:
        """Let the committee commit itself before it can know the labels."""
        return self.wait_for(predict=self._submit_evaluation(self.ctx.chosen, "predict"))

    def inspect_prediction(self) -> ExitCode | None:
        """Go on if the committee could be evaluated."""
        return self._evaluated(self.ctx.predict)

    def run_labels(self) -> ToContext:
        """Label the chosen frames."""
        label = f"{self.ctx.round}_label"
        return self.wait_for(labels=self._submit_labels(self.ctx.chosen, self.inputs.label.settings, label))

    def inspect_labels(self) -> ExitCode | None:
        """Add the new labels to the data set, or end with what there is."""
        return self._take_labels(f"{self.ctx.round}_label", self.exit_codes.ERROR_LABELS_FAILED)

    def run_calibration(self) -> ExitCode | None:
        """Compare what was predicted with what was found."""
        self.ctx.scored_with = self.ctx.calibration
        return self._calibrate(self.ctx.labels.outputs.dataset, "calibrate")

    def run_calibration_again(self) -> ExitCode | None:
        """Compare once more where labels were replaced: a wrong label must not widen the error bars."""
        if not set(self.ctx.chosen.frames.ids()) & set(self.ctx.dataset.frames.ids()):
            self.report("the second look left no label of this batch; its first calibration stays")
            return None
        return self._calibrate(self.ctx.dataset, "calibrate_again")

    def _calibrate(self, labels: DatasetData, step: str) -> ExitCode | None:
        inputs: dict[str, Any] = {
            "predictions": self.ctx.predict.outputs.predictions,
            "chosen": self.ctx.chosen,
            "labels": labels,
            "parameters": self.inputs.calibration,
        }
        if self.ctx.scored_with is not None:
            inputs["previous"] = self.ctx.scored_with
        failed = self._calculate("calibration", calibrate, inputs, f"{self.ctx.round}_{step}")
        if failed is None:
            self.ctx.history[f"calibration_{self.ctx.cycle}"] = self.ctx.calibration
        return failed

    def has_suspects(self) -> bool:
        """Look again where the members agree and the label is far, if the labeller has another state to end in."""
        settings = read_settings(self.inputs.label.settings.get_dict())
        labeller = LABELLERS[LabellerName(self.inputs.label.labeller.value)]
        return labeller.checks_branches(settings) and bool(
            doubtful(self.ctx.chosen.frames, self.ctx.calibration, settings)
        )

    def run_recheck(self) -> ToContext | ExitCode:
        """Label the suspect frames from all starts that they have; what is finished already costs nothing."""
        settings = self.inputs.label.settings
        inputs = {"chosen": self.ctx.chosen, "calibration": self.ctx.calibration, "settings": settings}
        failed = self._calculate("suspects", take_suspects, inputs, f"{self.ctx.round}_suspects")
        if failed is not None:
            return failed
        name = f"{self.ctx.round}_recheck"
        self.report(f"cycle {self.ctx.cycle}: {len(self.ctx.suspects)} suspect labels are made again from other starts")
        node = self._submit_labels(self.ctx.suspects, settings, name, branch_share=orm.Float(1.0))
        return self.wait_for(recheck=node)

    def inspect_recheck(self) -> ExitCode | None:
        """Take what the second look kept; ambiguous frames leave the data set, which is no failure of the loop."""
        outputs = self.ctx.recheck.outputs
        if "triage" not in outputs:
            self.report("the second look gave nothing; the suspect labels stay")
            return None
        inputs = {"dataset": self.ctx.dataset, "triage": outputs.triage}
        if "dataset" in outputs:
            inputs["checked"] = outputs.dataset
        return self._calculate("dataset", settle_suspects, inputs, f"{self.ctx.round}_settle")

    def run_assessment(self) -> ExitCode | None:
        """Weigh the evidence of all cycles so far."""
        failed = self._observe()
        if failed is not None:
            return failed
        self.ctx.history[f"cost_{self.ctx.cycle}"] = orm.Dict(cycle_cost(self.node, self.ctx.round))
        inputs = {"parameters": self.inputs.stop, "dataset": self.ctx.dataset, **self.ctx.history}
        failed = self._calculate("verdict", assess, inputs, f"{self.ctx.round}_assess")
        if failed is None:
            self.report(f"cycle {self.ctx.cycle}: {self.ctx.verdict['verdict']}, {len(self.ctx.dataset)} labels")
        return failed

    def _observe(self) -> ExitCode | None:
        """Measure the replicas of this cycle, where the stop rules ask for it."""
        watched = self.inputs.stop.get_dict().get("observables")
        if not watched:
            return None
        explored = self.ctx.explore.outputs
        inputs = {"candidates": explored.candidates, "results": explored.results, "parameters": orm.Dict(watched)}
        failed = self._calculate("observed", observe_replicas, inputs, f"{self.ctx.round}_observe")
        if failed is None:
            self.ctx.history[f"observables_{self.ctx.cycle}"] = self.ctx.observed
        return failed

    def next_cycle(self) -> None:
        """Count the cycle and name the next round."""
        self.forget_done()
        self.ctx.trained_on = self.ctx.dataset if not self.has_chosen() else None
        self.ctx.cycle += 1
        self.ctx.round = f"cycle_{self.ctx.cycle}" if self.should_run_cycle() else FINAL

    # After the loop

    def run_review(self) -> ToContext:
        """Evaluate the final committee on all labels."""
        return self.wait_for(review=self._submit_evaluation(self.ctx.dataset, "review"))

    def inspect_review(self) -> ExitCode | None:
        """Go on if the committee could be evaluated."""
        return self._evaluated(self.ctx.review)

    def results(self) -> None:
        """Hand over data set, committee and verdict."""
        self.out("dataset", self.ctx.dataset)
        self.out("verdict", self.ctx.verdict)
        self.out("committee", self._committee())

    # Helpers

    def _committee(self) -> dict[str, PotentialData]:
        return {f"member_{m}": potential for m, potential in enumerate(self.ctx.members)}

    def _submit_labels(
        self, frames: DatasetData, settings: orm.Dict, label: str, **others: orm.Data
    ) -> orm.ProcessNode | AttributeDict:
        done = self.take(label.removeprefix(f"{self.ctx.round}_"))
        if done is not None:
            return done
        inputs = AttributeDict(self.exposed_inputs(LabelWorkChain, namespace="label"))
        inputs.update(others)
        inputs.frames, inputs.settings = frames, settings
        inputs.metadata = {"call_link_label": label}
        node: orm.ProcessNode = self.submit(LabelWorkChain, **inputs)
        return node

    def _take_labels(self, label: str, error: ExitCode) -> ExitCode | None:
        """Merge what was labelled, also when the batch ended in failure, so that no finished label is lost."""
        labels = self.ctx.labels
        if "dataset" in labels.outputs:
            sets = {"labels": labels.outputs.dataset}
            if self.ctx.dataset is not None:
                sets["known"] = self.ctx.dataset
            name = label.replace("_label", "_merge")
            merged, node = merge.run_get_node(**sets, metadata={"call_link_label": name})
            if not node.is_finished_ok:
                return self._abort(error, node)
            self.ctx.dataset = merged
        if not labels.is_finished_ok:
            return self._abort(error, labels)
        return None

    def _evaluated(self, *jobs: orm.ProcessNode) -> ExitCode | None:
        failed = next((job for job in jobs if not job.is_finished_ok), None)
        return None if failed is None else self._abort(self.exit_codes.ERROR_EVALUATION_FAILED, failed)

    def _submit_evaluation(self, frames: DatasetData, stage: str) -> orm.ProcessNode | AttributeDict:
        builder = EvaluateCalculation.get_builder()
        builder.frames = frames
        return self._submit_worker(builder, stage)

    def _submit_worker(self, builder: ProcessBuilder, stage: str) -> orm.ProcessNode | AttributeDict:
        done = self.take(stage)
        if done is not None:
            return done
        builder.code = self.inputs.worker
        builder.committee = self._committee()
        if "worker_options" in self.inputs:
            builder.metadata.options = self.inputs.worker_options.get_dict()
        builder.metadata.call_link_label = f"{self.ctx.round}_{stage}"
        node: orm.ProcessNode = self.submit(builder)
        return node


__all__ = ("FINAL", "ActiveLearningWorkChain")
