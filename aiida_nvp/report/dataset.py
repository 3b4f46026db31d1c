"""What one data set holds, in a few lines, and the level of theory behind its hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida.orm import Dict

from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import creator, inputs, outputs
from aiida_nvp.labelling.label_units import force_rms
from aiida_nvp.labelling.one_level import stated_theory
from aiida_nvp.labelling.theory import theory_hash

_SHOWN = 8
_HASH_DIGITS = 12


def describe(dataset: DatasetData) -> list[tuple[str, str]]:
    """Return names and values of what a user asks first of a data set."""
    frames = dataset.frames
    sizes = np.diff(frames.offsets)
    rows = [("frames", str(len(frames))), ("species", " ".join(frames.species()))]
    if len(frames):
        rows.append(("atoms", f"{sizes.min()} to {sizes.max()} a frame, {sizes.sum()} in all"))
    rows.append(("compositions", _counted(Counter(dataset.base.attributes.get("compositions")))))
    rows.append(("origins", _counted(Counter(str(_origin(info)) for info in frames.info))))
    if frames.energy is None or frames.forces is None:
        return [*rows, ("labels", "none")]
    energy = frames.energy / sizes
    stresses = 0 if frames.stress is None else int(np.isfinite(frames.stress).all(axis=(1, 2)).sum())
    rows += [
        ("energy", f"{energy.min():.4f} to {energy.max():.4f} eV an atom"),
        (
            "forces",
            f"RMS {np.sqrt(np.mean(frames.forces**2)):.3f}, median frame {force_rms(list(frames)):.3f} eV/angstrom",
        ),
        ("stress", f"in {stresses} frames"),
        ("level of theory", str(frames.level_of_theory)[:_HASH_DIGITS]),
    ]
    theory = find_theory(dataset)
    return rows + [(f"  {key}", _short(value)) for key, value in (theory or {}).items()]


def find_theory(dataset: DatasetData) -> dict[str, Any] | None:
    """Return the level of theory whose hash the labels carry, or None where no process behind the data set states it.

    The processes that made the data set are asked one after the other, from the last to the first; what one says counts
    only if it has that hash.
    """
    level = dataset.base.attributes.get("level_of_theory")
    waiting, seen = [dataset], {dataset.uuid}
    while level is not None and waiting:
        process = creator(waiting.pop(0))
        if process is None:
            continue
        tables = [node.get_dict().get("level_of_theory") for node in outputs(process, Dict).values()]
        given = [node.get_dict() for label, node in inputs(process, Dict).items() if label == "theory"]
        for said in (*tables, *given):
            theory = _plain(said)
            if theory is not None and theory_hash(theory) == level:
                return theory
        before = [node for node in inputs(process, DatasetData).values() if node.uuid not in seen]
        seen |= {node.uuid for node in before}
        waiting += before
    return None


def _plain(said: object) -> dict[str, Any] | None:
    if not isinstance(said, Mapping):
        return None
    theory = {str(key): value for key, value in said.items() if key != "hash"}
    if "hash" in said:
        return theory
    try:
        return stated_theory(theory)
    except InputError:
        return None


def _counted(counts: Counter[str]) -> str:
    shown = [f"{name} ({count})" for name, count in counts.most_common(_SHOWN)]
    return ", ".join(shown + ([f"{len(counts) - _SHOWN} more"] if len(counts) > _SHOWN else []))


def _origin(info: Mapping[str, Any]) -> object:
    origin = info.get("origin")
    return origin.get("kind", "unknown") if isinstance(origin, Mapping) else origin or "unknown"


def _short(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_short(item)}" for key, item in value.items()) or "none"
    text = "none" if value is None else str(value)
    return f"{text[:_HASH_DIGITS]}…" if len(text) > 2 * _HASH_DIGITS and " " not in text else text
