"""The level of theory: what two labels must share before they may stand in one data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from aiida_nvp.common.vocabulary import LabellerName
from aiida_nvp.labelling.pw_input import pw_mesh, real_gamma
from aiida_nvp.labelling.rehearsal import REHEARSAL_VERSION, load_parameters
from aiida_nvp.labelling.settings import KPointDensity, LabelSettings

VALENCE_RECIPE_VERSION = 1
"""Counts up when equal frames would get another start: their labels may then land in another state."""


def pw_theory(settings: LabelSettings, pseudos: Mapping[str, str]) -> dict[str, Any]:
    """Return what defines a Quantum ESPRESSO label.

    How the self-consistent cycle is driven (mixing, iterations, thresholds) is left out: it changes the cost of a
    label, not its meaning.

    :param pseudos: species to SHA-256 of the content of its pseudopotential.
    """
    return {
        "labeller": LabellerName.QUANTUM_ESPRESSO.value,
        "functional": settings.functional.upper(),
        "pseudopotentials": dict(sorted(pseudos.items())),
        "cutoff_wfc_ry": settings.cutoff_wfc_ry,
        "cutoff_rho_ry": settings.cutoff_rho_ry,
        "kpoints": _sampling(settings),
        "smearing": {"kind": settings.smearing, "degauss_ry": settings.degauss_ry},
        "spin": _spin(settings),
        "hubbard": None if settings.hubbard is None else settings.hubbard.model_dump(mode="json"),
        "dispersion": settings.dispersion,
    }


def _sampling(settings: LabelSettings) -> str | list[int] | dict[str, Any]:
    if isinstance(settings.kpoints, KPointDensity):
        return settings.kpoints.model_dump(mode="json")
    return "gamma" if real_gamma(settings) else list(pw_mesh(settings, np.eye(3)))


def _spin(settings: LabelSettings) -> dict[str, Any]:
    if settings.start == "valence":
        return {"recipe": "valence", "version": VALENCE_RECIPE_VERSION}
    return dict(sorted(settings.starting_magnetization.items()))


def rehearsal_theory() -> dict[str, Any]:
    """Return what defines a rehearsal label: the potential's parameters and version."""
    return {
        "labeller": LabellerName.REHEARSAL.value,
        "version": REHEARSAL_VERSION,
        "parameters": load_parameters().plain(),
    }


def theory_hash(theory: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a level of theory; the order of its keys does not count."""
    text = json.dumps(theory, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
