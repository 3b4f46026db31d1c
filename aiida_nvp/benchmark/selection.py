"""Learning curves of ways to choose what is labelled, on frames whose labels are hidden until they are chosen.

All ways start from the same random frames, take batches of one size, and train real committees from scratch after each.
Errors are those of the committee's mean on frames that nobody may choose, in and out of distribution. What the choice
of a few hundred frames is worth differs from start to start, so everything is repeated with other seeds and told with
an interval.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.benchmark.members import Tell, train_committee
from aiida_nvp.benchmark.parts import Parts
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.potential import STATISTICS_FILE, PotentialDefinition
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.common.vocabulary import Stream
from aiida_nvp.selection.batch import Known, Pool, choose
from aiida_nvp.selection.design import Design, FarthestPoint, LogDet
from aiida_nvp.selection.duplicates import standardise
from aiida_nvp.selection.settings import BatchSettings
from aiida_nvp.uncertainty.committee import Committee
from aiida_nvp.uncertainty.information import information_rows, most_uncertain
from aiida_nvp.uncertainty.last_layer import FeatureStatistics, pool_features
from aiida_nvp.uncertainty.residuals import FloatArray, Residuals, force_errors
from aiida_nvp.uncertainty.score import frame_scores
from aiida_nvp.uncertainty.spread import vector_std
from aiida_nvp.worker.job import OUTPUT_FILE
from aiida_nvp.worker.nequip_config import PACKAGE_FILE

IntArray = NDArray[np.int64]

WORST_PERCENT = 99


class Strategy(StrEnum):
    """How the next batch is chosen."""

    RANDOM = "random"
    LARGEST = "largest deviation"
    MEAN = "mean deviation"
    FARTHEST = "farthest point"
    LOG_DET = "log det"
    OURS = "ours"


@dataclass(frozen=True)
class Budget:
    """How much is spent.

    :param start: labels that all begin with; ``batch``: labels a round; ``labels``: most labels.
    :param seeds: how many repetitions; ``seconds``: no training begins later than this, None for no limit.
    """

    start: int
    batch: int
    labels: int
    seeds: int
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers.

        :raises InputError: if no round fits.
        """
        if not 0 < self.start < self.labels or self.batch < 1 or self.seeds < 1:
            raise InputError(
                f"{self.start} labels to start with, {self.batch} a round and {self.labels} at most, {self.seeds} "
                "times: at least one round must fit, and all must be positive."
            )


@dataclass(frozen=True)
class Sight:
    """What a committee says of F candidates.

    :param largest: (F,) largest deviation of an atom, eV/angstrom; ``mean``: (F,) mean over its atoms.
    :param scores: (F,) largest deviation after averaging over first shells.
    :param features: (F, d) standardised with those of what is labelled, ``known``: (K, d).
    :param information: (F, R, d') what the most uncertain atoms would teach.
    """

    largest: FloatArray
    mean: FloatArray
    scores: FloatArray
    features: FloatArray
    known: FloatArray
    information: NDArray[np.float32]


def run(
    frames: FrameSet, parts: Parts, definition: PotentialDefinition, plan: Plan, tell: Tell
) -> list[dict[str, Any]]:
    """Return one row a training: ``strategy``, ``seed``, ``labels`` and ``errors`` by place; JSON values.

    Trainings that an interrupted run has finished are used again, and equal ones are made once.

    :param parts: ``train`` is the pool.
    :raises InputError: if the pool is smaller than the labels asked for, or a training fails.
    """
    if len(parts.train) < plan.budget.labels:
        raise InputError(
            f"the pool has {len(parts.train)} frames and {plan.budget.labels} labels are asked for; ask for fewer "
            "with --labels, or give more frames to the pool with --train-share."
        )
    rows: list[dict[str, Any]] = []
    trainer = _Trainer(frames, definition, plan, time.monotonic())
    for seed, strategy, labelled in _rounds(parts.train, plan, trainer, tell):
        errors = {place: trainer.errors(labelled, seed, where) for place, where in _places(parts)}
        rows.append({"strategy": strategy.value, "seed": seed, "labels": len(labelled), "errors": errors})
        told = ", ".join(f"{place} {error['force_rmse']:.3f}" for place, error in errors.items())
        tell(f"seed {seed}, {strategy.value}, {len(labelled)} labels: force RMSE {told} eV/angstrom")
    return rows


