"""Who can make labels. One class a labeller; the work chain knows only what :class:`Labeller` promises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ProcessBuilder
from aiida_pseudo.data.pseudo.upf import UpfData

from aiida_nvp.calculations.pw_nodes import stdout_of
from aiida_nvp.calculations.rehearsal import RehearsalCalculation
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import LabellerName, LabelMode, StartRecipe
from aiida_nvp.labelling.pw_crash import last_words
from aiida_nvp.labelling.pw_input import pw_mesh, pw_parameters, pw_settings
from aiida_nvp.labelling.rehearsal import load_parameters
from aiida_nvp.labelling.scf_remedies import REMEDIES
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.labelling.valence import oxidation_counts, starting_state
from aiida_nvp.workflows.pw_label import PwLabelWorkChain

ONE_CORE = {"num_machines": 1, "num_mpiprocs_per_machine": 1}
MAX_ATTEMPTS = REMEDIES + 2
"""Each remedy once, the return from the detour, and the first attempt."""


@dataclass(frozen=True)
class LabelRequest:
    """What a user asks of a labeller.

    :param options: ``metadata.options`` of every job.
    """

    code: orm.AbstractCode
    settings: LabelSettings
    pseudos: Mapping[str, UpfData] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


class Labeller(ABC):
    """Makes labels of one kind.

    A child process that it builds gives, from each usable calculation, ``output_trajectory`` and ``output_parameters``
    as :mod:`aiida_nvp.labelling.pw_output` describes them.
    """

    PLUGINS: tuple[str, ...]
    """Default plugins that a code may name; a code without a default is taken at its user's word."""

    HAS_STATE = False
    """Whether the retrieved files tell the electronic state behind a label."""

    @classmethod
    def checks_branches(cls, settings: LabelSettings) -> bool:
        """Return whether a label with these settings can be made again from another start: single points alone."""
        return cls.HAS_STATE and settings.mode is LabelMode.SINGLE_POINT

    def __init__(self, request: LabelRequest) -> None:
        """Remember the request; nodes that all children share are made once."""
        self.request = request
        self._shared: dict[str, orm.Data] = {}

    def refuse(self, frames: FrameSet) -> str:
        """Return a sentence on why this batch cannot be labelled, or an empty string."""
        plugin = self.request.code.default_calc_job_plugin
        if plugin is not None and plugin not in self.PLUGINS:
            return f"code {self.request.code.full_label} runs {plugin}, but labels here need {self.PLUGINS[0]}."
        return self._refuse_species(frames.species()) or self._refuse_frames(frames)

    @abstractmethod
    def _refuse_species(self, species: Sequence[str]) -> str: ...

    def _refuse_frames(self, _frames: FrameSet) -> str:
        """Return a sentence on the first frame that cannot be labelled with these settings, or an empty string."""
        return ""

    @abstractmethod
    def builder(self, structure: orm.StructureData, recipe: StartRecipe | None = None) -> ProcessBuilder:
        """Return the child process that labels ``structure``, ready to be submitted.

        :param recipe: another start than the usual one; asked only of a labeller that has states.
        """

    @abstractmethod
    def jobs(self, child: orm.ProcessNode) -> list[orm.CalcJobNode]:
        """Return all jobs that the child ran, in order."""

    def usable(self, child: orm.ProcessNode) -> list[orm.CalcJobNode]:
        """Return the jobs whose steps may be taken as labels.

        A single point counts only if its job ended well. The steps of a relaxation or an MD run stand on their own:
        those before a failure are as good as any.
        """
        jobs = [job for job in self.jobs(child) if {"output_trajectory", "output_parameters"} <= set(job.outputs)]
        if self.request.settings.mode is not LabelMode.SINGLE_POINT:
            return [job for job in jobs if {"energy", "forces"} <= set(job.outputs.output_trajectory.get_arraynames())]
        return [job for job in jobs if job.is_finished_ok][-1:]

    def reason(self, child: orm.ProcessNode) -> str:
        """Return why the child did not end well, or an empty string."""
        if child.is_finished_ok:
            return ""
        if not child.is_finished:
            return f"the process was {child.process_state.value if child.process_state else 'lost'}"
        words = [child.exit_message or f"exit status {child.exit_status}"]
        for job in self.jobs(child)[-1:]:
            if job.uuid != child.uuid:
                words.append(f"Last job: {job.exit_message or job.exit_status}")
                words += _shell_words(job)
        return " ".join(words)

    def options(self) -> dict[str, Any]:
        """Return the options of every job, completed by one core without MPI."""
        # A code that says how it runs is believed; AiiDA refuses a job that says otherwise.
        return {"resources": dict(ONE_CORE), "withmpi": bool(self.request.code.with_mpi), **self.request.options}

    def shared(self, name: str, make: Callable[[], orm.Data]) -> orm.Data:
        """Return the node ``name``, made on first use: equal inputs of many children are one node."""
        if name not in self._shared:
            self._shared[name] = make()
        return self._shared[name]


