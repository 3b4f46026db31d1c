"""From one training frame back to the calculation that labelled it and to the step that proposed it.

The walk uses links alone and checks each hop by content: a geometry counts as found where the id computed from the
arrays in the node equals the id of the frame. UUIDs stored beside the frames are never read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from aiida.orm import CalcJobNode, Data, ProcessNode, StructureData, TrajectoryData
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import frame_id
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import AnyData, creator, inputs, process_ref, ref
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.history import LabelSource, Lineage, Proposal

_IMPORT = "import_calculations"
FORCE_TOLERANCE = 1e-4
"""Forces of a frame and of the calculation behind it agree within this many eV/angstrom."""


def trace(dataset: DatasetData, frame: int | str) -> Lineage:
    """Follow one frame of ``dataset``.

    :param frame: index, or the beginning of a frame id.
    :raises InputError: if the data set has no such frame or several.
    """
    walker = _Walker()
    return walker.trace(dataset, _index_of(walker.ids(dataset), frame))


def trace_all(dataset: DatasetData) -> list[Lineage]:
    """Follow every frame of ``dataset``, in its order."""
    walker = _Walker()
    return [walker.trace(dataset, index) for index in range(len(dataset))]


def _index_of(ids: list[str], frame: int | str) -> int:
    if isinstance(frame, int):
        if not 0 <= frame < len(ids):
            raise InputError(f"no frame {frame}: the data set has frames 0 to {len(ids) - 1}.")
        return frame
    found = [index for index, identity in enumerate(ids) if identity.startswith(frame)]
    if len(found) != 1:
        raise InputError(f"{len(found)} frames have an id that begins with {frame!r}; one is needed.")
    return found[0]


class _Lost(Exception):  # noqa: N818 - not an error: the trail ends here, and the message is the sentence for the user
    """The trail ends; the message says where."""


class _Walker:
    """Walks many frames of one graph and reads every node once."""

    def __init__(self) -> None:
        self._ids: dict[str, list[str]] = {}
        self._creators: dict[str, ProcessNode | None] = {}
        self._inputs: dict[tuple[str, type[Data]], dict[str, Data]] = {}

    def trace(self, dataset: DatasetData, index: int) -> Lineage:
        identity = self.ids(dataset)[index]
        atoms = dataset.frames.atoms(index)
        hops: list[ProcessNode] = []
        label: LabelSource | None = None
        proposal: Proposal | None = None
        misses: list[str] = []
        try:
            trajectory = self._find_trajectory(dataset, identity, hops)
            calculation, step = self._match(trajectory, identity, atoms)
            label = _label_source(calculation, step, trajectory[0])
            hops.append(calculation)
            proposal = self._given(calculation, hops) or self._find_proposal(calculation, hops)
        except _Lost as lost:
            misses.append(str(lost))
        return Lineage(
            index=index,
            frame_id=identity,
            formula=str(atoms.get_chemical_formula()),
            dataset=ref(dataset),
            label=label,
            proposal=proposal,
            hops=tuple(process_ref(hop) for hop in hops),
            misses=tuple(misses),
        )

    def ids(self, node: DatasetData | TrajectoryData) -> list[str]:
        if node.uuid not in self._ids:
            if isinstance(node, DatasetData):
                self._ids[node.uuid] = node.frames.ids()
            else:
                self._ids[node.uuid] = [frame_id(atoms) for atoms in _trajectory_frames(node)]
        return self._ids[node.uuid]

    def creator(self, node: Data) -> ProcessNode | None:
        if node.uuid not in self._creators:
            self._creators[node.uuid] = creator(node)
        return self._creators[node.uuid]

    def inputs(self, process: ProcessNode, kind: type[AnyData]) -> dict[str, AnyData]:
        key = (process.uuid, kind)
        if key not in self._inputs:
            self._inputs[key] = dict(inputs(process, kind))
        return cast(dict[str, AnyData], self._inputs[key])

    def _find_trajectory(
        self, dataset: DatasetData, identity: str, hops: list[ProcessNode]
    ) -> tuple[TrajectoryData, ...]:
        """Go back through merges until a process that read trajectories; return those that hold the geometry."""
        while True:
            process = self.creator(dataset)
            if process is None:
                raise _Lost(f"no process created {_name(dataset)}, so its labels have no calculation behind them.")
            hops.append(process)
            trajectories = self.inputs(process, TrajectoryData)
            if trajectories:
                found = tuple(node for node in trajectories.values() if identity in self.ids(node))
                if not found:
                    raise _Lost(
                        f"none of the {len(trajectories)} trajectories read by {_name(process)} holds this geometry."
                    )
                return found
            if not self.inputs(process, DatasetData):
                raise _Lost(f"{_name(process)} took its label from a file: no calculation in this database made it.")
            dataset = self._holder(process, identity)

    def _match(self, found: tuple[TrajectoryData, ...], identity: str, atoms: Atoms) -> tuple[ProcessNode, int]:
        """Return the calculation and ionic step whose geometry and forces are those of the frame."""
        for trajectory in found:
            for step, candidate in enumerate(self.ids(trajectory)):
                if candidate != identity or not _same_forces(trajectory, step, atoms):
                    continue
                calculation = self.creator(trajectory)
                if calculation is None:
                    raise _Lost(f"no calculation created {_name(trajectory)}, which holds the label.")
                return calculation, step
        raise _Lost(f"{_name(found[0])} holds the geometry, but with other forces than the frame.")

    def _given(self, calculation: ProcessNode, hops: list[ProcessNode]) -> Proposal | None:
        """Return the start geometry of an imported calculation where no process of this database made it."""
        imported = any(hop.process_label == _IMPORT for hop in hops)
        structures = self.inputs(calculation, StructureData) if imported else {}
        for structure in structures.values():
            if self.creator(structure) is None:
                return Proposal(None, ref(structure), {}, {})
        return None

    def _find_proposal(self, calculation: ProcessNode, hops: list[ProcessNode]) -> Proposal:
        dataset, identity = self._start(calculation, hops)
        said: dict[str, Any] = {}
        while True:
            info = dataset.frames.info[self.ids(dataset).index(identity)]
            said = {**_origin(info), **said}
            process = self.creator(dataset)
            if process is None:
                return Proposal(None, ref(dataset), said, {})
            hops.append(process)
            members = self.inputs(process, PotentialData)
            if members or not self.inputs(process, DatasetData):
                committee = {label: ref(node) for label, node in members.items()}
                return Proposal(process_ref(process), ref(dataset), said, committee)
            dataset = self._holder(process, identity)

    def _start(self, calculation: ProcessNode, hops: list[ProcessNode]) -> tuple[DatasetData, str]:
        """Return the data set that the calculation's start geometry came from, and the id of that geometry."""
        while True:
            structures = self.inputs(calculation, StructureData)
            if not structures:
                return self._start_in_dataset(calculation)
            structure = next(iter(structures.values()))
            process = self.creator(structure)
            if process is None:
                raise _Lost(f"no process created {_name(structure)}, the start geometry of {_name(calculation)}.")
            hops.append(process)
            if not isinstance(process, CalcJobNode):
                identity = frame_id(structure.get_ase())
                return self._holder(process, identity), identity
            # A relaxation that was continued starts from the structure of the run before it.
            calculation = process

    def _start_in_dataset(self, calculation: ProcessNode) -> tuple[DatasetData, str]:
        steps = [node for node in self.inputs(calculation, DatasetData).values() if len(node)]
        if not steps:
            raise _Lost(f"{_name(calculation)} has no start geometry among its inputs.")
        return steps[0], self.ids(steps[0])[0]

    def _holder(self, process: ProcessNode, identity: str) -> DatasetData:
        """Return the data set among the inputs of ``process`` that holds the frame."""
        for node in self.inputs(process, DatasetData).values():
            if identity in self.ids(node):
                return node
        raise _Lost(f"no data set among the inputs of {_name(process)} holds the geometry {identity[:12]}.")


