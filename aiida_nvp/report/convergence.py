"""What a convergence test found, in cells of a table: the terminal and the page show the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiida import orm

from aiida_nvp.common.errors import InputError

TITLES: Mapping[str, str] = {
    "cutoff": "Cutoff of the waves",
    "dual": "Cutoff of the density, as a multiple",
    "kpoints": "Density of k-points",
}
HEADER = ("setting", "force max eV/Å", "force RMS eV/Å", "stress GPa", "energy eV/atom", "pressure GPa", "pw.x s")
_VALUES = ("force_error_max", "force_error_rms", "stress_error_gpa", "energy_error_per_atom")
_NOTHING = "\N{EN DASH}"


def read_result(node: orm.ProcessNode) -> dict[str, Any]:
    """Return the table that a convergence test left.

    :raises InputError: if it left none.
    """
    if "result" not in node.outputs:
        why = f": {node.exit_message}" if node.exit_message else ""
        raise InputError(f"process {node.pk} ({node.process_label}) has no result of a convergence test{why}")
    result: dict[str, Any] = node.outputs["result"].get_dict()
    return result


def cells(series: Mapping[str, Any]) -> list[tuple[Sequence[str], str]]:
    """Return for each row of a series its cells, in the order of :data:`HEADER`, and a remark or an empty string."""
    rows, chosen = series["rows"], series["verdict"]["index"]
    shown: list[tuple[Sequence[str], str]] = []
    for index, row in enumerate(rows):
        remarks = [row["reason"], row.get("note", ""), "found in the profile" if row["reused"] else ""]
        remarks += ["proposed"] if index == chosen else []
        remarks += ["reference"] if index == len(rows) - 1 else []
        numbers = [_number(row.get(name), ".2g") for name in _VALUES]
        values = [row["name"], *numbers, _number(row.get("pressure_gpa"), ".2f"), _number(row["code_s"], ".1f")]
        shown.append((values, "; ".join(remark for remark in remarks if remark)))
    return shown


def fixed(result: Mapping[str, Any], name: str) -> str:
    """Return what stays the same along the series ``name``."""
    row = result["series"][name]["rows"][0]
    parts = {
        "cutoff": f"{result['base']['cutoff_wfc_ry']:g} Ry",
        "dual": f"dual {result['base']['dual']:g}",
        "kpoints": f"mesh {'x'.join(map(str, row['mesh']))}",
    }
    return ", ".join(text for part, text in parts.items() if part != name)


def _number(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)
