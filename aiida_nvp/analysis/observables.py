"""A short run in a few numbers: what two sets of replicas are compared by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from ase.data import atomic_masses

from aiida_nvp.analysis.frame import frames_of
from aiida_nvp.analysis.structure.bonds import BondRules
from aiida_nvp.analysis.structure.coordination import Coordination
from aiida_nvp.analysis.structure.environment import BondObservable, Environment
from aiida_nvp.analysis.structure.network import Speciation
from aiida_nvp.analysis.structure.rdf import RadialDistribution
from aiida_nvp.analysis.structure.species import pair_names
from aiida_nvp.analysis.transport.msd import mean_square_displacement
from aiida_nvp.analysis.transport.paths import MINIMUM_FRAMES
from aiida_nvp.analysis.watched import BIN_WIDTH, Watched
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory
from aiida_nvp.common.units import GRAM_PER_CM3_IN_AMU_ANGSTROM3

MOST_LINKS = 4
"""Q^n are counted from n = 0 to here."""
_SLOPE_WINDOW = 0.5
"""Share of the lags that the displacement is fitted on: longer ones have few origins."""

Value = float | list[float]


def observe(trajectory: Trajectory, watched: Watched) -> dict[str, Value]:
    """Return the observables of one run by name; those of species that it does not hold are left out.

    ``density`` in g/cm3, ``V-O coordination``, ``Q0(P)`` to ``Q4(P)`` as shares, ``g(V-O)`` as a list on bins of
    :data:`~aiida_nvp.analysis.watched.BIN_WIDTH`, and ``MSD slope Na`` in angstrom^2/ps (not a diffusivity: a short run
    need not be diffusive).

    :param trajectory: equally spaced frames of one composition, at least one.
    """
    symbols = set(trajectory.symbols)
    pairs = {pair: length for pair, length in watched.pairs.items() if set(pair.split("-")) <= symbols}
    found: dict[str, Value] = {"density": _density(trajectory)}
    if pairs:
        formers = [former for former in watched.formers if watched.pair_of(former) in pairs]
        found |= _structure(trajectory, pairs, [watched.pair_of(former) for former in formers])
    if watched.mobile in symbols and len(trajectory) >= MINIMUM_FRAMES:
        found |= _slope(trajectory, str(watched.mobile))
    return found


def _density(trajectory: Trajectory) -> float:
    volume = np.abs(np.linalg.det(trajectory.cells)).mean()
    return float(atomic_masses[trajectory.numbers].sum() / volume / GRAM_PER_CM3_IN_AMU_ANGSTROM3)


def _structure(trajectory: Trajectory, pairs: Mapping[str, float], bridged: list[str]) -> dict[str, Value]:
    rules = BondRules(trajectory.numbers, pairs)
    coordination = {pair: Coordination(rules, pair) for pair in pairs}
    links = {pair: Speciation(rules, pair) for pair in bridged}
    by_bonds: list[BondObservable] = [*coordination.values(), *links.values()]
    rdf = RadialDistribution(trajectory.numbers, BIN_WIDTH)
    for frame in frames_of(trajectory):
        environment = Environment.of(frame, rules, rules.longest)
        for observable in by_bonds:
            observable.add(environment)
        rdf.add(frame)
    found: dict[str, Value] = {f"{pair} coordination": counts.result().mean for pair, counts in coordination.items()}
    for pair, species in links.items():
        shares = species.result().same.shares
        former = pair.split("-")[0]
        for n in range(MOST_LINKS + 1):
            found[f"Q{n}({former})"] = shares[n].mean if n in shares else 0.0
    return found | _partials(rdf, trajectory, pairs)


def _partials(rdf: RadialDistribution, trajectory: Trajectory, pairs: Mapping[str, float]) -> dict[str, Value]:
    names = {frozenset(name.split("-")): name for name in pair_names(trajectory.numbers).values()}
    partials = rdf.result().partials
    known = {pair: names[frozenset(pair.split("-"))] for pair in pairs}
    return {f"g({pair})": partials[name].g.tolist() for pair, name in known.items() if name in partials}


def _slope(trajectory: Trajectory, mobile: str) -> dict[str, Value]:
    try:
        msd = mean_square_displacement(trajectory, mobile)
    except InputError:
        return {}  # a cell that is not steady, or frames that are not equally spaced, have no such slope
    last = max(3, int(_SLOPE_WINDOW * len(msd.lag_ps)))
    return {f"MSD slope {mobile}": float(np.polyfit(msd.lag_ps[1:last], msd.total[1:last], 1)[0])}
