"""Stage ``evaluate``: what every member says about given frames.

Input: ``frames.npz``, ``member_*.nequip.zip`` and the key ``members`` in ``input.json``. Output: ``arrays.npz`` with
``energy`` (M, F) eV, ``forces`` (M, N, 3) eV/angstrom, ``offsets``, ``numbers``, (F, d) ``features`` pooled over the
atoms of a frame and, where ``statistics.npz`` of the first member is there, (N,) ``distance`` and ``last_layer`` (see
:class:`~aiida_nvp.uncertainty.last_layer.FeatureStatistics`) and (F, R, d) ``information`` of the atoms of the largest
spread (see :mod:`~aiida_nvp.uncertainty.information`; the key ``information`` in ``input.json`` says of what, the
energies of atoms or their forces); ``output.json``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import Committee, Prediction
from aiida_nvp.uncertainty.information import Evidence, information_rows, most_uncertain
from aiida_nvp.uncertainty.last_layer import FeatureStatistics, pool_features
from aiida_nvp.uncertainty.residuals import FloatArray, Residuals, errors_by_species, force_errors
from aiida_nvp.uncertainty.spread import FEWEST_MEMBERS, vector_std
from aiida_nvp.worker.job import FRAMES_FILE, Job, member_file
from aiida_nvp.worker.statistics import read_statistics


def run(job: Job) -> dict[str, Any]:
    """Run the stage; labelled frames are also compared with their labels.

    :raises InputError: if the potential does not know a species or a package is damaged.
    """
    started = time.monotonic()
    frames = FrameSet.load(job.path(FRAMES_FILE))
    committee = Committee.load([job.path(member_file(index)) for index in range(int(job.inputs["members"]))])
    prediction = committee.predict(frames)
    statistics = read_statistics(job)
    job.write_arrays(
        {
            "energy": prediction.energy,
            "forces": prediction.forces,
            "offsets": frames.offsets,
            "numbers": frames.numbers,
            **pooled(frames, prediction, committee.species),
            **atom_measures(frames.numbers, prediction, statistics),
            **_information(job, frames, (committee, prediction), statistics),
        }
    )
    return {
        **summary(frames, prediction),
        "n_frames": len(frames),
        "n_atoms": len(frames.numbers),
        "members": len(committee),
        "wall_s": round(time.monotonic() - started, 2),
    }


def pooled(frames: FrameSet, prediction: Prediction, species: Sequence[str]) -> dict[str, FloatArray]:
    """Return (F, d) ``features`` of each frame, if the first member has features.

    :param species: chemical symbols in the order of their columns.
    """
    if prediction.features is None:
        return {}
    return {"features": pool_features(frames, prediction.features, species)}


def atom_measures(
    numbers: NDArray[np.int32], prediction: Prediction, statistics: FeatureStatistics | None
) -> dict[str, FloatArray]:
    """Return (N,) ``distance`` and ``last_layer`` of the first member, if there are statistics to measure them by."""
    if statistics is None or prediction.features is None:
        return {}
    return {
        "distance": statistics.distance(numbers, prediction.features),
        "last_layer": statistics.sigma(prediction.features),
    }


def _information(
    job: Job, frames: FrameSet, answer: tuple[Committee, Prediction], statistics: FeatureStatistics | None
) -> dict[str, NDArray[np.float32]]:
    committee, prediction = answer
    if statistics is None or prediction.features is None or len(committee) < FEWEST_MEMBERS:
        return {}
    evidence = Evidence(job.inputs.get("information", Evidence.ENERGY))
    jacobian = committee.jacobian(frames) if evidence is Evidence.FORCE else None
    atoms = most_uncertain(frames.offsets, vector_std(prediction.forces))
    return {"information": information_rows(atoms, statistics, prediction.features, jacobian)}


def summary(frames: FrameSet, prediction: Prediction) -> dict[str, Any]:
    """Return how many frames have no finite prediction, the mean spread, and with labels the errors of the mean."""
    finite = np.isfinite(prediction.energy).all(axis=0)
    atoms = np.repeat(finite, np.diff(frames.offsets))
    result: dict[str, Any] = {"not_finite": int((~finite).sum())}
    if not finite.any():
        return result
    known = prediction.forces[:, atoms]
    sigma = vector_std(known) if len(known) >= FEWEST_MEMBERS else np.zeros(known.shape[1])
    result["mean_spread"] = float(sigma.mean())
    if frames.energy is None or frames.forces is None:
        return result
    frame = np.repeat(np.arange(len(frames)), np.diff(frames.offsets))[atoms]
    residuals = Residuals(frames.numbers[atoms], frame, sigma, known.mean(axis=0), frames.forces[atoms])
    per_atom = (prediction.energy.mean(axis=0) - frames.energy)[finite] / np.diff(frames.offsets)[finite]
    errors = {"energy_rmse_per_atom": float(np.sqrt(np.mean(np.square(per_atom)))), **force_errors(residuals)}
    return {**result, "errors": {**errors, "by_species": errors_by_species(residuals)}}
