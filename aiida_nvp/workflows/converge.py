"""A convergence test: one structure at rising cutoffs, density cutoffs and k-point densities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar, cast

from aiida import orm
from aiida.common import AttributeDict
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_
from aiida_pseudo.data.pseudo.upf import UpfData
from ase import Atoms

from aiida_nvp.calculations.convergence import collect_convergence, convergence_structure, proposed_point
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import canonical
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.labelling.convergence_plan import ConvergencePlan, Point, distinct_points, make_series, read_plan
from aiida_nvp.labelling.settings import LabelSettings, read_settings
from aiida_nvp.labelling.triage import overlap
from aiida_nvp.workflows.labellers import Labeller, LabelRequest, PwLabeller
from aiida_nvp.workflows.protocols.converge import resolve_convergence
from aiida_nvp.workflows.window import SlidingWindow


class ConvergeWorkChain(SlidingWindow):
    """Run pw.x on one structure along three series of settings and propose the cheapest that are enough.

    Each point is the child process of a label, so that labels and tests find each other's calculations by caching. A
    point that fails is a row with its reason. What is proposed is then calculated as a whole and checked. A test that
    is not converged ends well: its verdict says how to go on.
    """

    LABELLER: ClassVar[type[Labeller]] = PwLabeller

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Declare ports, outline and exit codes."""
        super().define(spec)
        as_node = {"serializer": orm.to_aiida_type}
        spec.input("structure", valid_type=orm.StructureData, help="Periodic; its atoms are best off their sites.")
        spec.input("code", valid_type=orm.AbstractCode, help="pw.x.")
        spec.input_namespace("pseudos", dynamic=True, valid_type=UpfData, help="By species.")
        spec.input("settings", valid_type=orm.Dict, help="LabelSettings that all points have in common.", **as_node)
        spec.input("plan", valid_type=orm.Dict, help="ConvergencePlan: series and tolerances.", **as_node)
        spec.input("in_flight", default=lambda: orm.Int(4), help="Jobs running at once.", valid_type=orm.Int, **as_node)
        spec.input("options", default=lambda: orm.Dict({}), help="Options of the jobs.", valid_type=orm.Dict, **as_node)
        spec.output("result", valid_type=orm.Dict, help="A row for every point, verdicts, proposal with its reasons.")
        spec.outline(
            cls.validate,
            cls.prepare,
            while_(cls.has_work)(cls.advance),
            cls.propose,
            while_(cls.has_work)(cls.advance),
            cls.collect,
            cls.conclude,
        )
        spec.exit_code(201, "ERROR_INVALID_PLAN", message="The test is asked for in a wrong way: {message}")
        spec.exit_code(203, "ERROR_LABELLER_REFUSED", message="pw.x cannot do this test: {message}")
        spec.exit_code(
            401,
            "ERROR_REFERENCE_FAILED",
            message="The most stringent setting failed, so that nothing of its series can be compared: {message}",
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: orm.StructureData,
        protocol: str | None = None,
        pseudo_family: str = "",
        overrides: Mapping[str, Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder whose test can begin.

        :param protocol: ``fast``, ``balanced`` (default) or ``stringent``.
        :param pseudo_family: label of an installed family; the series lie around its cutoffs.
        :param overrides: of series, tolerances, label settings and jobs in flight, as :func:`resolve_convergence` says.
        :raises InputError: for anything that would keep the test from beginning.
        """
        atoms = usable_atoms(structure)
        species = sorted(set(atoms.get_chemical_symbols()))
        plan, common, pseudos, in_flight = resolve_convergence(protocol, pseudo_family, species, overrides)
        check_test(atoms, plan, cls.LABELLER(LabelRequest(code, common, pseudos)))
        builder = cls.get_builder()
        builder.structure, builder.code, builder.pseudos = structure, code, dict(pseudos)
        builder.settings, builder.plan = orm.Dict(common.plain()), orm.Dict(plan.plain())
        builder.in_flight = orm.Int(in_flight)
        return builder

    @cached_property
    def points(self) -> dict[str, Point]:
        """The calculations of the test by key."""
        cell = usable_atoms(self.inputs.structure).cell.array
        return distinct_points(make_series(read_plan(self.inputs.plan.get_dict()), cell))

    @cached_property
    def common(self) -> LabelSettings:
        """What the settings of all points have in common."""
        return read_settings(self.inputs.settings.get_dict())

    def labeller(self, settings: LabelSettings) -> Labeller:
        """Return the labeller at ``settings``."""
        options = self.inputs.options.get_dict()
        return self.LABELLER(LabelRequest(self.inputs.code, settings, self.inputs.pseudos, options))

    def validate(self) -> ExitCode | None:
        """Refuse what cannot be tested, before anything is submitted."""
        try:
            settings, plan = self.common, read_plan(self.inputs.plan.get_dict())
            atoms = usable_atoms(self.inputs.structure)
            make_series(plan, atoms.cell.array)
        except InputError as error:
            return self._exit("ERROR_INVALID_PLAN", str(error))
        if self.inputs.in_flight.value < 1:
            return self._exit("ERROR_INVALID_PLAN", "in_flight must be 1 or more.")
        try:
            check_test(atoms, plan, self.labeller(settings))
        except InputError as error:
            return self._exit("ERROR_LABELLER_REFUSED", str(error))
        return None

    def prepare(self) -> None:
        """Make the structure that all points share, and line the points up."""
        metadata = {"call_link_label": "structure"}
        structure = convergence_structure(self.inputs.structure, self.inputs.settings, metadata=metadata)
        self.ctx.structure = structure.uuid
        self.ctx.queue = list(self.points)
        self.ctx.outcomes, self.ctx.jobs = {}, {}
        self.ctx.children = AttributeDict()

    def has_work(self) -> bool:
        """Whether points wait or run."""
        return bool(self.ctx.children or self.ctx.queue)

    def advance(self) -> None:
        """Note the children that have ended and fill the window again."""
        for key, child in self.finished_children("children").items():
            self._note(key, child)
        while self.ctx.queue and len(self.ctx.children) < self.inputs.in_flight.value:
            key = self.ctx.queue.pop(0)
            self.to_context(**{f"children.{key}": self.child(key) or self._submit(key)})

    def propose(self) -> None:
        """Look at the series, and line up the settings that they propose together, if they propose all."""
        result = self._table("propose")
        self.ctx.table, self.ctx.proposed = result.uuid, None
        point = proposed_point(result["proposal"], usable_atoms(self.inputs.structure))
        if point is not None and point.key not in self.points:
            self.ctx.proposed = result["proposal"]
            self.ctx.queue = [point.key]

    def collect(self) -> None:
        """Give out the table with the proposal and its check."""
        checked = self.ctx.proposed is not None
        result = self._table("collect") if checked else cast(orm.Dict, orm.load_node(self.ctx.table))
        self.out("result", result)

    def _table(self, name: str) -> orm.Dict:
        """Turn the outputs of all jobs so far into the table, under a link of this name."""
        trajectories, parameters, retrieved = {}, {}, {}
        for key, uuid in self.ctx.jobs.items():
            job = cast(orm.CalcJobNode, orm.load_node(uuid))
            trajectories[key], parameters[key] = job.outputs.output_trajectory, job.outputs.output_parameters
            if self.LABELLER.HAS_STATE:
                retrieved[key] = job.outputs.retrieved
        result: orm.Dict = collect_convergence(
            structure=orm.load_node(self.ctx.structure),
            settings=self.inputs.settings,
            plan=self.inputs.plan,
            outcomes=orm.Dict(self.ctx.outcomes),
            trajectories=trajectories,
            parameters=parameters,
            retrieved=retrieved,
            metadata={"call_link_label": name},
        )
        return result

    def conclude(self) -> ExitCode | None:
        """End well, or name the series whose reference failed."""
        verdicts = {name: series["verdict"] for name, series in self.outputs["result"]["series"].items()}
        for name, verdict in verdicts.items():
            self.report(f"{name}: {verdict['reason']}")
        check = self.outputs["result"]["cross_check"]
        if check:
            self.report(check["sentence"])
        failed = [f"{name}: {verdict['reason']}" for name, verdict in verdicts.items() if not verdict["compared"]]
        return self._exit("ERROR_REFERENCE_FAILED", "; ".join(failed)) if failed else None

    def _point(self, key: str) -> Point:
        if key in self.points:
            return self.points[key]
        point = proposed_point(self.ctx.proposed, usable_atoms(self.inputs.structure))
        assert point is not None
        return point

    def _submit(self, key: str) -> orm.ProcessNode:
        structure = cast(orm.StructureData, orm.load_node(self.ctx.structure))
        builder = self.labeller(self._point(key).settings(self.common)).builder(structure)
        builder.metadata.call_link_label = key
        return cast(orm.ProcessNode, self.submit(builder))

    def _note(self, key: str, child: orm.ProcessNode) -> None:
        labeller = self.labeller(self._point(key).settings(self.common))
        usable = labeller.usable(child)
        reason = "" if usable else labeller.reason(child) or "the calculation gave no label"
        self.ctx.outcomes[key] = {
            "reason": reason,
            "reused": any(job.base.caching.is_created_from_cache for job in usable),
        }
        if usable:
            self.ctx.jobs[key] = usable[-1].uuid

    def _exit(self, label: str, message: str) -> ExitCode:
        code: ExitCode = getattr(self.exit_codes, label)
        return code.format(message=message)


def usable_atoms(structure: orm.StructureData) -> Atoms:
    """Return the structure as a canonical frame.

    :raises InputError: if it is not periodic, has shared sites, or two of its atoms lie on each other.
    """
    try:
        atoms = canonical(structure.get_ase())
    except ValueError as error:
        raise InputError(f"the structure cannot be calculated: {str(error).rstrip('.')}.") from error
    if not atoms.pbc.all():
        raise InputError("the structure is not periodic along all three axes, and pw.x takes every cell as periodic.")
    fault = overlap(atoms)
    if fault:
        raise InputError(f"the structure cannot be calculated: {fault}; move them apart or delete one.")
    return atoms


def check_test(atoms: Atoms, plan: ConvergencePlan, labeller: Labeller) -> None:
    """Refuse what the labeller cannot do and series without anything to compare.

    :raises InputError: in one sentence.
    """
    make_series(plan, atoms.cell.array)
    refusal = labeller.refuse(FrameSet.from_atoms([atoms]))
    if refusal:
        raise InputError(refusal)
