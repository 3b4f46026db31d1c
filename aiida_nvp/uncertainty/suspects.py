"""What a fresh label's distance from the committee says: nothing new, data were missing, or the label is suspect.

Members that disagree and miss lacked data, which is what the label was bought for. Members that agree and still miss by
far point at the label: another self-consistent solution, another spin state. The first belongs in the training set; the
second is worth a second calculation from another start.

**Forces.** For each atom ``reach`` is the error from which on it is *far* from its label::

    reach = max(FAR q_z s_typ, FAR NINE_OF_TEN error_typ, target)

``sigma_typ`` and ``error_typ`` are the medians of spread and error over the atoms of its species in the *other* frames
of the batch, so that a frame neither excuses nor accuses itself; ``s_typ`` is the error that the calibration before
expects of an atom with typical spread, force and feature distance, ``q_z`` its quantile, hence ``q_z s_typ`` is the
interval promised for a typical atom. Before the first calibration that term is absent. The atom with the largest error
over reach decides for its frame: below its reach the frame is explained; beyond it, a spread up to ``sigma_typ`` makes
the label suspect, a larger one means missing data. A spread is compared with the batch's median and not with a share of
its own error, because committees underestimate their errors outside their data by factors that no calibration foresees.

**Energies**, only where the forces are explained, since one bad neighbourhood moves the sum over all atoms. Per atom,
within one composition (the zero of each species is learned, its error common), the common shift taken off by a median:
beyond ``FAR_ENERGY`` robust standard deviations (1.4826 MAD) and ``ENERGY_FLOOR`` the same question is asked of the
spread of the members' energies.

A batch that is poor as a whole has no outlier here: the prospective error tells that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from aiida_nvp.common.vocabulary import LabelAudit
from aiida_nvp.uncertainty.conformal import Calibration
from aiida_nvp.uncertainty.residuals import AtomScores, FloatArray, Residuals

FAR = 3.0
"""Times the interval that holds nine atoms in ten. Of Gaussian errors of the typical size fewer than one in 1e11 is out
there; real tails are heavier, and agreement is asked for as well."""
NINE_OF_TEN = 1.63
"""Ratio of the 90 % quantile to the median of the length of a vector with three Gaussian components."""
FAR_ENERGY = 6.0
"""Robust standard deviations."""
ENERGY_FLOOR = 0.002
"""eV/atom; energies closer than this are not told apart as two solutions."""
FEWEST_ENERGIES = 5
"""Frames of one composition, below which a median of deviations says nothing about the next one."""
_NORMAL_MAD = 1.4826


@dataclass(frozen=True)
class FreshLabels:
    """F structures that M members predicted before these were labelled.

    :param ids: (F,) of the frames; ``residuals``: of all their atoms, frame by frame, ``frame`` counted from 0.
    :param predicted: (M, F) eV/atom; ``labelled``: (F,) eV/atom.
    """

    ids: tuple[str, ...]
    residuals: Residuals
    predicted: FloatArray
    labelled: FloatArray


@dataclass(frozen=True)
class Finding:
    """How one label stands to its prediction.

    :param quantity: ``forces`` (eV/angstrom) or ``energy`` (eV/atom): what decided, and the unit of the numbers.
    :param atom: that decided, from 0 within the frame, and its ``species``; None for an energy.
    :param residual: distance of the label from the members' mean; ``sigma``: spread of the members.
    :param reach: residual from which on the label is far; None where nothing is there to tell by.
    """

    label: LabelAudit
    quantity: str
    atom: int | None
    species: str | None
    residual: float
    sigma: float
    reach: float | None

    @property
    def sentence(self) -> str:
        """The finding in words."""
        unit = "eV/angstrom" if self.quantity == "forces" else "eV/atom"
        digits = 3 if self.quantity == "forces" else 4
        where = f"the force on {self.species}{self.atom}" if self.quantity == "forces" else "the energy"
        away = f"{self.residual:.{digits}f} {unit} away"
        spread = f"{self.sigma:.{digits}f} {unit}"
        if self.label is LabelAudit.SUSPECT:
            return f"members agree on {where} within {spread}, the label is {away}"
        if self.label is LabelAudit.MISSING:
            return f"members disagree on {where} by {spread}, the label is {away}"
        if self.reach is None:
            return f"no other frame and no earlier calibration tells what is far for {where}"
        return f"even for {where} the label is only {away}; far begins at {self.reach:.{digits}f}"


def audit_labels(fresh: FreshLabels, previous: Mapping[str, Any], target: float) -> list[dict[str, Any]]:
    """Return one row a frame, in order: ``frame``, ``class``, what decided (:class:`Finding`) and ``sentence``.

    The rule is that of the module. Rows are JSON values.

    :param previous: the record of the calibration before the batch, or nothing.
    :param target: force error in eV/angstrom that the user asks for, positive; smaller errors are never far.
    """
    rows = []
    energies = _energy_findings(fresh)
    for index, force in enumerate(_force_findings(fresh.residuals, previous, target)):
        energy = energies.get(index)
        found = energy if force.label is LabelAudit.EXPLAINED and energy is not None else force
        values = asdict(found)
        label = values.pop("label").value
        rows.append({"frame": fresh.ids[index], "class": label, **values, "sentence": found.sentence})
    return rows


def suspect_ids(calibration: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of the frames whose labels are suspect, in the order of the batch.

    :param calibration: outcome of nvp.calibrate; one from before this test was made has no suspects.
    """
    rows = calibration.get("audit") or ()
    return tuple(str(row["frame"]) for row in rows if row["class"] == LabelAudit.SUSPECT)


