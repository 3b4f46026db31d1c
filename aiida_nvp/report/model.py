"""What a page shows, read once from the graph: frozen and typed, free of AiiDA's query language."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.data.links import NodeRef, ProcessRef

FloatArray = NDArray[np.float64]
Values = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class DatasetView:
    """A data set and its frames, with their ids."""

    node: NodeRef
    frames: FrameSet
    ids: tuple[str, ...]
    compositions: Mapping[str, int]


@dataclass(frozen=True)
class LabelBatch:
    """One labelling work chain; ``triage`` has one row a frame sent."""

    process: ProcessRef
    dataset: DatasetView | None
    triage: tuple[Values, ...]
    counts: Mapping[str, int]
    level_of_theory: Values
    labeller: str | None


@dataclass(frozen=True)
class TrainRecord:
    """Training of one member; ``metrics`` has one array a column, over epochs."""

    member: int
    process: ProcessRef
    potential: NodeRef | None
    versions: Mapping[str, str]
    results: Values
    metrics: Arrays


@dataclass(frozen=True)
class Prediction:
    """Forces (M, N, 3) that M members gave for the N atoms of a data set, eV/angstrom."""

    process: ProcessRef
    dataset: DatasetView
    forces: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Forces of the committee (N, 3)."""
        return np.asarray(self.forces.mean(axis=0), dtype=float)

    @property
    def deviation(self) -> FloatArray:
        """Sample standard deviation of the members' force vectors (N,)."""
        members = len(self.forces)
        if members < 2:  # noqa: PLR2004 - one member has no deviation
            return np.zeros(self.forces.shape[1])
        squared = ((self.forces - self.mean) ** 2).sum(axis=(0, 2)) / (members - 1)
        return np.asarray(np.sqrt(squared), dtype=float)


@dataclass(frozen=True)
class Exploration:
    """One exploration job: what its replicas did and the scores of the candidates it wrote."""

    process: ProcessRef
    results: Values
    scores: FloatArray


@dataclass(frozen=True)
class Selection:
    """The decision on every candidate; ``thresholds`` is the window that was in force."""

    process: ProcessRef
    rows: tuple[Values, ...]
    counts: Mapping[str, int]
    thresholds: Mapping[str, float]
    chosen: DatasetView | None


@dataclass(frozen=True)
class Verdict:
    """The state of the campaign after a cycle, criterion by criterion.

    :param budgets: name, used and limit of each; ``forecast``: what one more cycle would bring. Verdicts of versions
        before them have neither.
    """

    process: ProcessRef
    verdict: str
    sentence: str
    criteria: tuple[Values, ...]
    budgets: tuple[Values, ...] = ()
    forecast: str = ""


@dataclass(frozen=True)
class Cycle:
    """One turn of the loop; a part that was not reached is None or empty."""

    index: int
    trains: tuple[TrainRecord, ...]
    exploration: Exploration | None
    review: Prediction | None
    selection: Selection | None
    prediction: Prediction | None
    labels: LabelBatch | None
    recheck: LabelBatch | None
    calibration: Values
    dataset: DatasetView | None
    verdict: Verdict | None
    warm_check: Values

    @property
    def audit(self) -> tuple[Values, ...]:
        """One row a label on how it stands to its prediction; empty before the calibration, or in one of old."""
        return tuple(self.calibration.get("audit") or ())


@dataclass(frozen=True)
class Production:
    """The long run: thermodynamics over time and its summary."""

    process: ProcessRef
    results: Values
    thermo: Arrays
    formula: str | None
    atoms: int | None


@dataclass(frozen=True)
class Analysis:
    """What was computed from the trajectory; ``process`` is None for one that no process analysed."""

    process: ProcessRef | None
    results: Values
    arrays: Arrays


@dataclass(frozen=True)
class Campaign:
    """All of it.

    :param settings: the campaign file as it was read; empty for a bare loop.
    :param processes: the stages with the call link label of each.
    """

    process: ProcessRef
    title: str
    description: str
    settings: Values
    seeds: DatasetView | None
    seed_labels: LabelBatch | None
    shifts: Values
    cycles: tuple[Cycle, ...]
    final_trains: tuple[TrainRecord, ...]
    final_warm_check: Values
    final_review: Prediction | None
    dataset: DatasetView | None
    production: Production | None
    analysis: Analysis | None
    processes: tuple[tuple[str, ProcessRef], ...]

    @property
    def batches(self) -> tuple[tuple[str, LabelBatch], ...]:
        """The labelling batches that added frames, with a name for each, oldest first."""
        seed = [("seed", self.seed_labels)] if self.seed_labels is not None else []
        later = [(f"cycle {cycle.index}", cycle.labels) for cycle in self.cycles if cycle.labels is not None]
        return (*seed, *later)

    @property
    def all_batches(self) -> tuple[tuple[str, LabelBatch], ...]:
        """Those, then the second looks at suspect labels, which add none."""
        looks = [
            (f"cycle {cycle.index}, second look", cycle.recheck) for cycle in self.cycles if cycle.recheck is not None
        ]
        return (*self.batches, *looks)

    @property
    def labeller(self) -> str | None:
        """Name of who made the labels."""
        return next((batch.labeller for _, batch in self.batches if batch.labeller), None)
