"""Feature statistics of a model: made after its training, read wherever it is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import STATISTICS_FILE
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.last_layer import FeatureStatistics
from aiida_nvp.worker.job import Job

JACOBIAN_FRAMES = 256
"""Most frames whose forces enter the last layer's covariance, at one backward pass a feature."""


def fit_statistics(package: str | Path, frames: FrameSet, train: Sequence[int]) -> FeatureStatistics:
    """Return the statistics of the frames at the indices ``train``, as the packaged model sees them.

    :raises InputError: if the package cannot be loaded or is no Allegro model.
    """
    committee = Committee.load([package])
    learned = frames.subset(train)
    features = committee.drive(learned).features
    if features is None:
        features = np.empty((len(learned.numbers), 0))
    # Evenly spaced, so that no seed is needed and every source of frames has its share.
    some = np.unique(np.linspace(0, len(learned) - 1, min(len(learned), JACOBIAN_FRAMES)).astype(int))
    return FeatureStatistics.fit(learned.numbers, features, committee.jacobian(learned.subset(list(some))))


def read_statistics(job: Job) -> FeatureStatistics | None:
    """Return the statistics of the first member if they lie in the job folder.

    :raises InputError: if the file is damaged.
    """
    path = job.path(STATISTICS_FILE)
    return FeatureStatistics.load(path) if path.exists() else None
