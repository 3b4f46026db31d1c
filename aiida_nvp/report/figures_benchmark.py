"""Figures of a benchmark of error bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes

from aiida_nvp.report.figures_reliability import draw_reliability
from aiida_nvp.report.style import ACCENT, MUTED, WARM, canvas, panels, styled, to_svg

PLACES = {"in": "in distribution", "out": "out of distribution"}
_COLOURS = {"in": ACCENT, "out": WARM}
_DRAWN = ("committee", "combined")


def ranking_figure(result: Mapping[str, Any]) -> str:
    """Draw how well each measure ranks the errors, as one ``<svg>`` element."""
    calibrated = result["calibrated"]
    names = list(calibrated["in"])
    with styled():
        figure = canvas(9.6, 3.2)
        left, right = panels(figure, 1, 2)
        for place, (offset, rows) in zip(calibrated, enumerate(calibrated.values()), strict=True):
            _bars(left, names, rows, "spearman", (place, offset))
            _bars(right, names, rows, "auroc", (place, offset))
        left.set_xlabel("rank correlation with the error (Spearman)")
        right.set_xlabel("worst twentieth found (AUROC)")
        right.axvline(0.5, color=MUTED, linestyle="--", linewidth=1)
        right.set_yticklabels([])
        left.legend(loc="lower right")
        return to_svg(figure, "How well each uncertainty ranks the force errors")


def reliability_figure(result: Mapping[str, Any]) -> str:
    """Draw expected against found errors and promised against achieved coverage, as one ``<svg>`` element."""
    with styled():
        figure = canvas(9.6, 3.6)
        axes = panels(figure, 1, 2 * len(_DRAWN))
        for column, name in enumerate(_DRAWN):
            bins, cover = axes[2 * column], axes[2 * column + 1]
            rows = result["calibrated"]
            curves = {PLACES[place]: found[name]["curves"] for place, found in rows.items()}
            draw_reliability(bins, cover, curves, {PLACES[place]: _COLOURS[place] for place in rows})
            bins.set_title(name)
        axes[0].set_ylabel("found error (eV/Å)")
        axes[1].set_ylabel("achieved coverage")
        axes[0].legend(loc="best")
        return to_svg(figure, "Expected against found errors, promised against achieved coverage")


def _bars(axes: Axes, names: list[str], rows: Mapping[str, Any], key: str, at: tuple[str, int]) -> None:
    place, offset = at
    height = 0.38
    values = [rows[name][key]["mean"] or 0.0 for name in names]
    spreads = [rows[name][key]["std"] or 0.0 for name in names]
    positions = [index + (offset - 0.5) * height for index in range(len(names))]
    axes.barh(positions, values, height, xerr=spreads, color=_COLOURS[place], label=PLACES[place])
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis() if offset == 0 else None
