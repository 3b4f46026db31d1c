"""The level of theory: what two labels must share before they may stand in one data set."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from aiida_nvp.common.vocabulary import LabellerName
from aiida_nvp.labelling.rehearsal import REHEARSAL_VERSION, load_parameters
from aiida_nvp.labelling.settings import LabelSettings


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
        "kpoints": settings.kpoints if isinstance(settings.kpoints, str) else list(settings.kpoints),
        "smearing": {"kind": settings.smearing, "degauss_ry": settings.degauss_ry},
        "spin": dict(sorted(settings.starting_magnetization.items())),
        "hubbard": settings.hubbard,
        "dispersion": settings.dispersion,
    }


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
