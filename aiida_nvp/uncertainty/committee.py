"""A committee of models that shares one neighbour list and evaluates many small systems in one call.

A model call costs about the same for one cell of eight atoms as for eight of them, so cells are joined into one
graph without edges between them. Energies and forces are those of the separate cells.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Protocol

import numpy as np
import torch
from ase.data import atomic_numbers, chemical_symbols
from nequip.integrations.ase import NequIPCalculator
from numpy.typing import NDArray
from vesin import NeighborList

from aiida_nvp.common.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ATOMS_PER_CALL = 512
"""Systems are joined up to this many atoms: larger graphs gain nothing on a CPU and need more memory."""

READOUT = "edge_readout"


class Systems(Protocol):
    """F periodic systems with N atoms in all; a :class:`~aiida_nvp.common.frameset.FrameSet` is one."""

    @property
    def numbers(self) -> NDArray[np.int32]:
        """(N,) atomic numbers."""

    @property
    def offsets(self) -> IntArray:
        """(F + 1,) first atom of each system, then N."""

    @property
    def positions(self) -> FloatArray:
        """(N, 3) angstrom, wrapped or not."""

    @property
    def cells(self) -> FloatArray:
        """(F, 3, 3) angstrom, rows are vectors."""


@dataclass(frozen=True)
class Graph:
    """All pairs within a cutoff, both directions, periodic images included.

    :param numbers: (N,) atomic numbers.
    :param first: (E,) the atom whose neighbour this is; ``second``: (E,) the neighbour.
    :param vectors: (E, 3) from first to second, angstrom.
    """

    numbers: NDArray[np.int32]
    first: IntArray
    second: IntArray
    vectors: FloatArray


class Member(Protocol):
    """One model."""

    def evaluate(self, graph: Graph) -> tuple[FloatArray, FloatArray]:
        """Return (N,) atomic energies in eV and (E, 3) their sum's derivative by the edge vectors, eV/angstrom."""

    def features(self, graph: Graph) -> FloatArray:
        """Return (N, d) what the model makes of each atom's surroundings."""


@dataclass(frozen=True)
class Prediction:
    """What M members say about F systems with N atoms; NaN where a model or a geometry gave no number.

    :param energy: (M, F) eV.
    :param forces: (M, N, 3) eV/angstrom.
    """

    energy: FloatArray
    forces: FloatArray


