"""Labels for a batch of frames, a bounded number of jobs at a time, with a line on the fate of every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_nvp.calculations.base import granted_cores
from aiida_nvp.calculations.label import (
    JobOutputs,
    collect_labels,
    frame_key,
    frames_to_structures,
    other_start_structures,
)
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import LabellerName, LabelStatus, StartRecipe
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.branches import is_drawn, other_starts
from aiida_nvp.labelling.settings import read_settings
from aiida_nvp.labelling.triage import Outcome, Rerun, distinct, overlap
from aiida_nvp.workflows.labellers import LABELLERS, Labeller, LabelRequest
from aiida_nvp.workflows.protocols.resolve import resolve
from aiida_nvp.workflows.window import SlidingWindow


class LabelWorkChain(SlidingWindow):
    """Label frames with pw.x or, in rehearsal, with an analytic potential.

    A frame that fails costs its own label alone; the batch stops early once more than ``max_failed_share`` of all its
    frames have failed, and what is labelled by then is kept. Of single points whose labeller has electronic states, a
    share and every flagged one is made again from other starts once all usual ones are there: the branch check.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        spec.input("frames", valid_type=DatasetData, help="What to label.")
        spec.input("labeller", valid_type=orm.Str, serializer=orm.to_aiida_type, help="quantumespresso or rehearsal.")
        spec.input("code", valid_type=orm.AbstractCode, help="pw.x, or the worker for a rehearsal.")
        spec.input_namespace("pseudos", dynamic=True, required=False, valid_type=UpfData, help="By species.")
        spec.input("settings", valid_type=orm.Dict, serializer=orm.to_aiida_type, help="LabelSettings.")
        as_node = {"serializer": orm.to_aiida_type}
        spec.input("in_flight", default=lambda: orm.Int(8), help="Jobs running at once.", valid_type=orm.Int, **as_node)
        spec.input(
            "max_failed_share",
            valid_type=orm.Float,
            default=lambda: orm.Float(0.2),
            help="Above this share of failures the batch stops.",
            **as_node,
        )
        spec.input(
            "branch_share",
            valid_type=orm.Float,
            default=lambda: orm.Float(0.1),
            help="Share of single points made again from other starts; flagged ones are in any case.",
            **as_node,
        )
        spec.input("options", default=lambda: orm.Dict({}), help="Options of the jobs.", valid_type=orm.Dict, **as_node)
        spec.output("dataset", valid_type=DatasetData, help="All labels; absent if there is none.")
        ambiguous = "Lowest labels of frames whose starts end too far apart to train on."
        spec.output("ambiguous", valid_type=DatasetData, required=False, help=ambiguous)
        spec.output("triage", valid_type=orm.Dict, help="The fate of every frame, counts, level of theory.")
        spec.outline(
            cls.validate,
            cls.make_structures,
            while_(cls.has_work)(cls.advance),
            cls.make_other_starts,
            while_(cls.has_work)(cls.advance),
            cls.collect,
            cls.forget_ambiguous,
            cls.conclude,
        )
        spec.exit_code(201, "ERROR_NO_FRAMES", message="There is no frame to label.")
        spec.exit_code(202, "ERROR_INVALID_SETTINGS", message="The labels are asked for in a wrong way: {message}")
        spec.exit_code(203, "ERROR_LABELLER_REFUSED", message="The labeller cannot do this batch: {message}")
        spec.exit_code(204, "ERROR_FRAMES_UNREADABLE", message="The frames cannot be read: {message}")
        spec.exit_code(
            401, "ERROR_ALL_LABELS_FAILED", message="Not one of {frames} frames got a label; first: {message}"
        )
        spec.exit_code(
            402,
            "ERROR_TOO_MANY_LABELS_FAILED",
            message="{failed} of {frames} frames failed, above the accepted share of {share}; first: {message}",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        frames: DatasetData,
        protocol: str | None = None,
        pseudo_family: str = "",
        overrides: Mapping[str, object] | None = None,
    ) -> ProcessBuilder:
        """Return a builder for labels from pw.x with the settings of a protocol.

        :param protocol: ``fast``, ``balanced`` (default) or ``stringent``.
        :param pseudo_family: label of an installed family; its cutoffs are taken unless overridden.
        :param overrides: of the label settings, by name.
        :raises InputError: for an unknown protocol, a missing family or pseudopotential, or settings that do not fit.
        """
        resolved = resolve(protocol, pseudo_family, frames.frames.species(), overrides)
        builder = cls.get_builder()
        builder.frames, builder.code = frames, code
        builder.labeller = orm.Str(LabellerName.QUANTUM_ESPRESSO.value)
        builder.settings = orm.Dict(resolved.settings.plain())
        builder.pseudos = dict(resolved.pseudos)
        builder.in_flight = orm.Int(resolved.inputs["in_flight"])
        builder.max_failed_share = orm.Float(resolved.inputs["max_failed_share"])
        builder.branch_share = orm.Float(resolved.inputs["branch_share"])
        return builder

    @cached_property
    def labeller(self) -> Labeller:
        """The labeller of this batch."""
        request = LabelRequest(
            code=self.inputs.code,
            settings=read_settings(self.inputs.settings.get_dict()),
            pseudos=self.inputs.get("pseudos", {}),
            options=self.inputs.options.get_dict(),
        )
        return LABELLERS[LabellerName(self.inputs.labeller.value)](request)

    def validate(self) -> ExitCode | None:
        """Refuse what no labeller could do, before anything is submitted."""
        if not len(self.inputs.frames):
            return self._exit("ERROR_NO_FRAMES")
        try:
            labeller = self.labeller
        except (InputError, ValueError) as error:
            return self._exit("ERROR_INVALID_SETTINGS", message=str(error))
        try:
            frames = self.inputs.frames.frames
        except InputError as error:
            return self._exit("ERROR_FRAMES_UNREADABLE", message=str(error))
        if self.inputs.in_flight.value < 1:
            return self._exit("ERROR_INVALID_SETTINGS", message="in_flight must be 1 or more.")
        if not 0 <= self.inputs.branch_share.value <= 1:
            return self._exit("ERROR_INVALID_SETTINGS", message="branch_share must lie between 0 and 1.")
        refusal = labeller.refuse(frames)
        return self._exit("ERROR_LABELLER_REFUSED", message=refusal) if refusal else None

    def make_structures(self) -> None:
        """Turn the frames into structures; those with atoms on top of each other go no further."""
        frames = self.inputs.frames.frames
        ids = frames.ids()
        self.ctx.frames = {frame_key(ids[index]): ids[index] for index in distinct(ids)}
        self.ctx.outcomes = {}
        for index in distinct(ids):
            fault = overlap(frames.atoms(index))
            if fault:
                self._note(Outcome(ids[index], reason=fault))
        metadata = {"call_link_label": "structures"}
        structures = frames_to_structures(frames=self.inputs.frames, settings=self.inputs.settings, metadata=metadata)
        # UUIDs, not nodes: the context is written at every step.
        self.ctx.structures = {key: structure.uuid for key, structure in structures.items()}
        self.ctx.queue = [key for key, identity in self.ctx.frames.items() if identity not in self.ctx.outcomes]
        self.ctx.children = AttributeDict()
        self.ctx.reruns = {}

    def has_work(self) -> bool:
        """Whether frames wait or run."""
        return bool(self.ctx.children or (self.ctx.queue and not self._too_many_failed()))

    def advance(self) -> None:
        """Note the children that have ended and fill the window again, unless too many have failed."""
        for key, child in self.finished_children("children").items():
            usable = self.labeller.usable(child)
            jobs = {key if number == 1 else f"{key}_{number}": job.uuid for number, job in enumerate(usable, start=1)}
            reused = [name for name, job in zip(jobs, usable, strict=True) if job.base.caching.is_created_from_cache]
            if key in self.ctx.reruns:
                self._note_rerun(key, child, jobs, reused)
            else:
                self._note(self._outcome(key, child, tuple(jobs), tuple(reused)), jobs)
        while self.ctx.queue and len(self.ctx.children) < self.inputs.in_flight.value and not self._too_many_failed():
            key = self.ctx.queue.pop(0)
            self.to_context(**{f"children.{key}": self.child(key) or self._submit(key)})

    def make_other_starts(self) -> None:
        """Queue the branch check: a share of the labels and every flagged one, from all starts that differ."""
        settings = self.labeller.request.settings
        if not self.labeller.checks_branches(settings) or self._too_many_failed():
            return
        frames = self.inputs.frames.frames
        ids = frames.ids()
        starts: dict[str, dict[str, str]] = {}
        for index in distinct(ids):
            jobs = self.ctx.outcomes.get(ids[index], {}).get("jobs", {})
            if jobs and (is_drawn(ids[index], self.inputs.branch_share.value) or self._is_flagged(jobs, index)):
                recipes = other_starts(frames.atoms(index), settings)
                key = frame_key(ids[index])
                starts |= {f"{key}_{recipe.value}": {"frame": ids[index], "start": recipe.value} for recipe in recipes}
        if not starts:
            return
        structures = other_start_structures(
            frames=self.inputs.frames,
            settings=self.inputs.settings,
            starts=orm.Dict(starts),
            metadata={"call_link_label": "other_starts"},
        )
        self.ctx.reruns = starts
        self.ctx.structures |= {key: structure.uuid for key, structure in structures.items()}
        self.ctx.queue = list(starts)

    def collect(self) -> None:
        """Turn the trajectories of all jobs into one labelled data set, and the outcomes into the triage table."""
        for key in self.ctx.queue:
            self._note(Outcome(self.ctx.frames[key], reason="not sent: the batch was stopped early"))
        trajectories, parameters, retrieved = {}, {}, {}
        for outcome in self.ctx.outcomes.values():
            for key, uuid in outcome["jobs"].items():
                job = cast(orm.CalcJobNode, orm.load_node(uuid))
                trajectories[key], parameters[key] = job.outputs.output_trajectory, job.outputs.output_parameters
                if self.labeller.HAS_STATE:
                    retrieved[key] = job.outputs.retrieved
        # A context that was read back from a checkpoint has its keys sorted; the frames keep their order.
        ids = self.inputs.frames.frames.ids()
        outcomes = [self.ctx.outcomes[ids[index]] for index in distinct(ids)]
        rows = [{**outcome["row"], "reruns": list(outcome["reruns"].values())} for outcome in outcomes]
        outputs = collect_labels(
            frames=self.inputs.frames,
            settings=self.inputs.settings,
            labeller=self.inputs.labeller,
            outcomes=orm.Dict({"rows": rows}),
            trajectories=trajectories,
            parameters=parameters,
            retrieved=retrieved,
            pseudos=dict(self.inputs.get("pseudos", {})),
            metadata={"call_link_label": "collect"},
        )
        self.out_many(outputs)

    def forget_ambiguous(self) -> None:
        """Keep the calculations of ambiguous frames out of the cache: another campaign has to look at them anew.

        Those that were themselves taken from the cache have equals, which would hand the label out just as well.
        """
        for row in self.outputs["triage"]["frames"]:
            if row["status"] == LabelStatus.AMBIGUOUS:
                for uuid in self.ctx.outcomes[row["frame"]]["jobs"].values():
                    job = orm.load_node(uuid)
                    for equal in (*job.base.caching.get_all_same_nodes(), job):
                        equal.base.caching.is_valid_cache = False

    def conclude(self) -> ExitCode | None:
        """End well, or say how much failed."""
        table = self.outputs["triage"].get_dict()
        failed = [row["reason"] for row in table["frames"] if row["status"] == LabelStatus.REJECTED]
        n_frames = len(table["frames"])
        self.report(f"{n_frames - len(failed)} of {n_frames} frames labelled, {table['counts']['labels']} labels")
        checked = table["branch_check"]
        if checked["frames"]:
            spread = f"{1000 * checked['energy_spread']:.1f} meV/atom, {checked['force_spread']:.2f} eV/angstrom"
            found = f"{checked['frames']} frames from several starts, {checked['ambiguous']} ambiguous"
            self.report(f"branch check: {found}, largest spread {spread}")
        if checked["unchecked"]:
            self.report(f"branch check: {checked['unchecked']} frames got no label from any other start")
        saved = table["saved"]
        if saved["frames"]:
            found = f"{saved['frames']} of them were found finished in this profile"
            self.report(f"{found}: {saved['core_s']:.0f} core seconds not spent again")
        if not table["counts"]["labels"]:
            first = table["frames"][0]["reason"]
            return self._exit("ERROR_ALL_LABELS_FAILED", frames=n_frames, message=first)
        share = self.inputs.max_failed_share.value
        if len(failed) > share * n_frames:
            values = {"failed": len(failed), "frames": n_frames, "share": share, "message": failed[0]}
            return self._exit("ERROR_TOO_MANY_LABELS_FAILED", **values)
        return None

    def _submit(self, key: str) -> orm.ProcessNode:
        structure = cast(orm.StructureData, orm.load_node(self.ctx.structures[key]))
        other = self.ctx.reruns.get(key)
        builder = self.labeller.builder(structure, StartRecipe(other["start"]) if other else None)
        builder.metadata.call_link_label = key
        return cast(orm.ProcessNode, self.submit(builder))

    def _outcome(
        self, key: str, child: orm.ProcessNode, calculations: tuple[str, ...], reused: tuple[str, ...]
    ) -> Outcome:
        return Outcome(
            frame=self.ctx.frames[key],
            calculations=calculations,
            process=child.uuid,
            attempts=len(self.labeller.jobs(child)),
            reason=self.labeller.reason(child),
            wall_s=(child.mtime - child.ctime).total_seconds(),
            reused=reused,
            cores=granted_cores(self.labeller.options()["resources"]),
        )

    def _note(self, outcome: Outcome, jobs: Mapping[str, str] | None = None) -> None:
        self.ctx.outcomes[outcome.frame] = {"row": outcome.plain(), "jobs": dict(jobs or {}), "reruns": {}}

    def _note_rerun(self, key: str, child: orm.ProcessNode, jobs: Mapping[str, str], reused: Sequence[str]) -> None:
        other = self.ctx.reruns[key]
        outcome = self.ctx.outcomes[other["frame"]]
        given = next(iter(jobs), "")
        outcome["reruns"][key] = asdict(Rerun(other["start"], child.uuid, given, self.labeller.reason(child)))
        outcome["jobs"].update(jobs)
        outcome["row"]["reused"] = sorted({*outcome["row"]["reused"], *reused})

    def _is_flagged(self, jobs: Mapping[str, str], index: int) -> bool:
        job = cast(orm.CalcJobNode, orm.load_node(next(iter(jobs.values()))))
        outputs = JobOutputs(job.outputs.output_trajectory, job.outputs.output_parameters, job.outputs.retrieved)
        try:
            state = outputs.state(self.labeller.request.settings, self.inputs.frames.frames.atoms(index))
        except InputError:
            # A damaged output costs its frame when labels are collected; here it is no reason for more work.
            return False
        return bool(state.flag)

    def _exit(self, label: str, **values: object) -> ExitCode:
        code: ExitCode = getattr(self.exit_codes, label)
        return code.format(**values) if values else code

    def _too_many_failed(self) -> bool:
        failed = sum(not outcome["jobs"] for outcome in self.ctx.outcomes.values())
        return bool(failed > self.inputs.max_failed_share.value * len(self.ctx.frames))
