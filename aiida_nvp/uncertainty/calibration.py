"""How far a committee's spread can be believed, learned from labels made after the prediction.

All arrays are per atom: ``sigma`` the standard deviation of the members' force vectors, ``error`` the length of the
vector between their mean and the label, ``frame`` the index of the structure an atom belongs to (atoms of one structure
are not independent, so wherever it matters structures are counted, not atoms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.common.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MISCOVERAGE = 0.1
"""The interval of the calibrated quantile should miss this share of the atoms."""
SIGMA_FLOOR = 0.25
"""Spreads below this share of their species' median are raised to it: agreement by chance says nothing."""
PRIOR_ATOMS = 5
"""A species' scale counts this many atoms of the scale of all species together."""
TEMPERATURE_BAND = 500.0
"""Width in K of the bands by which errors are reported."""
THRESHOLDS = {"lower": 1.0, "upper": 6.0, "break": 12.0}
"""In units of the force error the user asks for."""


@dataclass(frozen=True)
class Residuals:
    """N atoms of fresh structures, predicted before they were labelled.

    :param numbers: (N,) atomic numbers; ``frame``: (N,) index of the structure.
    :param sigma: (N,) eV/angstrom; ``predicted`` and ``labelled``: (N, 3) eV/angstrom.
    :raises InputError: if there is no atom or a value is not finite.
    """

    numbers: NDArray[np.int32]
    frame: IntArray
    sigma: FloatArray
    predicted: FloatArray
    labelled: FloatArray

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

    def symbols(self) -> list[tuple[str, NDArray[np.bool_]]]:
        """Each species present with the mask of its atoms."""
        return [(str(chemical_symbols[z]), self.numbers == z) for z in np.unique(self.numbers)]

    def where(self, mask: NDArray[np.bool_]) -> Residuals:
        """Return the atoms of a mask."""
        return Residuals(
            self.numbers[mask], self.frame[mask], self.sigma[mask], self.predicted[mask], self.labelled[mask]
        )


def calibrated(numbers: NDArray[np.int32], sigma: FloatArray, scales: Mapping[str, float]) -> FloatArray:
    """Return (N,) sigma in units of the error it stands for; a species without a scale gets the largest of all."""
    fallback = max(scales.values(), default=1.0)
    factor = np.full(max(int(numbers.max(initial=0)) + 1, 1), fallback)
    for number in np.unique(numbers):
        factor[number] = scales.get(str(chemical_symbols[number]), fallback)
    return np.asarray(sigma * factor[numbers], dtype=float)


def species_scales(residuals: Residuals) -> dict[str, float]:
    """Return for each species the rms of error over floored spread, near that of all atoms where atoms are few.

    Multiplied by its scale, a spread is the rms error to expect (the alpha of Tran et al.,
    doi:10.1088/2632-2153/ab7e1a, taken per species).
    """
    ratio = residuals.error / _floored(residuals)
    everything = float(np.mean(np.square(ratio)))
    scales = {}
    for symbol, mask in residuals.symbols():
        count = int(mask.sum())
        mean = (np.square(ratio[mask]).sum() + PRIOR_ATOMS * everything) / (count + PRIOR_ATOMS)
        scales[symbol] = float(np.sqrt(mean))
    return scales


def conformal_quantile(ratio: FloatArray, frame: IntArray, miscoverage: float = MISCOVERAGE) -> float:
    """Return q such that error <= q times calibrated sigma for a share of ``1 - miscoverage`` of fresh atoms.

    Split conformal with each structure weighing the same, however many atoms it has, and the level corrected for the
    number n of structures, ceil((n + 1)(1 - a)) / n (Dunn, Wasserman, Ramdas, doi:10.1080/01621459.2022.2060112). With
    too few structures for the level the largest ratio is returned, and the guarantee is void.

    :param ratio: (N,) error over calibrated sigma; ``frame``: (N,) index of the structure.
    """
    _, owner, sizes = np.unique(frame, return_inverse=True, return_counts=True)
    n_frames = len(sizes)
    level = min(1.0, np.ceil((n_frames + 1) * (1.0 - miscoverage)) / n_frames)
    order = np.argsort(ratio, kind="stable")
    mass = np.cumsum(1.0 / (n_frames * sizes[owner[order]]))
    # The sum of the weights ends a rounding error away from one.
    return float(ratio[order][min(int(np.searchsorted(mass, level - 1e-9)), len(ratio) - 1)])


