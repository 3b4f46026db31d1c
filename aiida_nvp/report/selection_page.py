"""Writes a benchmark of ways to choose labels: one page with learning curves, and tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aiida_nvp import __version__
from aiida_nvp.report.document import page_environment, write_whole
from aiida_nvp.report.figures_benchmark import PLACES
from aiida_nvp.report.style import ACCENT, INK, MUTED, SEQUENCE, WARM, canvas, panels, styled, to_svg

METRICS = {"force_rmse": "force RMSE", "worst": "99th percentile of an atom's error"}
_SHADES = (MUTED, WARM, INK, SEQUENCE[0], SEQUENCE[-1], ACCENT)


def ratio_rows(ratios: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """Return a line of text a strategy: its name, then place by place and metric by metric its ratio to random."""
    names = dict.fromkeys(name for found in ratios.values() for name in found)
    return [[name, *(_words(found.get(name)) for found in ratios.values())] for name in names]


def selection_markdown(ratios: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the table in Markdown."""
    lines = [["strategy", *ratios], ["---"] * (len(ratios) + 1), *ratio_rows(ratios)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def curves_figure(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """Draw error over labels for each place, as one ``<svg>`` element; bands span the repetitions."""
    places = [place for place in PLACES if any(place in row["errors"] for row in rows)]
    with styled():
        figure = canvas(9.6, 3.6)
        axes = panels(figure, 1, len(places))
        for place, panel in zip(places, axes, strict=True):
            for name, shade in zip(dict.fromkeys(row["strategy"] for row in rows), _SHADES, strict=False):
                mine = [row for row in rows if row["strategy"] == name and place in row["errors"]]
                labels = sorted({row["labels"] for row in mine})
                values = [[row["errors"][place][metric] for row in mine if row["labels"] == n] for n in labels]
                panel.plot(labels, [float(np.mean(each)) for each in values], color=shade, label=name, marker="o")
                panel.fill_between(labels, [min(v) for v in values], [max(v) for v in values], color=shade, alpha=0.12)
            panel.set(title=PLACES[place], xlabel="labels", ylabel=f"{METRICS[metric]} (eV/Å)", xscale="log")
        axes[0].legend(loc="upper right")
        return to_svg(figure, f"{METRICS[metric]} over the number of labels")


def write_selection(rows: Sequence[Mapping[str, Any]], about: Mapping[str, Any], path: Path) -> Path:
    """Write the page; whole or not at all.

    :param about: ``name`` of the data, ``potential``, ``members``, ``seeds``, ``ratios`` and frames by part.
    """
    page = page_environment().get_template("selection.html.j2")
    figures = {METRICS[metric]: curves_figure(rows, metric) for metric in METRICS}
    table = ratio_rows(about["ratios"])
    return write_whole(path, page.render(**about, figures=figures, table=table, version=__version__))


def _words(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "-"
    if found["interval"] is None:
        return f"{found['ratio']:.2f}"
    low, high = found["interval"]
    return f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})"
