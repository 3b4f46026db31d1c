"""Results of an analysis as tables of pandas, one row a value with its error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd


def coordination_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row a stage, pair and count: share of the centres with that many ligands, and its standard error.

    :param results: content of ``results.json`` of one replica, or of the node ``results`` of ``nvp.analyse``.
    """
    rows = [
        {**stage, "pair": pair, "cutoff": entry["cutoff"], "count": int(count), **share}
        for stage, values in _stages(results)
        for pair, entry in values.get("coordination", {}).items()
        for count, share in entry["shares"].items()
    ]
    return pd.DataFrame(rows, columns=["stage", "name", "pair", "cutoff", "count", "share", "error"])


def transport_table(results: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row a stage and species: diffusivity and error in m^2/s (None unless diffusive), slope, verdict."""
    rows = [
        {**stage, "species": species, **{key: entry.get(key) for key in _TRANSPORT}}
        for stage, values in _stages(results)
        for species, entry in values.get("msd", {}).items()
    ]
    return pd.DataFrame(rows, columns=["stage", "name", "species", *_TRANSPORT])


_TRANSPORT = ("diffusivity_m2_s", "error_m2_s", "slope", "diffusive", "sentence")


def _stages(results: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], Mapping[str, Any]]]:
    for stage in results.get("stages", ()):
        yield {"stage": stage["index"], "name": stage.get("name", "")}, stage