def quantiles(residuals: Residuals, scales: Mapping[str, float]) -> dict[str, float]:
    """Return the conformal factor of each species, and of all atoms under ``all``."""
    ratio = residuals.error / calibrated(residuals.numbers, _floored(residuals), scales)
    found = {symbol: conformal_quantile(ratio[mask], residuals.frame[mask]) for symbol, mask in residuals.symbols()}
    return {**found, "all": conformal_quantile(ratio, residuals.frame)}


def coverage(residuals: Residuals, scales: Mapping[str, float], factors: Mapping[str, float]) -> dict[str, float]:
    """Return the share of atoms whose error an earlier calibration's interval covers, by species and for ``all``.

    Each structure weighs the same.
    """
    bound = calibrated(residuals.numbers, _floored(residuals), scales)
    widths = calibrated(residuals.numbers, np.ones(len(bound)), {k: v for k, v in factors.items() if k != "all"})
    covered = (residuals.error <= bound * widths).astype(float)
    shares = {symbol: _mean_over_frames(covered[mask], residuals.frame[mask]) for symbol, mask in residuals.symbols()}
    return {**shares, "all": _mean_over_frames(covered, residuals.frame)}


def spearman(first: FloatArray, second: FloatArray) -> float | None:
    """Return the rank correlation, or None where one of the two does not vary."""
    ranks = _ranks(first) - (len(first) + 1) / 2, _ranks(second) - (len(second) + 1) / 2
    norm = float(np.linalg.norm(ranks[0]) * np.linalg.norm(ranks[1]))
    return float(ranks[0] @ ranks[1] / norm) if norm > 0 else None


def force_errors(residuals: Residuals) -> dict[str, float | int]:
    """Return error and size of the forces, both rms per component in eV/angstrom, and their ratio."""
    rmse = float(np.sqrt(np.mean(np.square(residuals.predicted - residuals.labelled))))
    rms = float(np.sqrt(np.mean(np.square(residuals.labelled))))
    frames = len(np.unique(residuals.frame))
    return {"force_rmse": rmse, "force_rms": rms, "ratio": rmse / max(rms, 1e-12), "n_frames": frames}


def errors_by_species(residuals: Residuals) -> dict[str, dict[str, float | int]]:
    """Return :func:`force_errors` of each species."""
    return {symbol: force_errors(residuals.where(mask)) for symbol, mask in residuals.symbols()}


def errors_by_temperature(residuals: Residuals, temperature: FloatArray) -> dict[str, dict[str, float | int]]:
    """Return :func:`force_errors` of each band of the temperature at which the frames were met.

    :param temperature: K of each structure, by the index in ``residuals.frame``; NaN where unknown.
    """
    atoms = temperature[residuals.frame]
    known = np.isfinite(atoms)
    band = np.full(len(atoms), -1)
    band[known] = (atoms[known] // TEMPERATURE_BAND).astype(int)
    return {
        f"{value * TEMPERATURE_BAND:.0f}-{(value + 1) * TEMPERATURE_BAND:.0f}": force_errors(
            residuals.where(band == value)
        )
        for value in np.unique(band[known])
    }


def thresholds(target_force_error: float) -> dict[str, float]:
    """Return the bounds of the selection window and of a run, in calibrated eV/angstrom.

    :raises InputError: if the target is not positive.
    """
    if not target_force_error > 0:
        raise InputError(f"calibration: the target force error must be positive, not {target_force_error}.")
    return {name: factor * target_force_error for name, factor in THRESHOLDS.items()}


def _floored(residuals: Residuals) -> FloatArray:
    floored = residuals.sigma.copy()
    for _, mask in residuals.symbols():
        floored[mask] = np.maximum(floored[mask], SIGMA_FLOOR * np.median(floored[mask]))
    # A committee that agrees to the last digit on a whole species would otherwise divide by zero.
    return np.maximum(floored, 1e-6)


def _mean_over_frames(values: FloatArray, frame: IntArray) -> float:
    _, owner = np.unique(frame, return_inverse=True)
    return float(np.mean(np.bincount(owner, values) / np.bincount(owner)))


def _ranks(values: FloatArray) -> FloatArray:
    """Return (n,) ranks from 1; equal values share the mean of theirs."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    means: FloatArray = np.cumsum(sizes) - (sizes - 1) / 2
    return means[group]
