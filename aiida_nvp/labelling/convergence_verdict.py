"""What a convergence test shows: differences from the reference of each series, and the setting to take.

A setting is proposed if it and every stricter one of its series stay within the tolerances: an error that happens to
cross zero in one place is no convergence. The reference differs from itself by nothing and proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aiida_nvp.common.units import GPA_EV_ANGSTROM3
from aiida_nvp.labelling.convergence_plan import Point, Series, Tolerances

SAME_STATE_MAGNETONS = 0.3
"""Absolute magnetisations, per cell, that differ by more than this belong to different electronic states."""
NO_FORCE_RATIO = 3.0
"""Forces have to exceed their tolerance by this factor in order to test anything."""
_FURTHER = {
    Series.CUTOFF: "go beyond {0.cutoff_wfc_ry:g} Ry",
    Series.DUAL: "go beyond dual {0.dual:g}",
    Series.KPOINTS: "go below {0.k_distance:g} 1/angstrom",
}


@dataclass(frozen=True)
class Measured:
    """The result at one point.

    :param energy: eV per cell.
    :param forces: (N, 3) eV/angstrom.
    :param stress: (6,) eV/angstrom^3 in ASE's order and sign; None if there is none.
    :param magnetisation: absolute, Bohr magnetons per cell; None without spin.
    """

    energy: float
    forces: NDArray[np.float64]
    stress: NDArray[np.float64] | None = None
    magnetisation: float | None = None

    @property
    def pressure_gpa(self) -> float | None:
        """Minus the mean normal stress."""
        return None if self.stress is None else -float(np.mean(self.stress[:3])) / GPA_EV_ANGSTROM3

    @property
    def largest_force(self) -> float:
        """Largest length of a force, eV/angstrom."""
        return float(np.linalg.norm(self.forces, axis=1).max())


@dataclass(frozen=True)
class Errors:
    """Differences from the reference, none negative.

    :param energy_per_atom: eV.
    :param force_rms: root mean square over components, eV/angstrom.
    :param force_max: largest length of the difference on one atom, eV/angstrom.
    :param stress_gpa: largest of one component; None if either has no stress.
    """

    energy_per_atom: float
    force_rms: float
    force_max: float
    stress_gpa: float | None = None

    def plain(self) -> dict[str, float | None]:
        """Return JSON-ready values under the names of a row."""
        return {
            "energy_error_per_atom": self.energy_per_atom,
            "force_error_rms": self.force_rms,
            "force_error_max": self.force_max,
            "stress_error_gpa": self.stress_gpa,
        }


@dataclass(frozen=True)
class Tried:
    """A point of one series with what came of it.

    :param measured: None if the point failed.
    :param reason: why it failed, or an empty string.
    """

    point: Point
    measured: Measured | None
    reason: str = ""


@dataclass(frozen=True)
class Verdict:
    """What one series says.

    :param index: of the point to take; None if none is shown to be enough.
    :param reason: one sentence.
    :param compared: False if the reference failed and there is no difference to look at.
    """

    index: int | None
    reason: str
    compared: bool = True

    def plain(self) -> dict[str, Any]:
        """Return JSON-ready values."""
        return {"index": self.index, "reason": self.reason, "compared": self.compared}


def errors_against(reference: Measured, measured: Measured) -> Errors:
    """Return the differences of one result from that of the most stringent setting."""
    difference = measured.forces - reference.forces
    stress = None
    if measured.stress is not None and reference.stress is not None:
        stress = float(np.abs(measured.stress - reference.stress).max()) / GPA_EV_ANGSTROM3
    return Errors(
        energy_per_atom=abs(measured.energy - reference.energy) / len(difference),
        force_rms=float(np.sqrt(np.mean(difference**2))),
        force_max=float(np.linalg.norm(difference, axis=1).max()),
        stress_gpa=stress,
    )


def finest(base: Measured, references: Sequence[Measured]) -> Measured:
    """Return what the most stringent settings of all series together would give, if their effects add up.

    Each reference differs from the base in one setting; the changes that they make are added to the base. The run
    itself, finest in everything at once, would cost more than all others together.

    :param base: the point in which the series cross.
    :param references: the most stringent point of each series.
    """
    stresses = [measured.stress for measured in (base, *references) if measured.stress is not None]
    stress = None
    if base.stress is not None and len(stresses) == len(references) + 1:
        stress = base.stress + np.sum([there - base.stress for there in stresses[1:]], axis=0)
    return Measured(
        base.energy + sum(there.energy - base.energy for there in references),
        base.forces + np.sum([there.forces - base.forces for there in references], axis=0),
        stress,
    )


def beyond_tolerance(errors: Errors, tolerances: Tolerances) -> str:
    """Return what of the errors lies beyond its tolerance, in words, or an empty string."""
    limits = (
        ("force", errors.force_max, tolerances.force, "eV/angstrom"),
        ("stress", errors.stress_gpa, tolerances.stress_gpa, "GPa"),
        ("energy", errors.energy_per_atom, tolerances.energy_per_atom, "eV/atom"),
    )
    return ", ".join(
        f"{what} by {error:.3g} {unit} (tolerance {limit:g})"
        for what, error, limit, unit in limits
        if error is not None and limit is not None and error > limit
    )


def judge(series: Series, tried: Sequence[Tried], tolerances: Tolerances) -> Verdict:
    """Return the cheapest setting from which on all is within the tolerances.

    A point that failed shows nothing, so that nothing looser than it is proposed.

    :param tried: from the loosest to the reference.
    """
    *others, last = tried
    if last.measured is None:
        return Verdict(
            None, f"nothing can be compared: the reference, {_named(series, last)}, failed: {last.reason}", False
        )
    chosen, fault = None, ""
    for index in reversed(range(len(others))):
        fault = _fault(series, others[index], last.measured, tolerances)
        if fault:
            break
        chosen = index
    if chosen is None:
        further = _FURTHER[series].format(last.point)
        return Verdict(None, f"not converged within the series: {fault}; {further}.")
    taken = others[chosen]
    errors = errors_against(last.measured, taken.measured or last.measured)
    names = f"{_named(series, taken)} and all stricter settings agree with {_named(series, last)}"
    words = f"{names} within the tolerances: {in_words(errors)}."
    return Verdict(chosen, f"{words} Looser: {fault}." if fault else f"{words} No looser setting was tried.")


def find_warnings(tried: Sequence[Tried], tolerances: Tolerances) -> list[str]:
    """Return a sentence for each reason to doubt the test as a whole.

    :param tried: all points.
    """
    measured = [entry.measured for entry in tried if entry.measured is not None]
    if not measured:
        return []
    warnings = []
    largest = max(result.largest_force for result in measured)
    if largest < NO_FORCE_RATIO * tolerances.force:
        warnings.append(
            f"the largest force is {largest:.3g} eV/angstrom, too small to test a tolerance of {tolerances.force:g}: "
            "forces that vanish by symmetry do so at any cutoff; take a structure with displaced atoms."
        )
    if tolerances.stress_gpa is not None and any(result.stress is None for result in measured):
        warnings.append("pw.x gave no stress at some points; there the stress is not judged.")
    return warnings


def state_note(reference: Measured, measured: Measured) -> str:
    """Return a sentence if two results are of different magnetic states, else an empty string."""
    there, here = reference.magnetisation, measured.magnetisation
    if there is None or here is None or abs(there - here) <= SAME_STATE_MAGNETONS:
        return ""
    return f"another magnetic state than the reference ({here:.2f} against {there:.2f} Bohr magnetons)"


def _fault(series: Series, tried: Tried, reference: Measured, tolerances: Tolerances) -> str:
    """Return what keeps one point from being enough, or an empty string."""
    name = _named(series, tried)
    if tried.measured is None:
        return f"{name} failed ({tried.reason.rstrip('.')}), so that nothing is known of it"
    errors = errors_against(reference, tried.measured)
    beyond = beyond_tolerance(errors, tolerances)
    if not beyond:
        return ""
    note = state_note(reference, tried.measured)
    return f"{name} differs in {beyond}" + (f", being in {note}" if note else "")


def _named(series: Series, tried: Tried) -> str:
    return tried.point.named(series)


def in_words(errors: Errors) -> str:
    """Return the errors with their units."""
    words = [f"force {errors.force_max:.3g} eV/angstrom"]
    if errors.stress_gpa is not None:
        words.append(f"stress {errors.stress_gpa:.3g} GPa")
    return ", ".join([*words, f"energy {errors.energy_per_atom:.3g} eV/atom"])
