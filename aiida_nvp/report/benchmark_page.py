"""Writes a benchmark of error bars: one page, tables for the terminal and for documents."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiida_nvp import __version__
from aiida_nvp.report.document import page_environment, write_whole
from aiida_nvp.report.figures_benchmark import PLACES, ranking_figure, reliability_figure

HEADER = (
    "Spearman",
    "AUROC",
    "NLL",
    "ENCE",
    "area",
    "rms z",
    "sharpness (eV/Å)",
    "covered by 50 %",
    "80 %",
    "90 %",
    "95 %",
    "width 90 % (eV/Å)",
)
_NUMBERS = ("spearman", "auroc", "nll", "ence", "miscalibration_area", "rms_z", "sharpness")
_LEVELS = ("0.5", "0.8", "0.9", "0.95")


def quality_rows(rows: Mapping[str, Any]) -> list[list[str]]:
    """Return a line of text a measure: its name, then the columns of :data:`HEADER`."""
    return [
        [
            name,
            *(_number(row[key]) for key in _NUMBERS),
            *(_percent(row["coverage"][level]) for level in _LEVELS),
            _number(row["width"]["0.9"]),
        ]
        for name, row in rows.items()
    ]


def species_rows(rows: Mapping[str, Any], species: list[str]) -> list[list[str]]:
    """Return a line of text a measure: its name, then how much of each species its 90 % interval covers."""
    return [
        [name, *(_percent(row["coverage_by_species"]["0.9"].get(symbol)) for symbol in species)]
        for name, row in rows.items()
    ]


def markdown(result: Mapping[str, Any]) -> str:
    """Return the tables in Markdown."""
    lines: list[str] = []
    for place, rows in result["calibrated"].items():
        lines += [f"**{PLACES[place]}**", "", _row(["measure", *HEADER]), _row(["---"] * (len(HEADER) + 1))]
        lines += [*map(_row, quality_rows(rows)), ""]
    return "\n".join(lines)


def write_benchmark(result: Mapping[str, Any], about: Mapping[str, Any], path: Path) -> Path:
    """Write the page; whole or not at all.

    :param result: of :func:`aiida_nvp.benchmark.uncertainty.judge`.
    :param about: ``name`` of the data, ``potential``, ``members``, ``seed``, ``divisions`` and ``out_where``.
    """
    species = sorted(result["errors"]["in"]["by_species"])
    page = (
        page_environment()
        .get_template("uncertainty.html.j2")
        .render(
            **about,
            result=result,
            places=PLACES,
            species=species,
            header=HEADER,
            tables={place: quality_rows(rows) for place, rows in result["calibrated"].items()},
            by_species={place: species_rows(rows, species) for place, rows in result["calibrated"].items()},
            ranking=ranking_figure(result),
            reliability=reliability_figure(result),
            version=__version__,
        )
    )
    return write_whole(path, page)


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: Mapping[str, float | None]) -> str:
    mean, spread = value["mean"], value["std"]
    if mean is None:
        return "-"
    return f"{mean:.3f}" if not spread or spread < 5e-4 else f"{mean:.2f} ± {spread:.2f}"  # noqa: PLR2004 - half a digit


def _percent(value: Mapping[str, float | None] | None) -> str:
    if value is None or value["mean"] is None:
        return "-"
    return f"{100 * value['mean']:.0f} ± {100 * (value['std'] or 0.0):.0f}"
