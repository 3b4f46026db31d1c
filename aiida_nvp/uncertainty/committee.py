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
from nequip.nn.embedding.utils import cutoff_str_to_fulldict
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


@dataclass(frozen=True)
class Answer:
    """What one model says about a graph of N atoms and E edges.

    :param energies: (N,) eV; ``derivative``: (E, 3) of their sum by the edge vectors, eV/angstrom.
    :param features: (N, d) last hidden values of the read-out, summed over the edges of each atom; None where a model
        has none.
    """

    energies: FloatArray
    derivative: FloatArray
    features: FloatArray | None = None


class Member(Protocol):
    """One model."""

    def evaluate(self, graph: Graph) -> Answer:
        """Return energies, derivatives and features."""

    def jacobian(self, graph: Graph) -> FloatArray:
        """Return (N, 3, d) minus the derivative of the summed features of all atoms by the position of each."""


@dataclass(frozen=True)
class Prediction:
    """What M members say about F systems with N atoms; NaN where a model or a geometry gave no number.

    :param energy: (M, F) eV.
    :param forces: (M, N, 3) eV/angstrom.
    :param features: (N, d) of each atom in the first member; None where that model has none.
    :param stress: (M, F, 3, 3) eV/angstrom^3, positive under tension, without the part of the moving atoms.
    """

    energy: FloatArray
    forces: FloatArray
    features: FloatArray | None = None
    stress: FloatArray | None = None


