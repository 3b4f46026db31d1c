"""Labels that were not made here become a data set: from an extended XYZ file, or from pw.x calculations.

Both happen inside provenance. From a data set of imported calculations the links lead to the arrays that they wrote;
of a file the node is kept, and what is stated of it is an input beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiida import orm
from aiida.common.progress_reporter import get_progress_reporter
from aiida.engine import ExitCode, calcfunction
from ase import Atoms
from pydantic import BaseModel, ConfigDict, ValidationError

from aiida_nvp.calculations.merge import ERROR_INPUT, ERROR_MIXED_LEVELS
from aiida_nvp.calculations.pw_nodes import calculation_name, read_run, stdout_of, xml_of
from aiida_nvp.calculations.remarks import remark
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import frame_id
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import LabellerName, LabelMode
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.extxyz import SAME_ENERGY, ReadFrames, read_extxyz
from aiida_nvp.labelling.extxyz_frame import read_choices
from aiida_nvp.labelling.label_state import LabelState, imported_state, step_balance
from aiida_nvp.labelling.one_level import MixedLevelsError, common_theory, differences, refuse_others, stated_theory
from aiida_nvp.labelling.pw_forces import ForceBalance, force_balances
from aiida_nvp.labelling.pw_level import PwLevel, PwRun, read_level
from aiida_nvp.labelling.pw_output import IonicStep, LeftOut, check_units, ionic_steps
from aiida_nvp.labelling.pw_state import FIRST_WITH_HUBBARD_CARD
from aiida_nvp.labelling.theory import theory_hash
from aiida_nvp.labelling.upf import Pseudo

CELL_TOLERANCE = 1e-3
"""A step whose cell differs by more than this share from the first has another cutoff than the stated one: pw.x keeps
the number of plane waves while the cell changes."""
_ELECTRON_MAXSTEP = 100
_ORIGIN_KINDS = {
    "relax": LabelMode.RELAX.origin_kind,
    "vc-relax": LabelMode.RELAX.origin_kind,
    "md": LabelMode.MD.origin_kind,
    "vc-md": LabelMode.MD.origin_kind,
}

Namespaces = Mapping[str, Mapping[str, Any]]


class ImportChoices(BaseModel):
    """How calculations are taken in.

    :param stress_converged: whether their cutoffs are high enough to trust the stress; where not, labels carry none.
    :param skip_others: leave out calculations of another level of theory than the stated one, instead of refusing.
    :param left_out: of :class:`~aiida_nvp.calculations.pw_nodes.Gathered`, for the summary.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stress_converged: bool = False
    skip_others: bool = False
    left_out: list[dict[str, str]] = []


@calcfunction
def import_extxyz(file: orm.SinglefileData, theory: orm.Dict, parameters: orm.Dict) -> DatasetData | ExitCode:
    """Return the labelled frames of an extended XYZ file, each geometry once.

    :param theory: the level of theory as the user states it, by a `labeller` and what else defines a label; empty for
        a file that was written here and carries the hash of its level.
    :param parameters: keys, units and checks, as in ``aiida_nvp.labelling.extxyz_frame.ReadSettings``.

    Exit status 210 for a file, a level or settings that cannot be used, with a sentence. What was noticed and is no
    error stands in the extra ``aiida_nvp_remarks`` of the process.
    """
    try:
        choices = read_choices(parameters.get_dict())
        read = read_extxyz(file.get_content(mode="r"), choices, lambda chunks: _watched(chunks, "reading frames"))
        level = _stated_level(theory.get_dict(), read)
        frames = read.frame_set(level)
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))
    known = f"{read.work.pairs} pairs of neighbours: energy over work of the forces {read.work.ratio:.3f}."
    remark(read.remarks + ([known] if read.work.known else []))
    return DatasetData(frames, read.sources)


@calcfunction
def import_calculations(
    choices: orm.Dict, theory: orm.Dict | None = None, **calculations: Any
) -> dict[str, orm.Data] | ExitCode:
    """Return ``dataset``, every usable ionic step of the calculations, and ``summary``, a line for each of them.

    :param choices: as in :class:`ImportChoices`.
    :param theory: the level of theory that all calculations have to be of; read from their inputs where not given.
    :param calculations: namespaces ``trajectories``, ``results``, ``structures``, ``parameters``, ``settings``,
        ``kpoints``, ``distances``, ``retrieved``, ``asked`` and ``pseudos``, as
        ``aiida_nvp.calculations.pw_nodes.gather`` collects them.

    Exit status 210 if nothing can be used, 211 if the calculations are of several levels of theory, both with a
    sentence.
    """
    try:
        chosen = ImportChoices.model_validate(choices.get_dict())
        batch = _Batch(calculations, chosen)
        level = batch.level(None if theory is None else theory.get_dict())
        batch.read()
    except MixedLevelsError as error:
        return ExitCode(ERROR_MIXED_LEVELS, str(error))
    except (InputError, ValidationError) as error:
        return ExitCode(ERROR_INPUT, " ".join(str(error).split()))
    labelled = FrameSet.from_atoms(batch.atoms, batch.info, level_of_theory=theory_hash(level))
    return {"dataset": DatasetData(labelled, batch.sources), "summary": orm.Dict(batch.summary(level))}