def _force_findings(residuals: Residuals, previous: Mapping[str, Any], target: float) -> list[Finding]:
    error = residuals.error
    typical_sigma, typical_error = _typical(residuals, residuals.sigma), _typical(residuals, error)
    promised = np.zeros(len(error))
    if previous:
        own = residuals.scores
        typical = AtomScores(
            residuals.numbers,
            _own_where_missing(typical_sigma, residuals.sigma),
            _own_where_missing(_typical(residuals, own.force), own.force),
            None if own.distance is None else _own_where_missing(_typical(residuals, own.distance), own.distance),
        )
        promised = Calibration.of(previous).bound(typical)
    # A species that no other frame holds is judged by the calibration before, or not at all.
    seen = np.where(np.isnan(typical_error), 0.0 if previous else np.inf, NINE_OF_TEN * typical_error)
    reach = np.maximum(FAR * np.maximum(promised, seen), target)
    agreed = residuals.sigma <= _own_where_missing(typical_sigma, residuals.sigma)
    findings = []
    for frame in range(int(residuals.frame[-1]) + 1):
        first = int(np.searchsorted(residuals.frame, frame))
        atoms = np.flatnonzero(residuals.frame == frame)
        worst = int(atoms[np.argmax(error[atoms] / reach[atoms])])
        findings.append(
            Finding(
                label=_class(bool(error[worst] > reach[worst]), bool(agreed[worst])),
                quantity="forces",
                atom=worst - first,
                species=str(chemical_symbols[residuals.numbers[worst]]),
                residual=float(error[worst]),
                sigma=float(residuals.sigma[worst]),
                reach=float(reach[worst]) if np.isfinite(reach[worst]) else None,
            )
        )
    return findings


def _energy_findings(fresh: FreshLabels) -> dict[int, Finding]:
    """Return the frames whose energy is far from its label."""
    findings = {}
    for group in _same_composition(fresh.residuals):
        if len(group) < FEWEST_ENERGIES:
            continue
        mean = fresh.predicted[:, group].mean(axis=0)
        residual = _centred(mean - fresh.labelled[group])
        sigma = np.std(_centred(fresh.predicted[:, group] - mean), axis=0, ddof=1)
        reach = max(FAR_ENERGY * _NORMAL_MAD * float(np.median(np.abs(residual))), ENERGY_FLOOR)
        agreed = sigma <= np.median(sigma)
        for place in np.flatnonzero(np.abs(residual) > reach):
            label, distance = _class(True, bool(agreed[place])), abs(float(residual[place]))
            findings[group[place]] = Finding(label, "energy", None, None, distance, float(sigma[place]), reach)
    return findings


def _class(far: bool, agreed: bool) -> LabelAudit:
    if not far:
        return LabelAudit.EXPLAINED
    return LabelAudit.SUSPECT if agreed else LabelAudit.MISSING


def _typical(residuals: Residuals, values: FloatArray) -> FloatArray:
    """Return (N,) for each atom the median over its species in the other frames, NaN where there is none."""
    typical = np.full(len(values), np.nan)
    for _, mask in residuals.symbols():
        for frame in np.unique(residuals.frame[mask]):
            others = mask & (residuals.frame != frame)
            if others.any():
                typical[mask & (residuals.frame == frame)] = np.median(values[others])
    return typical


def _own_where_missing(typical: FloatArray, values: FloatArray) -> FloatArray:
    return np.where(np.isnan(typical), values, typical)


def _centred(values: FloatArray) -> FloatArray:
    """Return values less their median over the frames, the last axis."""
    return np.asarray(values - np.median(values, axis=-1, keepdims=True), dtype=float)


def _same_composition(residuals: Residuals) -> list[list[int]]:
    groups: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for frame in range(int(residuals.frame[-1]) + 1):
        numbers: NDArray[np.int32] = residuals.numbers[residuals.frame == frame]
        species, counts = np.unique(numbers, return_counts=True)
        reduced = counts // np.gcd.reduce(counts)
        groups.setdefault(tuple(zip(species.tolist(), reduced.tolist(), strict=True)), []).append(frame)
    return list(groups.values())
