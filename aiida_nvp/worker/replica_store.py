"""The replicas of an exploration that was stopped, as arrays in one file, without pickles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import StopReason
from aiida_nvp.worker.drift import Drift
from aiida_nvp.worker.replicas import Candidate, Plan, Replica, State

_FRAME_ARRAYS = ("positions", "cell", "forces_mean", "sigma", "distance", "features", "information")
_STATE_ARRAYS = ("positions", "velocities", "cell")
_PLAIN = ("step", "part", "finished", "max_score", "early_looks", "seen", "halvings")
_HEADER = "replicas"

Arrays = dict[str, NDArray[Any]]


def pack_replicas(replicas: Sequence[Replica]) -> Arrays:
    """Return named arrays that hold all that is needed to go on."""
    arrays: Arrays = {}
    header = []
    for replica in replicas:
        name = str(replica.index)
        strided = {id(candidate): index for index, candidate in enumerate(replica.candidates)}
        entry: dict[str, Any] = {key: getattr(replica, key) for key in _PLAIN}
        entry |= {"index": replica.index, "stop_reason": replica.stop_reason.value, "drift": replica.drift.plain()}
        entry["candidates"] = [
            _pack_frame(arrays, f"{name}/{index}", candidate) for index, candidate in enumerate(replica.candidates)
        ]
        # What was trusted last is mostly the last candidate as well: kept once, found again by its place.
        entry["trusted"] = strided.get(id(replica.trusted))
        if replica.trusted is not None and entry["trusted"] is None:
            entry["trusted"] = _pack_frame(arrays, f"{name}/trusted", replica.trusted)
        for key in ("good", "state"):
            state = getattr(replica, key)
            entry[key] = None if state is None else _pack_state(arrays, f"{name}/{key}", state)
        header.append(entry)
    arrays[_HEADER] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    return arrays


def unpack_replicas(path: Path, plan: Plan) -> list[Replica]:
    """Return the replicas of :func:`pack_replicas`, read from an ``npz`` file.

    :raises InputError: if the file is damaged or belongs to another exploration.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        header = json.loads(bytes(arrays[_HEADER]).decode())
        replicas = list(_unpack(header, arrays, plan))
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InputError(f"the checkpoint to go on from is damaged ({error}).") from error
    fits = [replica.index for replica in replicas] == list(range(plan.settings.replicas))
    if not fits or any(not _fits(replica, plan) for replica in replicas):
        raise InputError("the checkpoint to go on from belongs to another exploration.")
    return replicas


def _fits(replica: Replica, plan: Plan) -> bool:
    state = replica.state
    return replica.step <= replica.course.total and (
        state is None or len(state.positions) == plan.atoms_of(replica.index)
    )


def _unpack(header: Sequence[Mapping[str, Any]], arrays: Arrays, plan: Plan) -> Iterator[Replica]:
    for entry in header:
        name = str(entry["index"])
        replica = plan.new_replica(int(entry["index"]))
        for key in _PLAIN:
            setattr(replica, key, entry[key])
        replica.stop_reason, replica.drift = StopReason(entry["stop_reason"]), Drift.of(entry["drift"])
        replica.candidates = [
            _unpack_frame(arrays, f"{name}/{index}", origin) for index, origin in enumerate(entry["candidates"])
        ]
        trusted = entry["trusted"]
        if isinstance(trusted, int):
            replica.trusted = replica.candidates[trusted]
        elif trusted is not None:
            replica.trusted = _unpack_frame(arrays, f"{name}/trusted", trusted)
        replica.good = _unpack_state(arrays, f"{name}/good", entry["good"])
        replica.state = _unpack_state(arrays, f"{name}/state", entry["state"])
        yield replica


def _pack_frame(arrays: Arrays, name: str, frame: Candidate) -> dict[str, Any]:
    arrays.update({f"{name}/{key}": getattr(frame, key) for key in _FRAME_ARRAYS})
    return frame.origin


def _unpack_frame(arrays: Arrays, name: str, origin: dict[str, Any]) -> Candidate:
    return Candidate(origin=origin, **{key: arrays[f"{name}/{key}"] for key in _FRAME_ARRAYS})


def _pack_state(arrays: Arrays, name: str, state: State) -> dict[str, Any]:
    arrays.update({f"{name}/{key}": getattr(state, key) for key in _STATE_ARRAYS})
    return {key: value for key, value in asdict(state).items() if key not in _STATE_ARRAYS}


def _unpack_state(arrays: Arrays, name: str, values: Mapping[str, Any] | None) -> State | None:
    if values is None:
        return None
    stored: dict[str, Any] = {key: arrays[f"{name}/{key}"] for key in _STATE_ARRAYS}
    return State(**stored, **values)
