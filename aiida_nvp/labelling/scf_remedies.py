"""What to try, in which order, when the self-consistent cycle of pw.x does not converge.

1. A shorter step with a longer memory: ``mixing_beta`` halved, ``mixing_ndim`` at least 16.
2. Another start: every starting magnetisation doubled, up to 0.9. A spin that starts too small can swing about zero.
3. Another diagonalisation: ``cg``, slower and more robust than Davidson.
4. A wider smearing first: four times ``degauss``, then the smearing that was asked for from the density that came out.

Each keeps the changes of those before it. The last one is a detour: no label is ever made at another smearing, which
would be another level of theory.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Parameters = dict[str, dict[str, Any]]

BETA_FACTOR: Final = 0.5
LONG_MEMORY: Final = 16
LARGEST_START: Final = 0.9
DETOUR_FACTOR: Final = 4.0


@dataclass(frozen=True)
class Remedy:
    """One change of the cycle.

    :param name: what a triage table says of it.
    :param parameters: namelists of the next attempt.
    :param detour: whether that attempt only prepares a density and its result is no label.
    """

    name: str
    parameters: Parameters
    detour: bool = False


def scf_remedy(attempt: int, parameters: Mapping[str, Mapping[str, Any]]) -> Remedy | None:
    """Return the remedy number ``attempt`` (from 0), or None when all have been tried.

    :param parameters: namelists of the attempt that failed; they are not changed.
    """
    if not 0 <= attempt < len(_ORDER):
        return None
    name, change, detour = _ORDER[attempt]
    changed: Parameters = {key: copy.deepcopy(dict(values)) for key, values in parameters.items()}
    change(changed)
    return Remedy(name, changed, detour)


def asked_parameters(
    asked: Mapping[str, Mapping[str, Any]], used: Mapping[str, Mapping[str, Any]]
) -> Mapping[str, Mapping[str, Any]]:
    """Return ``used`` with the starting magnetisations that were asked for, if a remedy made those used of them.

    A remedy drives the cycle to the solution that was asked for, so it is no part of the level of theory.
    """
    higher: Parameters = {"SYSTEM": copy.deepcopy(dict(asked.get("SYSTEM", {})))}
    _start_higher(higher)
    system, name = used.get("SYSTEM", {}), "starting_magnetization"
    if name not in higher["SYSTEM"] or higher["SYSTEM"][name] != system.get(name):
        return used
    return {**used, "SYSTEM": {**system, name: asked["SYSTEM"][name]}}


def _mix_gently(parameters: Parameters) -> None:
    electrons = parameters.setdefault("ELECTRONS", {})
    electrons["mixing_beta"] = BETA_FACTOR * float(electrons.get("mixing_beta", 0.7))
    electrons["mixing_ndim"] = max(int(electrons.get("mixing_ndim", 8)), LONG_MEMORY)


def _start_higher(parameters: Parameters) -> None:
    start = parameters.get("SYSTEM", {}).get("starting_magnetization", {})
    for kind, value in start.items():
        start[kind] = max(-LARGEST_START, min(LARGEST_START, 2.0 * value))


def _diagonalise_robustly(parameters: Parameters) -> None:
    parameters.setdefault("ELECTRONS", {})["diagonalization"] = "cg"


def _smear_widely(parameters: Parameters) -> None:
    system = parameters.setdefault("SYSTEM", {})
    system["degauss"] = DETOUR_FACTOR * float(system.get("degauss", 0.01))


_ORDER: Final[tuple[tuple[str, Callable[[Parameters], None], bool], ...]] = (
    ("gentler mixing", _mix_gently, False),
    ("higher starting magnetisation", _start_higher, False),
    ("conjugate-gradient diagonalisation", _diagonalise_robustly, False),
    ("detour over a wider smearing", _smear_widely, True),
)
REMEDIES: Final = len(_ORDER)
