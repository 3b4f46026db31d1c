"""What the replicas of an exploration look like, as a node: evidence of whether observables settled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, calcfunction
from ase import Atoms

from aiida_nvp.analysis.watched import BIN_WIDTH, Watched
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.trajectory import Trajectory
from aiida_nvp.common.unwrap import Unwrapper
from aiida_nvp.common.vocabulary import StopReason, Stream
from aiida_nvp.data.dataset import DatasetData

ERROR_INPUT = 210

_SETTLING = 0.5
"""Share of a replica that is left out: it begins in a cell that no potential has seen."""


@calcfunction
def observe_replicas(candidates: DatasetData, results: orm.Dict, parameters: orm.Dict) -> orm.Dict | ExitCode:
    """Return ``samples``: one row a replica that ran to its end, and ``left_out``: why others are not there.

    A row is ``{"replica", "stratum", "values"}`` with what :func:`~aiida_nvp.analysis.observables.observe` finds in the
    second half of the replica; replicas of one stratum have composition and schedule in common.

    :param candidates: of nvp.explore; its frames at fixed stride are the trajectories.
    :param results: of the same job.
    :param parameters: of :class:`~aiida_nvp.analysis.watched.Watched`.

    Exit status 210 with a sentence for parameters that make no sense.
    """
    from aiida_nvp.analysis.observables import observe  # noqa: PLC0415 - a compiler, which most of a daemon's life needs not

    try:
        watched = Watched.read(parameters.get_dict())
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))
    rows = {int(row["index"]): row for row in results.get_dict().get("replicas", [])}
    samples, left_out = [], {}
    for index, (frames, origins) in sorted(_replicas(candidates).items()):
        row = rows.get(index, {})
        if row.get("stop_reason", StopReason.COMPLETED) != StopReason.COMPLETED:
            left_out[str(index)] = str(row["stop_reason"])
            continue
        try:
            values = observe(_trajectory(frames, origins), watched)
        except InputError as error:
            left_out[str(index)] = str(error)
            continue
        stratum = f"{frames[0].get_chemical_formula()}, schedule {row.get('schedule', 0)}"
        finite = {name: value for name, value in values.items() if np.isfinite(value).all()}
        samples.append({"replica": index, "stratum": stratum, "values": finite})
    return orm.Dict({"samples": samples, "left_out": left_out, "bin_width": BIN_WIDTH})


def _replicas(candidates: DatasetData) -> dict[int, tuple[list[Atoms], list[Mapping[str, Any]]]]:
    """Return frames at fixed stride and their origins by replica, in order of time."""
    found: dict[int, tuple[list[Atoms], list[Mapping[str, Any]]]] = {}
    content = candidates.frames
    for index, info in enumerate(content.info):
        origin = info.get("origin", {})
        if "replica" in origin and origin.get("stream", Stream.STRIDE) == Stream.STRIDE:
            frames, origins = found.setdefault(int(origin["replica"]), ([], []))
            frames.append(content.atoms(index))
            origins.append(origin)
    return found


def _trajectory(frames: list[Atoms], origins: list[Mapping[str, Any]]) -> Trajectory:
    """Return the second half of a replica with its atoms followed through the faces of the cell."""
    begin = min(int(_SETTLING * len(frames)), len(frames) - 1)
    follow = Unwrapper()
    cells = np.stack([frame.cell.array for frame in frames])
    places = [
        follow.follow(frame.positions, cell, f"frame {row}")
        for row, (frame, cell) in enumerate(zip(frames, cells, strict=True))
    ]
    return Trajectory(
        numbers=frames[0].numbers,
        step=np.array([int(origin["step"]) for origin in origins[begin:]]),
        time_ps=np.array([float(origin["time_ps"]) for origin in origins[begin:]]),
        positions=np.stack(places[begin:]).astype(np.float32),
        cells=cells[begin:],
        stage=np.zeros(len(frames) - begin, dtype=np.int64),
    )