@dataclass(frozen=True)
class Plan:
    """``strategies`` to compare within a ``budget``; trainings lie in ``folder``, and ``seed`` begins everything."""

    strategies: Sequence[Strategy]
    budget: Budget
    folder: Path
    seed: int


def _rounds(pool: IntArray, plan: Plan, trainer: _Trainer, tell: Tell) -> Iterator[tuple[int, Strategy, IntArray]]:
    """Yield what is labelled, round by round of each strategy, its committee trained."""
    budget = plan.budget
    for repetition in range(budget.seeds):
        seed = derive_seed(plan.seed, "repetition", repetition)
        first = np.random.default_rng(seed).permutation(pool)[: budget.start]
        sets = {strategy: np.sort(first) for strategy in plan.strategies}
        while True:
            for strategy, labelled in sets.items():
                if not trainer.train(labelled, seed, tell):
                    return
                yield seed, strategy, labelled
            count = min(budget.batch, budget.labels - len(next(iter(sets.values()))))
            if count < 1:
                break
            for strategy, labelled in sets.items():
                left = np.setdiff1d(pool, labelled)
                rng = np.random.default_rng([seed, len(labelled), list(Strategy).index(strategy)])
                sight = None if strategy is Strategy.RANDOM else trainer.look(labelled, seed, left)
                chosen = pick(strategy, sight, trainer.frames.subset(list(left)), count, rng)
                sets[strategy] = np.sort(np.concatenate([labelled, left[chosen]]))


def pick(strategy: Strategy, sight: Sight | None, frames: FrameSet, count: int, rng: np.random.Generator) -> list[int]:
    """Return the indices of ``count`` of F candidates.

    :param sight: what the committee says of them; None for the random strategy.
    """
    if sight is None or strategy is Strategy.RANDOM:
        return [int(index) for index in rng.choice(len(frames), count, replace=False)]
    if strategy in (Strategy.LARGEST, Strategy.MEAN):
        values = sight.largest if strategy is Strategy.LARGEST else sight.mean
        return [int(index) for index in np.argsort(-values, kind="stable")[:count]]
    if strategy is Strategy.OURS:
        return _ours(sight, frames, count, int(rng.integers(2**31)))
    design: Design = LogDet(sight.information) if strategy is Strategy.LOG_DET else _far(sight)
    open_ = np.ones(len(frames), dtype=bool)
    taken: list[int] = []
    while len(taken) < count and (found := design.best(open_)) is not None:
        index = found[0]
        open_[index] = False
        design.take(index)
        taken.append(index)
    return taken


def _far(sight: Sight) -> FarthestPoint:
    return FarthestPoint(sight.features, sight.known)


def _ours(sight: Sight, frames: FrameSet, count: int, seed: int) -> list[int]:
    """Draw as a campaign does; what a campaign's thresholds and quotas leave open is filled by score."""
    origins = [info.get("origin", {}) if isinstance(info.get("origin"), Mapping) else {} for info in frames.info]
    pool = Pool(
        ids=frames.ids(),
        scores=sight.scores,
        faults=[None] * len(frames),
        streams=[Stream.STRIDE] * len(frames),
        trajectories=[f"frame {index}" for index in range(len(frames))],
        times=np.full(len(frames), np.nan),
        kinds=[{"temperature": str(origin.get("temperature", ""))} for origin in origins],
        features=sight.features,
        atoms=np.diff(frames.offsets),
        information=sight.information,
    )
    settings = BatchSettings(budget=count, lower=0.0, upper=float("inf"))
    decisions = choose(pool, Known(features=sight.known), settings, seed)
    taken = [index for index, decision in enumerate(decisions) if decision.accepted]
    rest = [int(index) for index in np.argsort(-sight.scores, kind="stable") if index not in set(taken)]
    return (taken + rest)[:count]