class AllegroMember:
    """An Allegro model from its ``.nequip.zip`` package, evaluated eagerly.

    A package carries code: load one only if you trust its maker.

    :param device: of torch, ``cpu`` or ``cuda``.
    :raises InputError: if the package is missing or damaged.
    """

    def __init__(self, package: str | Path, device: str = "cpu") -> None:
        """Load the package."""
        self.device = device
        try:
            with warnings.catch_warnings():
                # What the libraries still call but torch has deprecated is nothing a user can act on.
                warnings.simplefilter("ignore")
                calculator = NequIPCalculator._from_saved_model(
                    str(package), device=device, chemical_species_to_atom_type_map=True
                )
        except (OSError, ValueError, KeyError, AttributeError, ImportError, AssertionError) as error:
            raise InputError(f"cannot load the potential {Path(package).name}: {error}") from error
        except (RuntimeError, EOFError, UnpicklingError, IndexError, TypeError, NameError) as error:
            raise InputError(f"the potential {Path(package).name} is damaged or no package: {error}") from error
        self.model: Any = calculator.model
        self.types: tuple[str, ...] = tuple(self.model.type_names)
        self.cutoff = float(self.model.metadata["r_max"])
        self._type_of = np.full(len(chemical_symbols), -1, dtype=np.int64)
        self._type_of[[atomic_numbers[symbol] for symbol in self.types]] = np.arange(len(self.types))
        self._reach = pair_reach(self.model)
        self._hidden: torch.Tensor | None = None
        self._energies: Any = None
        for name, module in self.model.named_modules():
            if name.rsplit(".", 1)[-1] == READOUT:
                self._energies = self.model.get_submodule(name.rsplit(".", 1)[0])
                module.mlp_module.mlp[-1].register_forward_pre_hook(self._catch)

    def _within(self, graph: Graph) -> tuple[Graph, NDArray[np.bool_]]:
        """Return the graph of the pairs that the model looks at, and (E,) which of all these are."""
        if self._reach is None:
            return graph, np.ones(len(graph.first), dtype=bool)
        types = self._type_of[graph.numbers]
        reach = self._reach[types[graph.first], types[graph.second]]
        kept = np.einsum("ij,ij->i", graph.vectors, graph.vectors) <= reach**2
        return Graph(graph.numbers, graph.first[kept], graph.second[kept], graph.vectors[kept]), kept

    def _catch(self, _module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        self._hidden = arguments[0]

    def evaluate(self, graph: Graph) -> Answer:
        """Return energies, derivatives and, of an Allegro model, features.

        The features are the last hidden values of the read-out, which has no bias and ends in a linear map: the atomic
        energy (before scale, shift and pair potential) is linear in them. The constant factor of the model's own sum is
        left out.

        :raises InputError: if an atom is of a species that the model does not know.
        """
        near, kept = self._within(graph)
        result = self.model(self._data(near))
        edges = np.zeros((len(graph.first), 3))
        edges[kept] = _to_numpy(result["edge_forces"])
        return Answer(
            _to_numpy(result["atomic_energy"]).reshape(-1),
            edges,
            None if self._energies is None else _to_numpy(self._sum_hidden(near)),
        )

    def jacobian(self, graph: Graph) -> FloatArray:
        """Return (N, 3, d) minus the derivative of the summed features of all atoms by the position of each.

        One backward pass a feature: for data sets, not for every step of a run.

        :raises InputError: if the model has no Allegro read-out, or does not know a species.
        """
        if self._energies is None:
            raise InputError(f"the potential has no `{READOUT}`: its features need an Allegro model.")
        near, _ = self._within(graph)
        data = self._data(near)
        vectors = data["edge_vectors"].requires_grad_()
        self._energies(data)
        total = self._sum_hidden(near).sum(dim=0)
        columns = []
        for index, one in enumerate(total):
            (slope,) = torch.autograd.grad(one, vectors, retain_graph=index + 1 < len(total))
            columns.append(pull_on_atoms(near, _to_numpy(slope)))
        return np.stack(columns, axis=-1)

    def _data(self, graph: Graph) -> dict[str, torch.Tensor]:
        types = self._type_of[graph.numbers]
        if (types < 0).any():
            strangers = ", ".join(sorted({str(chemical_symbols[number]) for number in graph.numbers[types < 0]}))
            raise InputError(f"the potential knows {', '.join(self.types)}; these frames also hold {strangers}.")
        data = {
            # With edge vectors given, positions only tell the number of atoms.
            "pos": torch.zeros((len(types), 3), dtype=torch.float64),
            "atom_types": torch.from_numpy(types),
            "edge_index": torch.from_numpy(np.stack([graph.first, graph.second])),
            "edge_vectors": torch.from_numpy(graph.vectors),
        }
        return {name: values.to(self.device) for name, values in data.items()}

    def _sum_hidden(self, graph: Graph) -> torch.Tensor:
        hidden, self._hidden = self._hidden, None
        if hidden is None:
            raise InputError(f"the potential's `{READOUT}` was not used: its features need an Allegro model.")
        total = torch.zeros((len(graph.numbers), hidden.shape[1]), dtype=hidden.dtype, device=self.device)
        return total.index_add(0, torch.from_numpy(graph.first).to(self.device), hidden)


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
    def load(cls, packages: Sequence[str | Path], device: str | None = None) -> Committee:
        """Load one member a package, with as many threads as ``OMP_NUM_THREADS`` grants (one if it says nothing).

        :param device: of torch; a GPU where there is one, unless it says otherwise.
        :raises InputError: if a package cannot be loaded or the members disagree on species or cutoff.
        """
        torch.set_num_threads(max(1, int(os.environ.get("OMP_NUM_THREADS") or 1)))
        place = device or ("cuda" if torch.cuda.is_available() else "cpu")
        members = [AllegroMember(package, place) for package in packages]
        if len({(member.types, member.cutoff) for member in members}) != 1:
            raise InputError("a committee needs members, all of the same species and cutoff.")
        return cls(members, members[0].cutoff, members[0].types)

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self.members)

    def predict(self, systems: Systems, driven: Prediction | None = None) -> Prediction:
        """Evaluate every member.

        :param driven: what :meth:`drive` said of the same systems; the first member is not asked again then.
        """
        if driven is None:
            return self._predict(systems, self.members)
        if len(self) == 1:
            return driven
        others = self._predict(systems, self.members[1:])
        return Prediction(
            np.concatenate([driven.energy[:1], others.energy]),
            np.concatenate([driven.forces[:1], others.forces]),
            driven.features,
            None
            if driven.stress is None or others.stress is None
            else np.concatenate([driven.stress[:1], others.stress]),
        )

    def drive(self, systems: Systems) -> Prediction:
        """Evaluate the first member alone (M = 1)."""
        return self._predict(systems, self.members[:1])

    def jacobian(self, systems: Systems) -> FloatArray:
        """Return (N, 3, d) :meth:`Member.jacobian` of the first member; NaN where positions are not numbers.

        :raises InputError: if that model has no features.
        """
        blocks = [(atoms, self.members[0].jacobian(graph)) for _, atoms, graph in graphs(systems, self.cutoff)]
        result = np.full((len(systems.numbers), 3, blocks[0][1].shape[2] if blocks else 0), np.nan)
        for atoms, block in blocks:
            result[atoms] = block
        result[np.repeat(~finite_systems(systems), np.diff(systems.offsets))] = np.nan
        return result

    def _predict(self, systems: Systems, members: Sequence[Member]) -> Prediction:
        energy = np.full((len(members), len(systems.cells)), np.nan)
        forces = np.full((len(members), len(systems.numbers), 3), np.nan)
        stress = np.full((len(members), len(systems.cells), 3, 3), np.nan)
        volume = np.abs(np.linalg.det(systems.cells))
        owner = np.repeat(np.arange(len(systems.cells)), np.diff(systems.offsets))
        features: FloatArray | None = None
        for frames, atoms, graph in graphs(systems, self.cutoff):
            cell_of_edge = owner[atoms][graph.first] - frames[0]
            starts = systems.offsets[frames] - systems.offsets[frames][0]
            for index, member in enumerate(members):
                answer = member.evaluate(graph)
                energy[index, frames] = np.add.reduceat(answer.energies, starts)
                forces[index, atoms] = pull_on_atoms(graph, answer.derivative)
                virial = _virial(graph, answer.derivative, cell_of_edge, len(frames))
                stress[index, frames] = virial / volume[frames, None, None]
                if index == 0 and answer.features is not None:
                    if features is None:
                        features = np.full((len(systems.numbers), answer.features.shape[1]), np.nan)
                    features[atoms] = answer.features
        broken = ~finite_systems(systems)
        mine = np.repeat(broken, np.diff(systems.offsets))
        energy[:, broken] = np.nan
        forces[:, mine] = np.nan
        stress[:, broken] = np.nan
        if features is not None:
            features[mine] = np.nan
        return Prediction(energy, forces, features, stress)