def _label_source(calculation: ProcessNode, step: int, trajectory: TrajectoryData) -> LabelSource:
    return LabelSource(
        calculation=process_ref(calculation),
        step=step,
        trajectory=ref(trajectory),
        inputs={label: ref(node) for label, node in inputs(calculation, Data).items()},
    )


def _trajectory_frames(node: TrajectoryData) -> list[Atoms]:
    # Kinds may carry a number (two magnetic sorts of one element); the element is what the geometry means.
    symbols = [re.sub(r"[^A-Za-z].*$", "", symbol) for symbol in node.symbols]
    positions, cells = node.get_array("positions"), node.get_array("cells")
    # A relaxation may end with a geometry that it did not evaluate any more.
    return [Atoms(symbols, positions=p, cell=c, pbc=True) for p, c in zip(positions, cells, strict=False)]


def _same_forces(node: TrajectoryData, step: int, atoms: Atoms) -> bool:
    if "forces" not in node.get_arraynames() or atoms.calc is None:
        return False
    forces = node.get_array("forces")
    if step >= len(forces):
        return False
    stored = np.asarray(forces[step], dtype=float)
    return bool(np.allclose(stored, atoms.get_forces(), rtol=0.0, atol=FORCE_TOLERANCE))


def _origin(info: Mapping[str, Any]) -> dict[str, Any]:
    origin = info.get("origin", {})
    return dict(origin) if isinstance(origin, Mapping) else {"kind": origin}


def _name(node: ProcessNode | Data) -> str:
    named = process_ref(node) if isinstance(node, ProcessNode) else ref(node)
    return f"{named.kind}<{named.pk}>"


__all__ = ("LabelSource", "Lineage", "Proposal", "trace", "trace_all")
