"""Predicted against labelled forces, matched frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.report.model import Campaign, Cycle, DatasetView, FloatArray, Prediction


@dataclass(frozen=True)
class Parity:
    """Force components of n atoms, eV/angstrom.

    :param symbols: (n,) chemical symbols.
    :param label: (n, 3) what the labeller says.
    :param predicted: (n, 3) mean of the members.
    :param deviation: (n,) standard deviation of the members' force vectors.
    """

    symbols: NDArray[np.str_]
    label: FloatArray
    predicted: FloatArray
    deviation: FloatArray

    @property
    def rmse(self) -> float:
        """Root mean square error of a force component."""
        return _rms(self.predicted - self.label)

    @property
    def rms(self) -> float:
        """Root mean square of a labelled force component."""
        return _rms(self.label)

    @property
    def disagreement(self) -> float:
        """Root mean square of the committee's deviation, a vector length."""
        return _rms(self.deviation)

    def of(self, symbol: str) -> Parity:
        """Return the atoms of one species."""
        mask = self.symbols == symbol
        return Parity(self.symbols[mask], self.label[mask], self.predicted[mask], self.deviation[mask])


def compare(prediction: Prediction | None, labels: DatasetView | None) -> Parity | None:
    """Match a prediction with labels by frame id; None where there is nothing to match."""
    if prediction is None or labels is None or labels.frames.forces is None:
        return None
    positions = {identity: index for index, identity in enumerate(prediction.dataset.ids)}
    mine, theirs = [], []
    for index, identity in enumerate(labels.ids):
        if identity in positions:
            mine.append(_rows(prediction.dataset, positions[identity]))
            theirs.append(_rows(labels, index))
    if not mine:
        return None
    here, there = np.concatenate(mine), np.concatenate(theirs)
    return Parity(
        symbols=np.array(chemical_symbols)[labels.frames.numbers[there]],
        label=labels.frames.forces[there],
        predicted=prediction.mean[here],
        deviation=prediction.deviation[here],
    )


def before_labelling(cycle: Cycle) -> Parity | None:
    """Predictions of a cycle's committee for the frames it asked for, made before their labels."""
    return compare(cycle.prediction, cycle.labels.dataset if cycle.labels else None)


def after_training(campaign: Campaign, cycle: Cycle) -> Parity | None:
    """Compare the next committee, which has seen these labels, on the same frames."""
    reviews = [later.review for later in campaign.cycles if later.index == cycle.index + 1]
    review = reviews[0] if reviews else campaign.final_review
    return compare(review, cycle.labels.dataset if cycle.labels else None)


def on_training_set(campaign: Campaign) -> Parity | None:
    """Compare the last committee with the labels it was trained on."""
    reviews = [campaign.final_review, *(cycle.review for cycle in reversed(campaign.cycles))]
    review = next((review for review in reviews if review is not None), None)
    return compare(review, review.dataset if review is not None else None)


def _rows(view: DatasetView, index: int) -> NDArray[np.int64]:
    here = view.frames.slice_of(index)
    return np.arange(here.start, here.stop)


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2))) if values.size else float("nan")