class PwLabeller(Labeller):
    """Quantum ESPRESSO's pw.x."""

    PLUGINS = ("quantumespresso.pw",)
    HAS_STATE = True

    def _refuse_species(self, species: Sequence[str]) -> str:
        missing = [symbol for symbol in species if symbol not in self.request.pseudos]
        if missing:
            given = ", ".join(sorted(self.request.pseudos)) or "none"
            return f"no pseudopotential for {', '.join(missing)}; given: {given}."
        return ""

    def builder(self, structure: orm.StructureData, recipe: StartRecipe | None = None) -> ProcessBuilder:
        """Return a ``PwBaseWorkChain`` with all inputs filled directly: the settings are complete."""
        settings = self.request.settings
        symbol_of = {kind.name: kind.symbol for kind in structure.kinds}
        start = self._start(structure, recipe)
        parameters = pw_parameters(settings, start, len(structure.sites))
        mesh = pw_mesh(settings, np.array(structure.cell))
        builder = PwLabelWorkChain.get_builder()
        builder.pw.code = self.request.code
        builder.pw.structure = structure
        builder.pw.parameters = self.shared(f"parameters {start} {len(structure.sites)}", lambda: orm.Dict(parameters))
        builder.pw.settings = self.shared("settings", lambda: orm.Dict(pw_settings(settings)))
        builder.pw.pseudos = {kind: self.request.pseudos[symbol] for kind, symbol in sorted(symbol_of.items())}
        builder.pw.metadata = {"options": self.options()}
        builder.kpoints = self.shared(f"kpoints {mesh}", lambda: _mesh(mesh))
        builder.max_iterations = self.shared("max_iterations", lambda: orm.Int(MAX_ATTEMPTS))
        return builder

    def _refuse_frames(self, frames: FrameSet) -> str:
        """Refuse compositions without valences that balance, and odd electrons that would have to pair."""
        settings = self.request.settings
        electrons = {symbol: float(pseudo.z_valence) for symbol, pseudo in self.request.pseudos.items()}
        for index, atoms in enumerate(frames):
            where = f"frame {index} ({atoms.get_chemical_formula()})"
            if settings.start == "valence":
                try:
                    oxidation_counts(atoms.get_chemical_symbols())
                except InputError as error:
                    return f"{where}: {error}"
            elif not set(settings.starting_magnetization) & set(atoms.symbols):
                count = round(sum(electrons[symbol] for symbol in atoms.symbols))
                if count % 2:
                    return (
                        f"{where} has {count} valence electrons, an odd number, and no spin; name a species of it in "
                        "starting_magnetization, or start from valences."
                    )
        return ""

    def _start(self, structure: orm.StructureData, recipe: StartRecipe | None) -> dict[str, float]:
        """Return the starting magnetisation by kind; empty for a cell without spin polarisation."""
        settings = self.request.settings
        if recipe is None and settings.start == "valence":
            recipe = StartRecipe.FERROMAGNETIC
        if recipe is not None:
            electrons = {symbol: float(pseudo.z_valence) for symbol, pseudo in self.request.pseudos.items()}
            return starting_state(structure.get_ase(), recipe).magnetization(electrons)
        given = settings.starting_magnetization
        return {kind.name: given[kind.symbol] for kind in structure.kinds if kind.symbol in given}

    def reason(self, child: orm.ProcessNode) -> str:
        """Return why the child did not end well, with the last words of pw.x, or an empty string."""
        words = super().reason(child)
        jobs = self.jobs(child) if words else []
        return " ".join([words, *filter(None, map(_last_words, jobs[-1:]))]) if words else ""

    def jobs(self, child: orm.ProcessNode) -> list[orm.CalcJobNode]:
        """Return the pw.x jobs of the work chain, in order."""
        return sorted((job for job in child.called if isinstance(job, orm.CalcJobNode)), key=lambda job: job.ctime)


class RehearsalLabeller(Labeller):
    """The analytic stand-in."""

    PLUGINS = ("nvp.rehearsal",)

    def _refuse_species(self, species: Sequence[str]) -> str:
        known = load_parameters().charges
        missing = [symbol for symbol in species if symbol not in known]
        return f"the rehearsal potential knows {', '.join(known)}, not {', '.join(missing)}." if missing else ""

    def builder(self, structure: orm.StructureData, _recipe: StartRecipe | None = None) -> ProcessBuilder:
        """Return a rehearsal job."""
        settings = self.request.settings
        parameters: dict[str, Any] = {"mode": settings.mode.value}
        if settings.mode is LabelMode.RELAX:
            parameters["relax_steps"] = settings.relax_steps
        if settings.mode is LabelMode.MD:
            chosen = ("md_steps", "md_temperature", "md_timestep_fs")
            parameters |= {name: getattr(settings, name) for name in chosen}
        builder = RehearsalCalculation.get_builder()
        builder.code = self.request.code
        builder.structure = structure
        builder.parameters = self.shared("parameters", lambda: orm.Dict(parameters))
        builder.metadata = {"options": self.options()}
        return builder

    def jobs(self, child: orm.ProcessNode) -> list[orm.CalcJobNode]:
        """Return the child itself."""
        return [child] if isinstance(child, orm.CalcJobNode) else []


LABELLERS: Mapping[LabellerName, type[Labeller]] = {
    LabellerName.QUANTUM_ESPRESSO: PwLabeller,
    LabellerName.REHEARSAL: RehearsalLabeller,
}


def _shell_words(job: orm.CalcJobNode) -> list[str]:
    """Return the last line on the job's standard error: why a program could not start stands there alone."""
    lines = [] if job.is_finished_ok else (job.get_scheduler_stderr() or "").strip().splitlines()
    return [f"Its shell: {lines[-1]}"] if lines else []


def _last_words(job: orm.CalcJobNode) -> str:
    """Return what pw.x wrote to its standard output when it gave up, or an empty string."""
    return last_words(stdout_of(job.outputs.retrieved)) if "retrieved" in job.outputs else ""


def _mesh(mesh: tuple[int, int, int]) -> orm.KpointsData:
    kpoints = orm.KpointsData()
    kpoints.set_kpoints_mesh(list(mesh))
    return kpoints
