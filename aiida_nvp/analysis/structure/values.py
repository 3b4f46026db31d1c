"""Results of the observables as plain values: numbers with errors for JSON, curves for arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from aiida_nvp.analysis.statistics import Curve, FloatArray
from aiida_nvp.analysis.structure.tally import Distribution


def record(value: object) -> dict[str, Any]:
    """Return a result, or a mapping of results, as numbers, texts, mappings and lists for JSON.

    Curves and arrays are left out. Keys of several counts are written with commas, as ``"2,1"``.
    """
    if isinstance(value, Distribution):
        shares = {str(n): {"share": share.mean, "error": share.error} for n, share in value.shares.items()}
        return {"mean": value.mean, "error": value.error, "shares": shares}
    if is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if not isinstance(value, Mapping):
        raise TypeError(f"a result is a dataclass or a mapping; this is {type(value).__name__}")
    return {_key(key): _plain(item) for key, item in value.items() if not isinstance(item, Curve | np.ndarray)}


def _plain(value: object) -> object:
    return record(value) if isinstance(value, Mapping) or is_dataclass(value) else value


def named(quantity: str, name: str, curve: Curve) -> dict[str, FloatArray]:
    """Return a curve and its error under names of letters, digits and underscores."""
    key = name.replace("-", "_")
    return {f"{quantity}_{key}": curve.mean, f"{quantity}_error_{key}": curve.error}


def _key(key: object) -> str:
    return ",".join(map(str, key)) if isinstance(key, tuple) else str(key)