class _Trainer:
    """Trains committees and asks them; each set of labels and seed once."""

    def __init__(self, frames: FrameSet, definition: PotentialDefinition, plan: Plan, begun: float) -> None:
        self.frames = frames
        self._definition = definition
        self._plan = plan
        self._begun = begun
        self._loaded: tuple[Path, Committee] | None = None

    def train(self, labelled: IntArray, seed: int, tell: Tell) -> bool:
        """Train on some frames; return whether there was time for it."""
        limit, folder = self._plan.budget.seconds, self._folder(labelled, seed)
        outputs = [package.parent / OUTPUT_FILE for package in self._packages(folder)]
        finished = all(path.exists() for path in outputs)
        if not finished and limit is not None and time.monotonic() - self._begun > limit:
            tell("the time is used up; what is finished is told, and a repetition of the command goes on from here")
            return False
        train_committee(self.frames.subset(list(labelled)), self._definition, seed, folder, _quiet)
        return True

    def errors(self, labelled: IntArray, seed: int, where: IntArray) -> dict[str, Any]:
        """Return errors of the committee's mean on some frames."""
        fresh = self.frames.subset(list(where))
        return curve_errors(fresh, self._committee(labelled, seed).predict(fresh).forces)

    def look(self, labelled: IntArray, seed: int, left: IntArray) -> Sight:
        """Return what the committee says of the frames that are left."""
        folder, species = self._folder(labelled, seed), self._definition.species
        statistics = FeatureStatistics.load(folder / "member_0" / STATISTICS_FILE)
        committee = self._committee(labelled, seed)
        known, fresh = self.frames.subset(list(labelled)), self.frames.subset(list(left))
        seen, prediction = committee.predict(known), committee.predict(fresh)
        if prediction.features is None or seen.features is None:
            raise InputError("this committee gives no features, so that nothing can be chosen by likeness.")
        sigma = vector_std(prediction.forces)
        bounds = list(zip(fresh.offsets[:-1], fresh.offsets[1:], strict=True))
        pooled = pool_features(fresh, prediction.features, species)
        pooled_known = pool_features(known, seen.features, species)
        everything = np.concatenate([pooled, pooled_known])
        atoms = most_uncertain(fresh.offsets, sigma)
        return Sight(
            largest=np.array([sigma[begin:end].max() for begin, end in bounds]),
            mean=np.array([sigma[begin:end].mean() for begin, end in bounds]),
            scores=frame_scores(fresh, sigma).score,
            features=standardise(pooled, everything),
            known=standardise(pooled_known, everything),
            information=information_rows(atoms, statistics, prediction.features),
        )

    def _committee(self, labelled: IntArray, seed: int) -> Committee:
        folder = self._folder(labelled, seed)
        if self._loaded is None or self._loaded[0] != folder:
            self._loaded = folder, Committee.load(self._packages(folder))
        return self._loaded[1]

    def _packages(self, folder: Path) -> list[Path]:
        return [folder / f"member_{member}" / PACKAGE_FILE for member in range(self._definition.committee.members)]

    def _folder(self, labelled: IntArray, seed: int) -> Path:
        words = f"{seed} {self._definition.plain()} {self.frames.content_hash} {sorted(int(i) for i in labelled)}"
        return self._plan.folder / "trainings" / sha256(words.encode()).hexdigest()[:16]


def curve_errors(frames: FrameSet, forces: FloatArray) -> dict[str, Any]:
    """Return ``force_rmse`` per component, ``worst`` (the 99th percentile of an atom's error) and both by species.

    :param forces: (M, N, 3) of the members, eV/angstrom.
    :raises InputError: if the frames have no forces.
    """
    if frames.forces is None:
        raise InputError("the frames have no forces to be judged by.")
    frame = np.repeat(np.arange(len(frames)), np.diff(frames.offsets))
    all_atoms = Residuals(frames.numbers, frame, vector_std(forces), forces.mean(axis=0), frames.forces)
    by_species = {symbol: _errors(all_atoms.where(mask)) for symbol, mask in all_atoms.symbols()}
    return {**_errors(all_atoms), "by_species": by_species}


def _errors(residuals: Residuals) -> dict[str, float]:
    worst = float(np.percentile(residuals.error, WORST_PERCENT))
    return {"force_rmse": float(force_errors(residuals)["force_rmse"]), "worst": worst}


def _places(parts: Parts) -> list[tuple[str, IntArray]]:
    return [("in", parts.held), *([("out", parts.out)] if len(parts.out) else [])]


def _quiet(_sentence: str) -> None:
    return
