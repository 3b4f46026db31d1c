"""The force error to expect of an atom, from what is known of it before its label.

::

    log s = a_z + b log sigma + c log(|F| + eps) + e log m

with sigma the committee's spread, F its mean force, of which the length counts, and m the Mahalanobis distance of the
atom's features. The slopes are common to all species and fitted to the logarithms of the errors by least squares, in
which one wild label weighs little; a ridge pulls them towards b = 1, c = e = 0, plain scaling of the spread, as long as
labels are few. The intercepts are set last, such that the mean square of error over s is one for each species: s is
the rms length of the error vector (the scale of Tran et al., doi:10.1088/2632-2153/ab7e1a, made local).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.uncertainty.residuals import AtomScores, FloatArray, Residuals

TERMS = ("sigma", "force", "distance")
"""What the model may look at."""
FORCE_EPSILON = 0.05
"""eV/angstrom added to the size of a force: below it, forces are noise."""
SIGMA_FLOOR = 0.25
"""Spreads below this share of their species' median are raised to it: agreement by chance says nothing."""
PRIOR_ATOMS = 5
"""A species' scale counts this many atoms of the scale of all species together."""
RIDGE = 3.0
"""Weight of the plain model in units of structures, times the variance of the logarithms left over."""
_SMALLEST_SIGMA = 1e-6
_SMALLEST_DISTANCE = 1e-3
_PLAIN = np.array([1.0, 0.0, 0.0])


@dataclass(frozen=True)
class ErrorModel:
    """Coefficients of the model; the default expects an error as large as the spread.

    :param intercepts: ``a`` by species; a species that is absent gets the largest of all.
    :param slopes: ``sigma`` (b), ``force`` (c) and ``distance`` (e); absent ones are those of the plain model.
    :param floors: least spread that counts, by species, eV/angstrom.
    :param typical_distance: stands in for the distance of an atom that has none.
    """

    intercepts: Mapping[str, float] = field(default_factory=dict)
    slopes: Mapping[str, float] = field(default_factory=dict)
    floors: Mapping[str, float] = field(default_factory=dict)
    typical_distance: float = 1.0

    @classmethod
    def of(cls, calibration: Mapping[str, Any] | None) -> ErrorModel:
        """Return the model of a calibration record; one of old holds scales only, none at all leaves the raw spread."""
        found = calibration or {}
        if "error_model" in found:
            return cls(**found["error_model"])
        return cls(intercepts={symbol: float(np.log(scale)) for symbol, scale in found.get("scales", {}).items()})

    def plain(self) -> dict[str, Any]:
        """Return JSON values, from which the model can be made again."""
        return asdict(self)

    def expected(self, atoms: AtomScores) -> FloatArray:
        """Return (N,) the rms length of the error vector to expect, eV/angstrom; infinite where the spread is."""
        finite = np.isfinite(atoms.sigma)
        logs = self._logs(atoms)[finite] @ self._slopes()
        intercepts = per_species(atoms.numbers, self.intercepts, max(self.intercepts.values(), default=0.0))
        result = np.full(len(atoms.sigma), np.inf)
        result[finite] = np.exp(logs + intercepts[finite])
        return result

    def _slopes(self) -> FloatArray:
        return np.array([self.slopes.get(name, plain) for name, plain in zip(TERMS, _PLAIN, strict=True)])

    def _logs(self, atoms: AtomScores) -> FloatArray:
        sigma = np.maximum(atoms.sigma, np.maximum(per_species(atoms.numbers, self.floors, 0.0), _SMALLEST_SIGMA))
        distance = np.full(len(sigma), np.nan) if atoms.distance is None else atoms.distance
        distance = np.where(np.isfinite(distance), distance, self.typical_distance)
        # A spread that is no number is infinite uncertainty, which the caller puts in; the logarithm may not warn.
        return np.stack(
            [
                np.log(np.where(np.isfinite(sigma), sigma, 1.0)),
                np.log(np.where(np.isfinite(atoms.force), atoms.force, 0.0) + FORCE_EPSILON),
                np.log(np.maximum(distance, _SMALLEST_DISTANCE)),
            ],
            axis=1,
        )