def pair_reach(model: Any) -> FloatArray | None:  # noqa: ANN401 - what nequip loads has no type of its own
    """Return (T, T) the cutoff of each ordered pair of types of a nequip model, angstrom; None where all share one."""
    told = model.metadata.get("per_edge_type_cutoff")
    types = list(model.type_names)
    table = cutoff_str_to_fulldict(told, types) if isinstance(told, str) else told
    return np.array([[float(table[one][other]) for other in types] for one in types]) if table else None


def _virial(graph: Graph, derivative: FloatArray, cell_of_edge: IntArray, count: int) -> FloatArray:
    """Return (F, 3, 3) the derivative of each energy by a strain: every edge vector grows with its own share."""
    terms = (graph.vectors[:, :, None] * derivative[:, None, :]).reshape(-1, 9)
    columns = [np.bincount(cell_of_edge, terms[:, column], count) for column in range(9)]
    tensor = np.stack(columns, axis=1).reshape(count, 3, 3)
    # Symmetric already but for rounding, because energies do not change under a rotation.
    return np.asarray(0.5 * (tensor + tensor.transpose(0, 2, 1)), dtype=float)


def _to_numpy(values: torch.Tensor) -> FloatArray:
    return np.asarray(values.detach().double().cpu().numpy(), dtype=float)


def finite_systems(systems: Systems) -> NDArray[np.bool_]:
    """Return (F,) whether all positions and the cell of a system are numbers."""
    finite = np.isfinite(systems.positions).all(axis=1)
    starts = systems.offsets[:-1]
    whole = np.asarray(np.logical_and.reduceat(finite, starts) if len(starts) else np.empty(0), dtype=bool)
    return whole & np.isfinite(systems.cells).all(axis=(1, 2))


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


def pull_on_atoms(graph: Graph, derivative: FloatArray) -> FloatArray:
    """Return (N, 3) minus the derivative by the position of each atom, from (E, 3) that by the edge vectors."""
    # The vector of an edge ends at `second` and starts at `first`; force is minus the derivative of the energy.
    n_atoms = len(graph.numbers)
    columns = [
        np.bincount(graph.first, derivative[:, axis], n_atoms) - np.bincount(graph.second, derivative[:, axis], n_atoms)
        for axis in range(3)
    ]
    return np.stack(columns, axis=1)
