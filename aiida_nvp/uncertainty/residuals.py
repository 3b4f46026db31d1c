"""Predictions made before labelling, set against the labels, atom by atom.

Atoms of one structure are not independent, so wherever it matters structures are counted, not atoms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

TEMPERATURE_BAND = 500.0
"""Width in K of the bands by which errors are reported."""


@dataclass(frozen=True)
class AtomScores:
    """What is known of N atoms before any label.

    :param numbers: (N,) atomic numbers.
    :param sigma: (N,) standard deviation of the members' force vectors, eV/angstrom.
    :param force: (N,) length of the members' mean force, eV/angstrom.
    :param distance: (N,) Mahalanobis distance of the atom's features from those it was trained on, dimensionless; None
        where no statistics of the training set are at hand.
    """

    numbers: NDArray[np.int32]
    sigma: FloatArray
    force: FloatArray
    distance: FloatArray | None = None


@dataclass(frozen=True)
class Residuals:
    """N atoms of fresh structures, predicted before they were labelled.

    :param numbers: (N,) atomic numbers; ``frame``: (N,) index of the structure.
    :param sigma: (N,) eV/angstrom; ``predicted`` and ``labelled``: (N, 3) eV/angstrom.
    :param distance: (N,) see :class:`AtomScores`; NaN is kept for an atom that has none.
    :param last_layer: (N,) last-layer sigma of the first member, dimensionless, or None.
    :raises InputError: if there is no atom or a value is not finite.
    """

    numbers: NDArray[np.int32]
    frame: IntArray
    sigma: FloatArray
    predicted: FloatArray
    labelled: FloatArray
    distance: FloatArray | None = None
    last_layer: FloatArray | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be calibrated with."""
        if not len(self.numbers):
            raise InputError("calibration: none of the predicted frames has a label.")
        for name in ("sigma", "predicted", "labelled"):
            if not np.isfinite(getattr(self, name)).all():
                raise InputError(f"calibration: `{name}` holds a value that is not finite.")

    @property
    def error(self) -> FloatArray:
        """(N,) length of the error vectors, eV/angstrom."""
        return np.asarray(np.linalg.norm(self.predicted - self.labelled, axis=1), dtype=float)

    @property
    def scores(self) -> AtomScores:
        """What was known of the atoms before."""
        return AtomScores(self.numbers, self.sigma, np.linalg.norm(self.predicted, axis=1), self.distance)

    def symbols(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Each species present with the mask of its atoms."""
        return [(str(chemical_symbols[z]), self.numbers == z) for z in np.unique(self.numbers)]

    def where(self, mask: NDArray[np.bool_]) -> Residuals:
        """Return the atoms of a mask."""
        return replace(
            self,
            numbers=self.numbers[mask],
            frame=self.frame[mask],
            sigma=self.sigma[mask],
            predicted=self.predicted[mask],
            labelled=self.labelled[mask],
            distance=None if self.distance is None else self.distance[mask],
            last_layer=None if self.last_layer is None else self.last_layer[mask],
        )

    @property
    def n_frames(self) -> int:
        """Number of structures."""
        return len(np.unique(self.frame))


def force_errors(residuals: Residuals) -> dict[str, float | int]:
    """Return error and size of the forces, both rms per component in eV/angstrom, and their ratio."""
    rmse = float(np.sqrt(np.mean(np.square(residuals.predicted - residuals.labelled))))
    rms = float(np.sqrt(np.mean(np.square(residuals.labelled))))
    return {"force_rmse": rmse, "force_rms": rms, "ratio": rmse / max(rms, 1e-12), "n_frames": residuals.n_frames}


def errors_by_species(residuals: Residuals) -> dict[str, dict[str, float | int]]:
    """Return :func:`force_errors` of each species."""
    return {symbol: force_errors(residuals.where(mask)) for symbol, mask in residuals.symbols()}


def errors_by_temperature(residuals: Residuals, temperature: FloatArray) -> dict[str, dict[str, float | int]]:
    """Return :func:`force_errors` of each band of the temperature at which the frames were met.

    :param temperature: K of each structure, by the index in ``residuals.frame``; NaN where unknown.
    """
    return {band: force_errors(residuals.where(mask)) for band, mask in temperature_bands(residuals, temperature)}


def temperature_bands(residuals: Residuals, temperature: FloatArray) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the bands that hold atoms, ``500-1000`` in K, each with the mask of its atoms.

    :param temperature: K of each structure, by the index in ``residuals.frame``; NaN where unknown.
    """
    atoms = temperature[residuals.frame]
    known = np.isfinite(atoms)
    band = np.full(len(atoms), -1)
    band[known] = (atoms[known] // TEMPERATURE_BAND).astype(int)
    return [
        (f"{value * TEMPERATURE_BAND:.0f}-{(value + 1) * TEMPERATURE_BAND:.0f}", band == value)
        for value in np.unique(band[known])
    ]
