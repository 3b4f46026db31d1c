"""What observables of structure cost, against libraries that do part of the same, in one run on one machine.

    python benchmarks/analysis_structure.py --atoms 2000

A jittered lattice of Na, V, P and O at 0.075 atoms/angstrom^3. Times are the least CPU time of several runs after one
that compiles. `dynasor`, `freud` and `MDAnalysis` are timed where they can be imported; `vesin`, `matscipy` and `scipy`
are always there. Libraries see what they need and nothing else: MDAnalysis and scipy find the total g(r) only.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable
from functools import partial

import numpy as np
from ase import Atoms
from ase.build import bulk
from matscipy.rings import ring_statistics
from scipy.spatial import cKDTree
from vesin import NeighborList

from aiida_nvp.analysis.frame import Frame
from aiida_nvp.analysis.structure.angles import BondAngles
from aiida_nvp.analysis.structure.bonds import BondRules, Links
from aiida_nvp.analysis.structure.cavities import Cavities
from aiida_nvp.analysis.structure.coordination import Coordination
from aiida_nvp.analysis.structure.environment import Environment
from aiida_nvp.analysis.structure.polyhedra import Polyhedra
from aiida_nvp.analysis.structure.rdf import RadialDistribution
from aiida_nvp.analysis.structure.report import structure_of
from aiida_nvp.analysis.structure.rings import count_rings
from aiida_nvp.analysis.structure.settings import StructureSettings
from aiida_nvp.analysis.structure.structure_factor import StructureFactor
from aiida_nvp.analysis.structure.voronoi import VoronoiVolumes
from aiida_nvp.common.neighbours import find_pairs

PAIRS = {"P-O": 2.2, "V-O": 2.5, "Na-O": 3.1}
FORMERS = ["P", "V"]
DENSITY = 0.075
REPORT_FRAMES = 10
RINGS = (4, 8)
SCIPY_ATOMS = 5000
"""Counting by tree takes minutes beyond."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--atoms", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    frame = glass(options.atoms)
    print(f"{options.atoms} atoms; least CPU time of {options.repeat} runs in ms a frame")
    for measure in (_rdf, _bonds, _scattering, _space):
        print("\n".join(measure(frame, options.repeat)))
    print("\n".join(_rings(options.repeat)))
    frames = [frame] * REPORT_FRAMES
    settings = StructureSettings(formers=tuple(FORMERS), double={"V-O": 1.75}, void_frames=1)
    whole = _least(lambda: structure_of(frames, PAIRS, settings), 1)
    print(f"the whole report, cavities in one of {REPORT_FRAMES} frames: {whole / REPORT_FRAMES:.0f}")


def glass(atoms: int) -> Frame:
    """Return the synthetic glass."""
    edge, side = (atoms / DENSITY) ** (1 / 3), int(np.ceil(atoms ** (1 / 3)))
    rng = np.random.default_rng(0)
    sites = np.stack(np.unravel_index(rng.permutation(side**3)[:atoms], (side,) * 3), axis=1)
    positions = (sites + 0.5 + rng.uniform(-0.28, 0.28, (atoms, 3))) * edge / side
    return Frame(rng.choice([11, 23, 15, 8], atoms, p=[0.15, 0.12, 0.15, 0.58]), positions, np.eye(3) * edge)


def _rdf(frame: Frame, repeat: int) -> list[str]:
    rdf = RadialDistribution(frame.numbers)
    ours = _least(lambda: rdf.add(frame), repeat)
    half = float(frame.widths.min()) / 2
    edges = np.arange(0, half, 0.02)
    tree = cKDTree(frame.fractional @ frame.cell, boxsize=np.diag(frame.cell))
    lines = [f"g(r) to half the cell, all partials: {ours:.1f}"]
    if len(frame.numbers) <= SCIPY_ATOMS:
        against = _against(ours, lambda: tree.count_neighbors(tree, edges), repeat)
        lines.append(f"  scipy count_neighbors, total only: {against}")
    if importlib.util.find_spec("MDAnalysis"):
        distances = importlib.import_module("MDAnalysis.lib.distances")
        box = [*np.diag(frame.cell), 90, 90, 90]

        def theirs() -> object:
            return np.histogram(distances.self_distance_array(frame.positions, box), bins=edges)

        lines.append(f"  MDAnalysis, total only: {_against(ours, theirs, repeat)}")
    return lines


