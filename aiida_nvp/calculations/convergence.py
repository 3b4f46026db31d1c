"""Into a convergence test and out of it: the structure as labels take it, and the table that its jobs come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from ase import Atoms

from aiida_nvp.calculations.label import JobOutputs
from aiida_nvp.calculations.structure import to_structure
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import canonical
from aiida_nvp.labelling.convergence_plan import (
    ConvergencePlan,
    Point,
    Series,
    combination,
    distinct_points,
    make_series,
    read_plan,
)
from aiida_nvp.labelling.convergence_verdict import (
    Measured,
    Tried,
    Verdict,
    beyond_tolerance,
    errors_against,
    find_warnings,
    finest,
    in_words,
    judge,
    state_note,
)
from aiida_nvp.labelling.pw_output import check_units, ionic_steps
from aiida_nvp.labelling.settings import LabelSettings, read_settings


@calcfunction
def convergence_structure(structure: orm.StructureData, settings: orm.Dict) -> orm.StructureData:
    """Return the structure with the kinds and Hubbard terms of its label, positions canonical to the digit.

    It is what :func:`frames_to_structures` makes of the same frame, so that labels and tests share calculations.

    :raises InputError: if the start of the spins is asked from valences and the composition has none that balance.
    """
    return to_structure(canonical(structure.get_ase()), read_settings(settings.get_dict()))


@calcfunction
def collect_convergence(
    structure: orm.StructureData, settings: orm.Dict, plan: orm.Dict, outcomes: orm.Dict, **calculations: Any
) -> orm.Dict:
    """Return the table of a convergence test and what it proposes.

    :param structure: what was calculated.
    :param settings: that all points have in common.
    :param outcomes: by key of the point: ``{"reason": why it failed or "", "reused": bool}``; once what is proposed
        has been calculated as well, that point is among them and is checked.
    :param calculations: namespaces ``trajectories``, ``parameters`` and ``retrieved`` by key of the point.

    The result is ``{"formula", "atoms", "base", "tolerances", "series", "proposal", "cross_check", "warnings",
    "cost"}``. A series is ``{"rows", "verdict"}``, its last row the reference. Energies are in eV per atom, forces in
    eV/angstrom, stress and pressure in GPa, cutoffs in Ry, distances of k-points in 1/angstrom; ``code_s`` are seconds
    inside pw.x. ``proposal.settings`` are label settings, those alone that a series has shown to be enough.
    ``cross_check`` is None until they have been calculated together.
    """
    choices, wanted = read_settings(settings.get_dict()), read_plan(plan.get_dict())
    atoms = structure.get_ase()
    series = make_series(wanted, atoms.cell.array)
    results = {
        key: _read(calculations, outcomes[key], key, point.settings(choices), atoms)
        for key, point in distinct_points(series).items()
    }
    tables, verdicts = {}, {}
    for name, points in series.items():
        tried = [Tried(point, results[point.key].measured, results[point.key].reason) for point in points]
        verdicts[name] = judge(name, tried, wanted.tolerances)
        rows = [_row(name, entry, tried[-1].measured, results[entry.point.key]) for entry in tried]
        tables[name.value] = {"rows": rows, "verdict": verdicts[name].plain()}
    everything = [Tried(point, results[key].measured) for key, point in distinct_points(series).items()]
    proposal = _proposal(series, verdicts, wanted)
    check = None
    proposed = proposed_point(proposal, atoms)
    if proposed is not None and proposed.key in outcomes:
        key = proposed.key
        results[key] = _read(calculations, outcomes[key], key, proposed.settings(choices), atoms)
        check = _cross_check(wanted, series, proposed, results)
    doubt = [check["sentence"]] if check and not check["agrees"] else []
    return orm.Dict(
        {
            "formula": atoms.get_chemical_formula(),
            "atoms": len(atoms),
            "base": {"cutoff_wfc_ry": wanted.base_cutoff_ry, "dual": wanted.base_dual},
            "tolerances": wanted.tolerances.model_dump(mode="json"),
            "series": tables,
            "proposal": proposal,
            "cross_check": check,
            "warnings": find_warnings(everything, wanted.tolerances) + doubt,
            "cost": {
                "points": len(results),
                "reused": sum(result.reused for result in results.values()),
                "code_s": round(sum(result.code_s for result in results.values() if not result.reused), 2),
            },
        }
    )


def proposed_point(proposal: Mapping[str, Any], atoms: Atoms) -> Point | None:
    """Return the point that a proposal names, or None for one that leaves something open."""
    return combination(proposal["settings"], atoms.cell.array) if proposal["complete"] else None


@dataclass(frozen=True)
class _Result:
    """What came of one point."""

    measured: Measured | None
    reason: str
    code_s: float = 0.0
    reused: bool = False


def _read(
    calculations: Mapping[str, Any], outcome: Mapping[str, Any], key: str, settings: LabelSettings, atoms: Atoms
) -> _Result:
    if outcome["reason"] or key not in calculations.get("trajectories", {}):
        return _Result(None, outcome["reason"] or "the calculation gave no label")
    outputs = JobOutputs.of(calculations, key)
    parameters = outputs.parameters.get_dict()
    code_s = float(parameters.get("wall_time_seconds", 0.0))
    try:
        check_units(parameters)
        steps, left_out = ionic_steps(
            outputs.arrays(), atoms, max_iterations=settings.electron_maxstep, keep_stress=True
        )
        state = outputs.state(settings, atoms)
    except InputError as error:
        return _Result(None, str(error), code_s, outcome["reused"])
    reason = left_out[0].reason if left_out else state.last_fault
    if reason or not steps:
        return _Result(None, reason or "the calculation gave no label", code_s, outcome["reused"])
    found = steps[-1].atoms.calc.results
    measured = Measured(
        found["energy"],
        np.asarray(found["forces"]),
        found.get("stress"),
        steps[-1].info.get("absolute_magnetization"),
    )
    return _Result(measured, "", code_s, outcome["reused"])


def _row(series: Series, tried: Tried, reference: Measured | None, result: _Result) -> dict[str, Any]:
    point, measured = tried.point, tried.measured
    row: dict[str, Any] = {
        "name": point.named(series),
        "point": point.key,
        "cutoff_wfc_ry": point.cutoff_wfc_ry,
        "cutoff_rho_ry": point.cutoff_rho_ry,
        "dual": point.dual,
        "k_distance": point.k_distance,
        "mesh": list(point.mesh),
        "code_s": round(result.code_s, 2),
        "reused": result.reused,
        "reason": tried.reason,
    }
    if measured is None:
        return row
    row |= {
        "energy_per_atom": measured.energy / len(measured.forces),
        "pressure_gpa": measured.pressure_gpa,
        "absolute_magnetization": measured.magnetisation,
    }
    if reference is not None:
        row |= errors_against(reference, measured).plain() | {"note": state_note(reference, measured)}
    return row


def _cross_check(
    plan: ConvergencePlan, series: Mapping[Series, Sequence[Point]], proposed: Point, results: Mapping[str, _Result]
) -> dict[str, Any]:
    """Return how the proposed settings, taken together, compare with the finest of all series together."""
    result = results[proposed.key]
    name = f"{proposed.cutoff_wfc_ry:g} and {proposed.cutoff_rho_ry:g} Ry, mesh {'x'.join(map(str, proposed.mesh))}"
    check = {
        "name": name,
        "point": proposed.key,
        "code_s": round(result.code_s, 2),
        "reused": result.reused,
        "agrees": False,
    }
    (crossing,) = [point for point in series[Series.CUTOFF] if point.cutoff_wfc_ry == plan.base_cutoff_ry]
    base = results[crossing.key].measured
    references = [results[points[-1].key].measured for points in series.values()]
    there = [measured for measured in references if measured is not None]
    if result.measured is None:
        return check | {"sentence": f"the proposed settings together ({name}) failed: {result.reason}"}
    if base is None or len(there) < len(references):
        return check | {"sentence": f"the proposed settings together ({name}) have nothing to be compared with."}
    errors = errors_against(finest(base, there), result.measured)
    beyond = beyond_tolerance(errors, plan.tolerances)
    note = state_note(base, result.measured)
    found = f"differ in {beyond}" if beyond else f"agree within the tolerances: {in_words(errors)}"
    words = f"the proposed settings together ({name}) and the finest of all series together {found}"
    check |= {"agrees": not beyond, "sentence": f"{words}{f', being in {note}' if note else ''}."}
    return check | errors.plain()


def _proposal(
    series: Mapping[Series, Sequence[Point]], verdicts: Mapping[Series, Verdict], plan: ConvergencePlan
) -> dict[str, Any]:
    """Return the settings that are shown to be enough.

    The density's cutoff follows that of the waves upwards alone: what augmentation charges need is an absolute cutoff,
    and nothing below the one at which a dual was tested is shown to be enough.
    """
    taken = {name: series[name][verdict.index] for name, verdict in verdicts.items() if verdict.index is not None}
    settings: dict[str, Any] = {}
    if Series.CUTOFF in taken:
        settings["cutoff_wfc_ry"] = taken[Series.CUTOFF].cutoff_wfc_ry
        if Series.DUAL not in series:
            settings["cutoff_rho_ry"] = taken[Series.CUTOFF].cutoff_rho_ry
        elif Series.DUAL in taken:
            tested = taken[Series.DUAL]
            settings["cutoff_rho_ry"] = tested.dual * max(taken[Series.CUTOFF].cutoff_wfc_ry, tested.cutoff_wfc_ry)
    if Series.KPOINTS in taken:
        settings["kpoints"] = {"distance_per_angstrom": taken[Series.KPOINTS].k_distance}
    reasons = {name.value: verdict.reason for name, verdict in verdicts.items()}
    if Series.DUAL not in series:
        reasons[Series.DUAL.value] = f"not varied: {plan.base_dual:g} in all points."
    return {"complete": len(taken) == len(series), "settings": settings, "reasons": reasons}
