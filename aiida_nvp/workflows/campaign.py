"""The whole: cells, the active-learning loop, production MD, analysis."""

from __future__ import annotations

from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessSpec, ToContext, if_

from aiida_nvp.calculations.analyse import AnalyseCalculation
from aiida_nvp.calculations.generate import generate
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import calls, inputs
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.workflows.active_learning import ActiveLearningWorkChain
from aiida_nvp.workflows.earlier import last_of
from aiida_nvp.workflows.produce import ProduceWorkChain
from aiida_nvp.workflows.second_try import SecondTry

CAMPAIGN_GROUPS = "nvp"
"""Root of the groups in which the nodes of each campaign are gathered: ``nvp/<campaign name>``."""


class CampaignWorkChain(SecondTry):
    """From compositions to answers; :func:`aiida_nvp.workflows.campaign_builder.campaign_builder` fills the inputs."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        as_node = {"serializer": orm.to_aiida_type}
        spec.input("campaign", valid_type=orm.Dict, help="The campaign file as it was read.", **as_node)
        cells = "Parameters of the cells to begin with, or to add to what `learn.dataset` holds."
        spec.input("cells", valid_type=orm.Dict, required=False, help=cells, **as_node)
        spec.input("seed", valid_type=orm.Int, help="The one seed that all others follow from.", **as_node)
        spec.expose_inputs(ActiveLearningWorkChain, namespace="learn", exclude=("frames", "seed"))
        spec.input("production_cell", valid_type=orm.Dict, required=False, help="The production cell.", **as_node)
        spec.input(
            "production", valid_type=orm.Dict, required=False, help="Parameters of the production run.", **as_node
        )
        spec.input("analysis", valid_type=orm.Dict, required=False, help="Parameters of the analysis.", **as_node)
        spec.expose_outputs(ActiveLearningWorkChain)
        spec.outputs["dataset"].required = False
        spec.outputs["verdict"].required = False
        spec.expose_outputs(ProduceWorkChain, namespace="production", namespace_options={"required": False})
        spec.expose_outputs(
            AnalyseCalculation,
            namespace="analysis",
            exclude=("remote_folder", "retrieved", "remote_stash"),
            namespace_options={"required": False},
        )
        spec.outline(
            if_(cls.should_generate)(cls.run_generate),
            cls.run_active_learning,
            cls.gather,
            cls.inspect_active_learning,
            if_(cls.should_produce)(
                cls.run_produce,
                cls.inspect_produce,
                cls.run_analyse,
                cls.run_again,
                cls.inspect_analyse,
            ),
        )
        spec.exit_code(201, "ERROR_CELLS", message="The cells could not be made: {message}")
        spec.exit_code(401, "ERROR_ACTIVE_LEARNING_FAILED", message="The loop failed; labels are kept: {message}")
        spec.exit_code(402, "ERROR_PRODUCTION_FAILED", message="The production run failed: {message}")
        spec.exit_code(403, "ERROR_ANALYSIS_FAILED", message="The analysis failed: {message}")

    def should_generate(self) -> bool:
        """Pack cells unless a continued campaign adds none."""
        return "cells" in self.inputs

    def run_generate(self) -> ExitCode | None:
        """Pack the cells; those that are added to a campaign are other ones than any that it began with."""
        added = [len(self.inputs.learn.dataset)] if "dataset" in self.inputs.learn else []
        return self._generate("generate", self.inputs.cells, "frames", *added)

    def run_active_learning(self) -> ToContext:
        """Run the loop."""
        inputs = AttributeDict(self.exposed_inputs(ActiveLearningWorkChain, namespace="learn"))
        inputs.seed = self.inputs.seed
        if "frames" in self.ctx:
            inputs.frames = self.ctx.frames
        inputs.metadata = {"call_link_label": "active_learning"}
        return ToContext(loop=self.submit(ActiveLearningWorkChain, **inputs))

    def inspect_active_learning(self) -> ExitCode | None:
        """Hand over what the loop made, also when it failed."""
        self.out_many(self.exposed_outputs(self.ctx.loop, ActiveLearningWorkChain))
        if not self.ctx.loop.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_ACTIVE_LEARNING_FAILED, self.ctx.loop)
        return None

    def gather(self) -> None:
        """Put campaign, data set and committee, as far as they exist, into one named group."""
        name = f"{CAMPAIGN_GROUPS}/{self.inputs.campaign['name']}"
        group, _ = orm.Group.collection.get_or_create(name)
        made = self.ctx.loop.base.links.get_outgoing(node_class=(DatasetData, PotentialData)).all_nodes()
        group.add_nodes([self.node, *made])

    def should_produce(self) -> bool:
        """Produce if the campaign asks for it."""
        return "production" in self.inputs

    def run_produce(self) -> ExitCode | ToContext:
        """Pack the production cell and run it through its schedule."""
        failed = self._generate("generate_production", self.inputs.production_cell, "production_frames")
        if failed is not None:
            return failed
        builder = ProduceWorkChain.get_builder()
        builder.md.frames = self.ctx.production_frames
        builder.md.committee = dict(self.ctx.loop.outputs.committee)
        builder.md.parameters = self.inputs.production
        builder.md.seed = orm.Int(derive_seed(self.inputs.seed.value, "produce"))
        builder.md.code = self.inputs.learn.worker
        calibration = self._last_calibration()
        if calibration is not None:
            builder.md.calibration = calibration
        if "worker_options" in self.inputs.learn:
            builder.md.metadata.options = self.inputs.learn.worker_options.get_dict()
        builder.metadata.call_link_label = "produce"
        return ToContext(produce=self.submit(builder))

    def inspect_produce(self) -> ExitCode | None:
        """Hand over the run."""
        self.out_many(self.exposed_outputs(self.ctx.produce, ProduceWorkChain, namespace="production"))
        if not self.ctx.produce.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_PRODUCTION_FAILED, self.ctx.produce)
        return None

    def run_analyse(self) -> ToContext:
        """Measure the run."""
        builder = AnalyseCalculation.get_builder()
        builder.trajectory = self.ctx.produce.outputs.trajectory
        builder.parameters = self.inputs.analysis
        builder.code = self.inputs.learn.worker
        if "worker_options" in self.inputs.learn:
            builder.metadata.options = self.inputs.learn.worker_options.get_dict()
        builder.metadata.call_link_label = "analyse"
        return ToContext(analyse=self.submit(builder))

    def inspect_analyse(self) -> ExitCode | None:
        """Hand over the measurements."""
        if not self.ctx.analyse.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_ANALYSIS_FAILED, self.ctx.analyse)
        self.out_many(self.exposed_outputs(self.ctx.analyse, AnalyseCalculation, namespace="analysis"))
        return None

    def _generate(self, label: str, cells: orm.Dict, key: str, *others: int) -> ExitCode | None:
        seed = orm.Int(derive_seed(self.inputs.seed.value, label, *others))
        made, node = generate.run_get_node(parameters=cells, seed=seed, metadata={"call_link_label": label})
        if not node.is_finished_ok:
            return self._failed(self.exit_codes.ERROR_CELLS, node)
        self.ctx[key] = made
        return None

    def _last_calibration(self) -> orm.Dict | None:
        """Return what the last assessment was given, which holds whatever was taken over or made again."""
        assessed = [child for label, child in calls(self.ctx.loop).items() if label.endswith("_assess")]
        if assessed:
            return last_of(inputs(assessed[-1], orm.Dict), "calibration")
        return last_of(self.inputs.learn.get("earlier", {}).get("history", {}), "calibration")

    @staticmethod
    def _failed(error: ExitCode, child: orm.ProcessNode) -> ExitCode:
        name: Any = child.process_label or child.node_type
        return error.format(message=f"{name}<{child.pk}> [{child.exit_status}] {child.exit_message or ''}")