def _bonds(frame: Frame, repeat: int) -> list[str]:
    """Coordination and angles of three pairs, neighbour list included, against neighbour lists alone."""
    rules = BondRules(frame.numbers, PAIRS, FORMERS)
    counts = [Coordination(rules, pair) for pair in PAIRS]
    angles = BondAngles(rules, ["O-P-O", "O-V-O", "O-Na-O", "P-O-P", "V-O-P", "V-O-V"])
    shapes = [Polyhedra(rules, pair) for pair in PAIRS]

    def ours() -> None:
        environment = Environment.of(frame, rules)
        for observable in (*counts, angles):
            observable.add(environment)

    environment = Environment.of(frame, rules)
    vesin = NeighborList(cutoff=rules.longest, full_list=True)
    time_ours = _least(ours, repeat)
    time_shapes = _least(lambda: [shape.add(environment) for shape in shapes], repeat)
    return [
        f"neighbours, coordination of 3 pairs, 6 kinds of angles: {time_ours:.1f}",
        f"  vesin, neighbours alone: {_against(time_ours, lambda: _list(vesin, frame), repeat)}",
        "  matscipy, neighbours alone: "
        + _against(time_ours, lambda: find_pairs(frame.positions, frame.cell, rules.longest), repeat),
        f"shapes of the polyhedra of 3 pairs: {time_shapes:.1f}",
    ]


def _list(neighbours: NeighborList, frame: Frame) -> object:
    return neighbours.compute(points=frame.positions, box=frame.cell, periodic=True, quantities="ijSdD")


def _scattering(frame: Frame, repeat: int) -> list[str]:
    factor = StructureFactor(frame.numbers, np.random.default_rng(0))
    ours = _least(lambda: factor.add(frame), repeat)
    lines = [f"S(Q) to 20/angstrom, {factor.vectors.sum():.0f} vectors, all partials: {ours:.1f}"]
    if importlib.util.find_spec("dynasor"):
        lines.append(f"  dynasor: {_against(ours, _dynasor(frame, int(factor.vectors.sum())), repeat)}")
    return lines


def _dynasor(frame: Frame, vectors: int) -> Callable[[], object]:
    dynasor = importlib.import_module("dynasor")
    points = dynasor.qpoints.get_spherical_qpoints(frame.cell, q_max=20.0, max_points=vectors)
    atoms = Atoms(frame.numbers, positions=frame.positions, cell=frame.cell, pbc=True)
    indices = {str(z): np.flatnonzero(frame.numbers == z) for z in np.unique(frame.numbers)}

    def measure() -> object:
        trajectory = dynasor.Trajectory([atoms], trajectory_format="ase", atomic_indices=indices)
        return dynasor.compute_static_structure_factors(trajectory, points)

    return measure


def _space(frame: Frame, repeat: int) -> list[str]:
    volumes, cavities = VoronoiVolumes(frame.numbers), Cavities(frame.numbers)
    lines = [
        f"Voronoi volumes: {_least(lambda: volumes.add(frame), repeat):.0f}",
        f"cavities on a grid of 0.5 angstrom: {_least(lambda: cavities.add(frame), repeat):.0f}",
    ]
    if importlib.util.find_spec("freud"):
        freud = importlib.import_module("freud")
        box = freud.box.Box.from_matrix(frame.cell.T)

        def theirs() -> object:
            return freud.locality.Voronoi().compute((box, frame.positions))

        lines.insert(1, f"  freud Voronoi: {_least(theirs, repeat):.0f}")
    return lines


def _rings(repeat: int) -> list[str]:
    lines = []
    for cells in RINGS:
        silicon = bulk("Si", "diamond", a=5.43, cubic=True).repeat(cells)
        pairs = find_pairs(silicon.positions, silicon.cell.array, 2.5, half=True)
        shift = np.rint(pairs.shift).astype(np.int64)
        links = Links(pairs.first, pairs.second, shift, np.ones(len(pairs.first), dtype=np.int64))
        for largest in (6, 10):
            ours = _least(partial(count_rings, links, len(silicon), largest), repeat)
            theirs = _against(ours, partial(ring_statistics, silicon, 2.5, maxlength=largest + 1), repeat)
            lines.append(f"rings up to {largest}, {len(silicon)} nodes: {ours:.0f}; matscipy: {theirs}")
    return lines


def _against(ours: float, theirs: Callable[[], object], repeat: int) -> str:
    other = _least(theirs, repeat)
    return f"{other:.1f} (ours takes {ours / other:.2f} of it)"


def _least(measured: Callable[[], object], repeat: int) -> float:
    """Return the least CPU time in ms, after one run that compiles."""
    measured()
    times = []
    for _ in range(repeat):
        start = time.process_time()
        measured()
        times.append(time.process_time() - start)
    return 1000 * min(times)


if __name__ == "__main__":
    main()