@dataclass
class _Batch:
    """Labels of many calculations as they are gathered, each geometry once.

    :param rows: what became of each calculation.
    """

    nodes: Namespaces
    choices: ImportChoices
    runs: dict[str, PwRun] = field(default_factory=dict)
    levels: dict[str, PwLevel] = field(default_factory=dict)
    atoms: list[Atoms] = field(default_factory=list)
    info: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    made_by: dict[str, orm.ProcessNode | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.left_out += self.choices.left_out
        pseudos: dict[str, Pseudo] = {}
        for key in _watched(sorted(self.nodes.get("trajectories", {})), "reading levels of theory"):
            self.made_by[key] = self.nodes["trajectories"][key].creator
            try:
                run = read_run(self.nodes, key, pseudos)
                self.runs[key], self.levels[key] = run, read_level(run)
                results = self.nodes["results"][key].get_dict()
                check_units(results)
                _check_release(run, str(results.get("creator_version", "")))
            except InputError as error:
                self.leave(key, str(error))

    def name(self, key: str) -> str:
        made_by = self.made_by[key]
        return key if made_by is None else calculation_name(made_by)

    def process(self, key: str) -> str:
        """Return the UUID of a calculation, or nothing where its trajectory was given without one."""
        made_by = self.made_by[key]
        return "" if made_by is None else str(made_by.uuid)

    def leave(self, key: str, reason: str) -> None:
        """Leave a calculation out and say why."""
        self.levels.pop(key, None)
        self.left_out.append({"calculation": self.name(key), "process": self.process(key), "reason": reason})

    def level(self, stated: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the level of theory of all calculations that stay.

        :raises InputError: if none stays, or the stated level is none of Quantum ESPRESSO.
        """
        if stated:
            theory = stated_theory(stated)
            if theory["labeller"] != LabellerName.QUANTUM_ESPRESSO.value:
                raise InputError(f"pw.x made these labels, but the stated labeller is {theory['labeller']}.")
            departs = {key: differences(theory, self.runs[key], level) for key, level in self.levels.items()}
            others = {key: facts for key, facts in departs.items() if facts}
            if not self.choices.skip_others:
                refuse_others({self.name(key): facts for key, facts in others.items()}, len(departs))
            for key, facts in others.items():
                self.leave(key, f"another level of theory: {', '.join(facts)}")
        self._refuse_nothing()
        return theory if stated else common_theory({self.name(key): level for key, level in self.levels.items()})

    def read(self) -> None:
        """Take the labels of all calculations that stay.

        :raises InputError: if there is no label in any of them.
        """
        for key in _watched(list(self.levels), "reading labels"):
            trajectory = self.nodes["trajectories"][key]
            try:
                steps, left_out = _steps(trajectory, self.runs[key], keep_stress=self.choices.stress_converged)
                state = self._state(key)
            except InputError as error:
                self.leave(key, str(error))
                continue
            last = max([*(step.index for step in steps), *(entry.index for entry in left_out)], default=None)
            balances, flags = self._balances(key), []
            taken = []
            for step in steps:
                known, flag = step_balance(balances, step)
                ends = state if step.index == last else LabelState()
                taken.append(self._take(step, key, left_out, ends, known))
                flags += [flag] if taken[-1] else []
            self.rows.append(
                {
                    "calculation": self.name(key),
                    "kind": self.runs[key].calculation,
                    "labels": sum(taken),
                    "left_out": [{"step": entry.index, "reason": entry.reason} for entry in left_out],
                    "flags": list(filter(None, [*flags, state.flag])),
                }
            )
        self._refuse_nothing()

    def summary(self, theory: Mapping[str, Any]) -> dict[str, Any]:
        """Return what became of every calculation."""
        counts = {"calculations": len(self.rows), "labels": len(self.atoms), "left_out": len(self.left_out)}
        level = {"hash": theory_hash(theory), **theory}
        return {"level_of_theory": level, "counts": counts, "calculations": self.rows, "left_out": self.left_out}

    def _refuse_nothing(self) -> None:
        started = bool(self.rows or self.levels)
        if (self.rows and not self.atoms) or not started:
            reasons = [f"{entry['calculation']}: {entry['reason']}" for entry in self.left_out]
            reasons += [f"{row['calculation']}: {e['reason']}" for row in self.rows for e in row["left_out"][:1]]
            first = f"; first: {reasons[0].rstrip('.')}" if reasons else ""
            raise InputError(f"no calculation gives a label{first}.")

    def _state(self, key: str) -> LabelState:
        """Return the state that the calculation ended in; an empty one where no file tells.

        A damaged file costs the last geometry, the one it tells of; of a single point that is all there is.
        """
        retrieved, run = self.nodes.get("retrieved", {}).get(key), self.runs[key]
        # The last cycle of a variable-cell relaxation, which the file tells of, gives no label.
        xml = None if retrieved is None or run.calculation == "vc-relax" else xml_of(retrieved)
        if xml is None:
            return LabelState()
        try:
            return imported_state(xml, run.atoms)
        except InputError as error:
            return LabelState(last_fault=str(error))

    def _balances(self, key: str) -> list[ForceBalance]:
        retrieved = self.nodes.get("retrieved", {}).get(key)
        return [] if retrieved is None else force_balances(stdout_of(retrieved))

    def _take(
        self, step: IonicStep, key: str, left_out: list[LeftOut], state: LabelState, balance: Mapping[str, Any]
    ) -> bool:
        """Take one step unless it is no label or its geometry is there already.

        :param balance: what is known of the balance of its forces.
        """
        if state.last_fault:
            left_out.append(LeftOut(step.index, state.last_fault))
            return False
        identity = frame_id(step.atoms)
        if identity in self.known:
            known = self.atoms[self.known[identity]]
            apart = step.atoms.get_potential_energy() - known.get_potential_energy()
            other = f", and its energy is {apart:+.3g} eV away" if abs(apart) > SAME_ENERGY * len(known) else ""
            left_out.append(LeftOut(step.index, f"the geometry has a label already{other}"))
            return False
        self.known[identity] = len(self.atoms)
        known_state = {**balance, **({"state": state.info} if state.info else {})}
        self.atoms.append(step.atoms)
        self.info.append({"origin": _origin(self.runs[key], step), "label": {**step.info, **known_state}})
        self.sources.append({"label": self.process(key)} if self.process(key) else {})
        return True


def _check_release(run: PwRun, version: str) -> None:
    """Refuse a calculation that did not apply the Hubbard parameters that it was given.

    :raises InputError: naming the release.
    """
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if (run.hubbard or {}).get("parameters") and numbers and numbers < FIRST_WITH_HUBBARD_CARD:
        raise InputError(f"pw.x {version} ignores the HUBBARD card: its labels are those of the bare functional.")


def _origin(run: PwRun, step: IonicStep) -> dict[str, Any]:
    start = {"kind": "imported", "calculation": run.calculation}
    kind = _ORIGIN_KINDS.get(run.calculation)
    if kind is None:
        return start
    return {"kind": kind, "step": step.index, "start": frame_id(run.atoms), "start_origin": start}


def _steps(trajectory: orm.TrajectoryData, run: PwRun, *, keep_stress: bool) -> tuple[list[IonicStep], list[LeftOut]]:
    arrays = {name: trajectory.get_array(name) for name in trajectory.get_arraynames()}
    limit = int(run.parameters.get("ELECTRONS", {}).get("electron_maxstep", _ELECTRON_MAXSTEP))
    if run.calculation == "vc-relax":
        # The last cycle, in new plane waves, has labels in the trajectory but no geometry.
        count = len(arrays.get("positions", ()))
        arrays = {name: values[:count] for name, values in arrays.items()}
    steps, left_out = ionic_steps(arrays, run.atoms, max_iterations=limit, keep_stress=keep_stress)
    first = run.atoms.cell.array
    stretched = [
        step.index
        for step in steps
        if np.abs(step.atoms.cell.array - first).max() > CELL_TOLERANCE * np.linalg.norm(first, axis=1).max()
    ]
    left_out += [LeftOut(index, "the cell has changed at a fixed number of plane waves") for index in stretched]
    return [step for step in steps if step.index not in stretched], left_out


def _stated_level(stated: Mapping[str, Any], read: ReadFrames) -> str:
    if not stated:
        if read.level_of_theory is None:
            raise InputError("the file does not say what made its labels; state the level of theory.")
        return read.level_of_theory
    level = theory_hash(stated_theory(stated))
    if read.level_of_theory not in (None, level):
        raise InputError(
            f"the file says that its labels are of level {str(read.level_of_theory)[:12]}, the stated one is "
            f"{level[:12]}; leave the statement out, or correct it."
        )
    return level


def _watched(items: Sequence[Any], description: str) -> Iterable[Any]:
    """Hand the items on while AiiDA's progress reporter, which shows nothing unless a program asks it to, counts."""
    with get_progress_reporter()(total=len(items), desc=description) as progress:
        for item in items:
            yield item
            progress.update()
