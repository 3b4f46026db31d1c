"""Figure of a convergence test: errors of forces and stress along each series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aiida_nvp.report.convergence import TITLES, fixed
from aiida_nvp.report.style import ACCENT, MUTED, WARM, canvas, panels, styled, to_png, to_svg

_X = {
    "cutoff": ("cutoff_wfc_ry", "cutoff of the waves (Ry)"),
    "dual": ("dual", "cutoff of the density / of the waves"),
    "kpoints": ("k_distance", "distance of k-points (1/Å)"),
}
_FLOORS = {"force": 1e-5, "stress_gpa": 1e-3}
"""Smaller errors are drawn here: a logarithm has no zero, and nobody needs less."""


def convergence_figure(result: Mapping[str, Any]) -> str:
    """Draw the errors of every series against their tolerances as one ``<svg>`` element; the reference has none."""
    with styled():
        return to_svg(_draw(result), "Errors of forces and stress along the series of the convergence test")


def convergence_image(result: Mapping[str, Any]) -> bytes:
    """Return the same drawing as a PNG image."""
    with styled():
        return to_png(_draw(result))


def _draw(result: Mapping[str, Any]) -> Figure:
    names = list(result["series"])
    tolerances = result["tolerances"]
    figure = canvas(10.4, 5.2)
    axes = panels(figure, 2, len(names))
    for column, name in enumerate(names):
        force, stress = axes[column], axes[column + len(names)]
        series = result["series"][name]
        _panel(force, name, series, (("force_error_max", WARM, "largest"), ("force_error_rms", ACCENT, "RMS")))
        _panel(stress, name, series, (("stress_error_gpa", WARM, "largest component"),))
        _tolerance(force, tolerances["force"], _FLOORS["force"])
        _tolerance(stress, tolerances["stress_gpa"], _FLOORS["stress_gpa"])
        force.set_title(f"{TITLES[name]}\n{fixed(result, name)}")
        stress.set_xlabel(_X[name][1])
    axes[0].set_ylabel("force error (eV/Å)")
    axes[len(names)].set_ylabel("stress error (GPa)")
    axes[0].legend(loc="best")
    return figure


def _panel(axes: Axes, name: str, series: Mapping[str, Any], curves: Sequence[tuple[str, str, str]]) -> None:
    rows, key = series["rows"][:-1], _X[name][0]
    axes.set_yscale("log")
    for quantity, shade, label in curves:
        floor = _FLOORS["force" if quantity.startswith("force") else "stress_gpa"]
        points = [(row[key], max(row[quantity], floor)) for row in rows if row.get(quantity) is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=shade, markersize=5, label=label)
    positions = [row[key] for row in series["rows"]]
    axes.set_xticks(positions, [f"{value:g}" for value in positions])
    if name == "kpoints":
        axes.invert_xaxis()
    chosen = series["verdict"]["index"]
    if chosen is not None:
        axes.axvline(rows[chosen][key], color=MUTED, linewidth=5, alpha=0.25, label="proposed")


def _tolerance(axes: Axes, value: float | None, floor: float) -> None:
    if value is not None:
        axes.axhline(value, color=MUTED, linestyle="--", linewidth=1.1, label="tolerance")
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, floor / 2), max(high, 2 * (value or floor)))
