"""Into the labeller and out of it: frames become structures, trajectories become labelled frames.

All conversion of units and signs happens here, inside provenance: from a labelled data set the link named
``trajectories__frame_<id>`` leads to the arrays that a calculation wrote, and from there to that calculation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_nvp.calculations.pw_nodes import stdout_of, xml_of
from aiida_nvp.calculations.structure import to_structure
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import frame_id
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.vocabulary import LabellerName, StartRecipe
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.labelling.branches import BranchCheck, Solution, compare, usual_start
from aiida_nvp.labelling.label_state import LabelState, label_state, step_balance
from aiida_nvp.labelling.pw_forces import ForceBalance, force_balances
from aiida_nvp.labelling.pw_output import IonicStep, check_units, ionic_steps
from aiida_nvp.labelling.settings import LabelSettings, read_settings
from aiida_nvp.labelling.theory import pw_theory, rehearsal_theory, theory_hash
from aiida_nvp.labelling.triage import (
    Harvest,
    Outcome,
    count_checks,
    count_savings,
    count_statuses,
    distinct,
    triage_row,
)


def frame_key(identity: str) -> str:
    """Return the name under which a frame is found among links and children."""
    return f"frame_{identity[:16]}"


@calcfunction
def frames_to_structures(frames: DatasetData, settings: orm.Dict | None = None) -> dict[str, orm.StructureData]:
    """Return one structure a distinct frame, under :func:`frame_key`.

    Positions are the canonical ones to the digit, so that a frame that was labelled before is found by caching.

    :param settings: of the labels; they decide which atoms are kinds of their own and whether the structure carries
        Hubbard terms. Without them every element is one kind.
    :raises InputError: if the start of the spins is asked from valences and a composition has none that balance.
    """
    content = frames.frames
    choices = read_settings(settings.get_dict()) if settings is not None else None
    ids = content.ids()
    return {frame_key(ids[index]): to_structure(content.atoms(index), choices) for index in distinct(ids)}


@calcfunction
def other_start_structures(frames: DatasetData, settings: orm.Dict, starts: orm.Dict) -> dict[str, orm.StructureData]:
    """Return the structures of a branch check, whose kinds begin with other spins than the usual ones.

    :param settings: of the labels.
    :param starts: the name of each structure to ``{"frame": id, "start": recipe}``.
    """
    content, choices = frames.frames, read_settings(settings.get_dict())
    index = {identity: row for row, identity in enumerate(content.ids())}
    return {
        key: to_structure(content.atoms(index[one["frame"]]), choices, StartRecipe(one["start"]))
        for key, one in starts.get_dict().items()
    }


def state_of(
    retrieved: orm.FolderData, settings: LabelSettings, atoms: Atoms, recipe: StartRecipe | None = None
) -> LabelState:
    """Return the state that pw.x wrote down.

    :raises InputError: if it left no XML file or a damaged one.
    """
    xml = xml_of(retrieved)
    if xml is None:
        raise InputError("label: pw.x left no XML file, so nobody knows the state that it ended in.")
    return label_state(xml, settings, atoms, recipe)


@calcfunction
def collect_labels(
    frames: DatasetData, settings: orm.Dict, labeller: orm.Str, outcomes: orm.Dict, **calculations: Any
) -> dict[str, orm.Data]:
    """Return ``dataset``, the labelled frames, ``ambiguous``, and ``triage``, a line for every frame.

    Of a frame with several starts the lowest solution is the label. Where they lie too far apart it goes to
    ``ambiguous`` instead, which nobody trains on. Data sets without a frame are absent.

    :param frames: what was sent.
    :param outcomes: ``{"rows": [Outcome.plain(), ...]}`` in the order of the frames.
    :param calculations: namespaces ``trajectories``, ``parameters`` and, of pw.x, ``retrieved``: outputs of the
        calculations under the keys that the outcomes name; and ``pseudos`` by species.

    A calculation whose output cannot be read costs its own frame alone: the reason goes into the table.
    """
    choices = read_settings(settings.get_dict())
    name = LabellerName(labeller.value)
    theory = label_theory(name, choices, calculations.get("pseudos", {}))
    # The analytic stress is exact whatever the cutoffs of the settings say.
    reader = _Reader(choices, keep_stress=choices.stress_converged or name is LabellerName.REHEARSAL)
    content = frames.frames
    batch, ambiguous = _Batch(), _Batch()
    ids = content.ids()
    row_of = {ids[index]: index for index in distinct(ids)}
    rows = []
    for outcome in (Outcome.from_plain(values) for values in outcomes["rows"]):
        index = row_of[outcome.frame]
        start = _Start(content.atoms(index), content.info[index], frames.sources[index])
        readings = [reader.read(JobOutputs.of(calculations, key), start) for key in outcome.calculations]
        recipes = {rerun.calculation: StartRecipe(rerun.start) for rerun in outcome.reruns if rerun.calculation}
        readings += [reader.read(JobOutputs.of(calculations, key), start, recipe) for key, recipe in recipes.items()]
        check = _check(readings) if recipes else None
        kept = readings if check is None else [reading for reading in readings if reading.start == check.kept]
        doubtful = check is not None and check.ambiguous
        taken = {id(reading): (ambiguous if doubtful else batch).add(reading, start, check) for reading in kept}
        harvests = [reading.harvest(0 if doubtful else taken.get(id(reading), 0)) for reading in readings]
        rows.append(triage_row(outcome, harvests, check))
    level = theory_hash(theory)
    table = {
        "frames": rows,
        "counts": count_statuses(rows),
        "saved": count_savings(rows),
        "branch_check": count_checks(rows),
        "level_of_theory": {"hash": level, **theory},
        "labeller": name.value,
    }
    results: dict[str, orm.Data] = {"triage": orm.Dict(table)}
    for output, found in {"dataset": batch, "ambiguous": ambiguous}.items():
        if found.atoms:
            labelled = FrameSet.from_atoms(found.atoms, found.info, level_of_theory=level)
            results[output] = DatasetData(labelled, found.sources)
    return results


@dataclass(frozen=True)
class _Start:
    """A frame as it was sent."""

    atoms: Atoms
    info: Mapping[str, Any]
    sources: Mapping[str, str]


@dataclass(frozen=True)
class _Reading:
    """What one calculation says: steps that are labels, each with what is stored beside it."""

    start: str
    job: str
    kind: str | None
    code_s: float
    steps: list[tuple[IonicStep, dict[str, Any]]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    flags: tuple[str, ...] = ()

    def harvest(self, labels: int) -> Harvest:
        flags = self.flags if labels else ()
        return Harvest(labels=labels, left_out=self.left_out, code_s=self.code_s, flags=flags)


def _check(readings: Sequence[_Reading]) -> BranchCheck | None:
    """Return the comparison of single points from several starts; None if fewer than two gave a label."""
    solutions = [
        Solution(reading.start, float(step.atoms.get_potential_energy()), step.atoms.get_forces())
        for reading in readings
        for step, _ in reading.steps
    ]
    return compare(solutions) if len(solutions) > 1 else None


@dataclass
class _Batch:
    """Labelled frames as they are gathered, each id once."""

    atoms: list[Atoms] = field(default_factory=list)
    info: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)

    def add(self, reading: _Reading, start: _Start, check: BranchCheck | None) -> int:
        """Take the steps whose geometry is not there yet; return how many."""
        extra = {} if check is None else {"branch": check.plain()}
        return sum(self._add(reading, step, start, {**stored, **extra}) for step, stored in reading.steps)

    def _add(self, reading: _Reading, step: IonicStep, start: _Start, extra: Mapping[str, Any]) -> bool:
        identity = frame_id(step.atoms)
        if identity in self.known:
            return False
        self.known.add(identity)
        origin = start.info.get("origin", {})
        if reading.kind is not None:
            begun = {"start": frame_id(start.atoms), "start_origin": origin}
            origin = {"kind": reading.kind, "step": step.index, **begun}
        self.atoms.append(step.atoms)
        self.info.append({**start.info, "origin": origin, "label": {**step.info, **extra}})
        self.sources.append({**start.sources, "label": reading.job})
        return True


@dataclass(frozen=True)
class _Reader:
    """Takes labels from calculations as the settings say."""

    settings: LabelSettings
    keep_stress: bool

    def read(self, outputs: JobOutputs, start: _Start, recipe: StartRecipe | None = None) -> _Reading:
        parameters = outputs.parameters.get_dict()
        reading = _Reading(
            start=recipe.value if recipe else usual_start(self.settings),
            job=outputs.trajectory.creator.uuid,
            kind=self.settings.mode.origin_kind,
            code_s=float(parameters.get("wall_time_seconds", 0.0)),
        )
        try:
            check_units(parameters)
            steps, left_out = ionic_steps(
                outputs.arrays(),
                start.atoms,
                max_iterations=self.settings.electron_maxstep,
                keep_stress=self.keep_stress,
            )
            state = outputs.state(self.settings, start.atoms, recipe)
        except InputError as error:
            # One damaged output costs its own frame alone.
            return replace(reading, left_out=[{"step": None, "reason": str(error)}])
        reasons = [{"step": entry.index, "reason": entry.reason} for entry in left_out]
        last = len(steps) + len(left_out) - 1
        taken: list[tuple[IonicStep, dict[str, Any]]] = []
        flags = []
        balances = outputs.balances()
        for step in steps:
            fault = state.last_fault if step.index == last else state.fault
            if fault:
                reasons.append({"step": step.index, "reason": fault})
            else:
                known, flag = step_balance(balances, step)
                state_known = {"state": state.info} if step.index == last and state.info else {}
                taken.append((step, known | state_known))
                flags += [flag, state.flag if step.index == last else ""]
        return replace(reading, steps=taken, left_out=reasons, flags=tuple(filter(None, flags)))


@dataclass(frozen=True)
class JobOutputs:
    """What one calculation left."""

    trajectory: orm.TrajectoryData
    parameters: orm.Dict
    retrieved: orm.FolderData | None

    @classmethod
    def of(cls, calculations: Mapping[str, Any], key: str) -> JobOutputs:
        """Take those under ``key`` from the namespaces that :func:`collect_labels` describes."""
        retrieved = calculations.get("retrieved", {}).get(key)
        return cls(calculations["trajectories"][key], calculations["parameters"][key], retrieved)

    def arrays(self) -> dict[str, Any]:
        """Return the arrays of the trajectory by name, as :func:`ionic_steps` takes them."""
        return {name: self.trajectory.get_array(name) for name in self.trajectory.get_arraynames()}

    def balances(self) -> list[ForceBalance]:
        """Return how well the forces of each geometry balance; an empty list for a labeller that does not tell."""
        return [] if self.retrieved is None else force_balances(stdout_of(self.retrieved))

    def state(self, settings: LabelSettings, atoms: Atoms, recipe: StartRecipe | None = None) -> LabelState:
        """Return the state behind the label; an empty one for a labeller that has none.

        :raises InputError: if the file that holds it is missing or cut off.
        """
        if self.retrieved is None:
            return LabelState()
        return state_of(self.retrieved, settings, atoms, recipe)


def label_theory(name: LabellerName, settings: LabelSettings, pseudos: Mapping[str, Any]) -> dict[str, Any]:
    """Return what defines a label with these settings.

    :param pseudos: species to node.
    """
    if name is LabellerName.REHEARSAL:
        return rehearsal_theory()
    return pw_theory(settings, {kind: _checksum(pseudo) for kind, pseudo in pseudos.items()})


def _checksum(pseudo: orm.SinglefileData) -> str:
    return hashlib.sha256(pseudo.get_content(mode="rb")).hexdigest()