def per_species(numbers: NDArray[np.int32], values: Mapping[str, float], otherwise: float) -> FloatArray:
    """Return (N,) the value of each atom's species, ``otherwise`` for one without.

    :param numbers: (N,) atomic numbers.
    """
    table = np.full(int(numbers.max(initial=0)) + 1, otherwise)
    for number in np.unique(numbers):
        table[number] = values.get(str(chemical_symbols[number]), otherwise)
    return np.asarray(table[numbers], dtype=float)


def fit_error_model(residuals: Residuals, terms: tuple[str, ...] = TERMS) -> ErrorModel:
    """Learn the model from fresh labels.

    :param terms: which slopes are fitted; those left out stay as in the plain model.
    """
    start = ErrorModel(floors=_floors(residuals), typical_distance=_typical_distance(residuals))
    # Atoms without a label's error to speak of would otherwise pull the logarithms to minus infinity.
    error = np.maximum(residuals.error, 0.01 * np.sqrt(np.mean(np.square(residuals.error)) + 1e-24))
    used = np.array([name in terms and _varies(residuals, name) for name in TERMS])
    slopes = _ridge(start._logs(residuals.scores), np.log(error), residuals, used)
    shaped = ErrorModel(
        slopes=dict(zip(TERMS, (float(value) for value in slopes), strict=True)),
        floors=start.floors,
        typical_distance=start.typical_distance,
    )
    return ErrorModel(
        intercepts={symbol: float(np.log(scale)) for symbol, scale in _scales(residuals, shaped).items()},
        slopes=shaped.slopes,
        floors=shaped.floors,
        typical_distance=shaped.typical_distance,
    )


def species_scales(residuals: Residuals) -> dict[str, float]:
    """Return for each species the rms of error over floored spread, near that of all atoms where atoms are few.

    Multiplied by its scale, a spread is the rms error to expect (the alpha of Tran et al.,
    doi:10.1088/2632-2153/ab7e1a, taken per species).
    """
    return _scales(residuals, ErrorModel(floors=_floors(residuals)))


def _scales(residuals: Residuals, model: ErrorModel) -> dict[str, float]:
    ratio = np.square(residuals.error / model.expected(residuals.scores))
    everything = float(np.mean(ratio))
    scales = {}
    for symbol, mask in residuals.symbols():
        mean = (ratio[mask].sum() + PRIOR_ATOMS * everything) / (int(mask.sum()) + PRIOR_ATOMS)
        # Labels equal to the prediction to the last digit would make an interval of no width.
        scales[symbol] = float(np.sqrt(max(mean, 1e-12)))
    return scales


def _ridge(logs: FloatArray, target: FloatArray, residuals: Residuals, used: NDArray[np.bool_]) -> FloatArray:
    slopes = _PLAIN.copy()
    if not used.any():
        return slopes
    logs, target = logs.copy(), target - logs @ _PLAIN
    for _, mask in residuals.symbols():
        logs[mask] -= logs[mask].mean(axis=0)
        target[mask] -= target[mask].mean()
    design = logs[:, used]
    # The prior weighs as so many structures: atoms of one structure repeat each other.
    weight = RIDGE * len(target) / residuals.n_frames * max(float(np.var(target)), 1e-12)
    slopes[used] += np.linalg.solve(design.T @ design + weight * np.eye(design.shape[1]), design.T @ target)
    return slopes


def _varies(residuals: Residuals, term: str) -> bool:
    if term != "distance":
        return True
    return residuals.distance is not None and bool(np.isfinite(residuals.distance).any())


def _floors(residuals: Residuals) -> dict[str, float]:
    return {symbol: SIGMA_FLOOR * float(np.median(residuals.sigma[mask])) for symbol, mask in residuals.symbols()}


def _typical_distance(residuals: Residuals) -> float:
    known = np.empty(0) if residuals.distance is None else residuals.distance[np.isfinite(residuals.distance)]
    return float(np.median(known)) if len(known) else 1.0