class AllegroMember:
    """An Allegro model from its ``.nequip.zip`` package, evaluated eagerly.

    A package carries code: load one only if you trust its maker.

    :raises InputError: if the package is missing or damaged.
    """

    def __init__(self, package: str | Path) -> None:
        """Load the package."""
        try:
            with warnings.catch_warnings():
                # What the libraries still call but torch has deprecated is nothing a user can act on.
                warnings.simplefilter("ignore")
                calculator = NequIPCalculator._from_saved_model(
                    str(package), device="cpu", chemical_species_to_atom_type_map=True
                )
        except (OSError, ValueError, KeyError, AttributeError, ImportError, AssertionError) as error:
            raise InputError(f"cannot load the potential {Path(package).name}: {error}") from error
        except (RuntimeError, EOFError, UnpicklingError) as error:
            raise InputError(f"the potential {Path(package).name} is damaged or no package: {error}") from error
        self.model: Any = calculator.model
        self.types: tuple[str, ...] = tuple(self.model.type_names)
        self.cutoff = float(self.model.metadata["r_max"])
        self._type_of = np.full(len(chemical_symbols), -1, dtype=np.int64)
        self._type_of[[atomic_numbers[symbol] for symbol in self.types]] = np.arange(len(self.types))

    def evaluate(self, graph: Graph) -> tuple[FloatArray, FloatArray]:
        """Return (N,) atomic energies in eV and (E, 3) edge derivatives in eV/angstrom.

        :raises InputError: if an atom is of a species that the model does not know.
        """
        types = self._type_of[graph.numbers]
        if (types < 0).any():
            strangers = ", ".join(sorted({str(chemical_symbols[number]) for number in graph.numbers[types < 0]}))
            raise InputError(f"the potential knows {', '.join(self.types)}; these frames also hold {strangers}.")
        result = self.model(
            {
                # With edge vectors given, positions only tell the number of atoms.
                "pos": torch.zeros((len(types), 3), dtype=torch.float64),
                "atom_types": torch.from_numpy(types),
                "edge_index": torch.from_numpy(np.stack([graph.first, graph.second])),
                "edge_vectors": torch.from_numpy(graph.vectors),
            }
        )
        energies, edges = result["atomic_energy"], result["edge_forces"]
        return energies.detach().double().numpy().reshape(-1), edges.detach().double().numpy()

    def features(self, graph: Graph) -> FloatArray:
        """Return (N, d) the last hidden values of the read-out, summed over the edges of each atom.

        The read-out has no bias and ends in a linear map, so the atomic energy (before scale, shift and pair potential)
        is linear in them. The constant factor of the model's own sum is left out.

        :raises InputError: if the model has no Allegro read-out.
        """
        readouts = [module for name, module in self.model.named_modules() if name.rsplit(".", 1)[-1] == READOUT]
        if not readouts:
            raise InputError(f"the potential has no `{READOUT}`: its features need an Allegro model.")
        caught: list[FloatArray] = []

        def catch(_module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
            caught.append(arguments[0].detach().double().numpy())

        handle = readouts[0].mlp_module.mlp[-1].register_forward_pre_hook(catch)
        try:
            self.evaluate(graph)
        finally:
            handle.remove()
        (edges,) = caught
        total = np.zeros((len(graph.numbers), edges.shape[1]))
        np.add.at(total, graph.first, edges)
        return total


class Committee:
    """Members that answer together.

    :param members: the models; the first one drives molecular dynamics.
    :param cutoff: largest cutoff of any member, angstrom.
    :param species: chemical symbols that the members know, in their order.
    :raises InputError: without members.
    """

    def __init__(self, members: Sequence[Member], cutoff: float, species: Sequence[str]) -> None:
        """Keep the members."""
        if not members:
            raise InputError("a committee needs at least one member.")
        self.members = tuple(members)
        self.cutoff = cutoff
        self.species = tuple(species)

    @classmethod
    def load(cls, packages: Sequence[str | Path]) -> Committee:
        """Load one member a package, with as many threads as ``OMP_NUM_THREADS`` grants (one if it says nothing).

        :raises InputError: if a package cannot be loaded or the members disagree on species or cutoff.
        """
        torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS") or 1)))
        members = [AllegroMember(package) for package in packages]
        if len({(member.types, member.cutoff) for member in members}) != 1:
            raise InputError("a committee needs members, all of the same species and cutoff.")
        return cls(members, members[0].cutoff, members[0].types)

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.members)

    def predict(self, systems: Systems) -> Prediction:
        """Evaluate every member."""
        return self._predict(systems, self.members)

    def drive(self, systems: Systems) -> Prediction:
        """Evaluate the first member alone (M = 1)."""
        return self._predict(systems, self.members[:1])

    def features(self, systems: Systems) -> FloatArray:
        """Return (N, d) features of each atom in the first member; NaN in systems whose positions are not numbers."""
        blocks = [(atoms, self.members[0].features(graph)) for _, atoms, graph in graphs(systems, self.cutoff)]
        features = np.full((len(systems.numbers), blocks[0][1].shape[1] if blocks else 0), np.nan)
        for atoms, block in blocks:
            features[atoms] = block
        features[np.repeat(~finite_systems(systems), np.diff(systems.offsets))] = np.nan
        return features

    def _predict(self, systems: Systems, members: Sequence[Member]) -> Prediction:
        energy = np.full((len(members), len(systems.cells)), np.nan)
        forces = np.full((len(members), len(systems.numbers), 3), np.nan)
        for frames, atoms, graph in graphs(systems, self.cutoff):
            starts = systems.offsets[frames] - systems.offsets[frames][0]
            for index, member in enumerate(members):
                atomic, edge = member.evaluate(graph)
                energy[index, frames] = np.add.reduceat(atomic, starts)
                forces[index, atoms] = _forces(graph, edge)
        broken = ~finite_systems(systems)
        energy[:, broken] = np.nan
        forces[:, np.repeat(broken, np.diff(systems.offsets))] = np.nan
        return Prediction(energy, forces)


def finite_systems(systems: Systems) -> NDArray[np.bool_]:
    """Return (F,) whether all positions of a system are numbers."""
    finite = np.isfinite(systems.positions).all(axis=1)
    starts = systems.offsets[:-1]
    return np.asarray(np.logical_and.reduceat(finite, starts) if len(starts) else np.empty(0), dtype=bool)


def graphs(systems: Systems, cutoff: float) -> Iterator[tuple[IntArray, slice, Graph]]:
    """Yield consecutive systems joined into graphs of about :data:`ATOMS_PER_CALL` atoms, with their indices.

    Atoms of a system whose positions are not numbers appear without edges.
    """
    whole = finite_systems(systems)
    call = systems.offsets[:-1] // ATOMS_PER_CALL
    neighbours = NeighborList(cutoff=cutoff, full_list=True, n_threads=1)
    for frames in (np.flatnonzero(call == value) for value in np.unique(call)):
        atoms = slice(int(systems.offsets[frames[0]]), int(systems.offsets[frames[-1] + 1]))
        parts: list[tuple[Any, Any, Any]] = []
        for frame in frames[whole[frames]]:
            begin, end = systems.offsets[frame], systems.offsets[frame + 1]
            first, second, vectors = neighbours.compute(
                systems.positions[begin:end], systems.cells[frame], True, quantities="ijD"
            )
            shift = begin - atoms.start
            parts.append((first.astype(np.int64) + shift, second.astype(np.int64) + shift, vectors))
        if parts:
            columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
            yield frames, atoms, Graph(systems.numbers[atoms], *columns)


def _forces(graph: Graph, derivative: FloatArray) -> FloatArray:
    # The vector of an edge ends at `second` and starts at `first`; force is minus the derivative of the energy.
    n_atoms = len(graph.numbers)
    columns = [
        np.bincount(graph.first, derivative[:, axis], n_atoms) - np.bincount(graph.second, derivative[:, axis], n_atoms)
        for axis in range(3)
    ]
    return np.stack(columns, axis=1)
