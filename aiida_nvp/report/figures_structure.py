"""Figures of the structure beyond distances: S(Q), bond angles, shapes of polyhedra, rings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aiida_nvp.report.figures_run import stage_colour, stage_name, stages_of
from aiida_nvp.report.model import Analysis, Values
from aiida_nvp.report.style import MUTED, canvas, panels, styled, to_svg

_RADIATIONS = {"neutron": "neutrons", "xray": "X-rays"}
_MOST_PANELS = 6
_NO_SHAPE = ("irregular", "other number")


def structure_figures(analysis: Analysis | None) -> list[str]:
    """Return the figures that the results have values for."""
    drawn = (scattering_figure(analysis), angle_figure(analysis), shape_figure(analysis), ring_figure(analysis))
    return [figure for figure in drawn if figure is not None]


def scattering_figure(analysis: Analysis | None) -> str | None:
    """Draw the total structure factors for both radiations, with their standard errors."""
    stages = _with(analysis, "s_of_q")
    if analysis is None or not stages:
        return None
    shown = [
        key for key in _RADIATIONS if any(f"stage_{stage['index']}_s_{key}" in analysis.arrays for stage in stages)
    ]
    if not shown:
        return None
    with styled():
        figure = canvas(10.4, 3.0)
        for panel, key in zip(panels(figure, 1, len(shown)), shown, strict=True):
            for index, stage in enumerate(stages):
                prefix = f"stage_{stage['index']}_"
                if f"{prefix}s_{key}" not in analysis.arrays:
                    continue
                q, values = analysis.arrays[f"{prefix}q"], analysis.arrays[f"{prefix}s_{key}"]
                error = np.nan_to_num(analysis.arrays[f"{prefix}s_error_{key}"])
                shade = stage_colour(index, len(stages))
                panel.plot(q, values, color=shade, linewidth=1.1, label=stage_name(stage))
                panel.fill_between(q, values - error, values + error, color=shade, alpha=0.18, linewidth=0)
            panel.axhline(1.0, color=MUTED, linewidth=0.8, linestyle=":")
            panel.set(title=_RADIATIONS[key], xlabel="Q (1/Å)", ylabel="S(Q)", xlim=(0, None))
            panel.legend(loc="upper right")
        return to_svg(figure, "Total structure factors for neutrons and X-rays")


def angle_figure(analysis: Analysis | None) -> str | None:
    """Draw the distributions of bond angles."""
    stages = _with(analysis, "angles")
    if analysis is None or not stages:
        return None
    names = [name for name, entry in stages[0]["structure"]["angles"].items() if entry["mean_deg"]["mean"] is not None]
    if not names:
        return None
    names = names[:_MOST_PANELS]
    with styled():
        figure = canvas(10.4, 2.7)
        axes = panels(figure, 1, len(names))
        for panel, name in zip(axes, names, strict=True):
            for index, stage in enumerate(stages):
                prefix = f"stage_{stage['index']}_"
                density = analysis.arrays[f"{prefix}bad_{name.replace('-', '_')}"]
                panel.plot(
                    analysis.arrays[f"{prefix}angles"],
                    100 * density,
                    color=stage_colour(index, len(stages)),
                    label=stage_name(stage),
                )
            panel.set(title=name, xlabel="angle (degrees)", xlim=(40, 180), xticks=(60, 90, 120, 150, 180))
            panel.set_ylim(bottom=0)
        axes[0].set_ylabel("share in a degree (%)")
        axes[-1].legend(loc="upper left")
        return to_svg(figure, "Distributions of bond angles")


def shape_figure(analysis: Analysis | None) -> str | None:
    """Draw which ideal polyhedra the centres are nearest to."""
    stages = _with(analysis, "polyhedra")
    names = list(stages[0]["structure"]["polyhedra"]) if stages else []
    if not names:
        return None
    with styled():
        figure = canvas(10.4, 3.0)
        for panel, name in zip(panels(figure, 1, len(names)), names, strict=True):
            shares = [stage["structure"]["polyhedra"][name]["shares"] for stage in stages]
            found = dict.fromkeys(shape for share in shares for shape in share)
            shapes = sorted(found, key=lambda shape: shape in _NO_SHAPE)
            height = 0.8 / len(stages)
            for index, (stage, share) in enumerate(zip(stages, shares, strict=True)):
                where = np.arange(len(shapes)) + (index - (len(stages) - 1) / 2) * height
                panel.barh(
                    where,
                    [share.get(shape, {}).get("mean") or 0.0 for shape in shapes],
                    height * 0.94,
                    color=stage_colour(index, len(stages)),
                    label=stage_name(stage),
                )
            panel.set_yticks(np.arange(len(shapes)), shapes)
            panel.invert_yaxis()
            panel.set(title=name, xlabel="share of centres", xlim=(0, 1.02))
            panel.grid(visible=False, axis="y")
        return to_svg(figure, "Nearest ideal polyhedra")


def ring_figure(analysis: Analysis | None) -> str | None:
    """Draw the number of rings of each size for each former."""
    stages = _with(analysis, "rings")
    if not any(stage["structure"]["rings"]["per_former"] for stage in stages):
        return None
    with styled():
        figure = canvas(5.2, 2.7)
        (panel,) = panels(figure, 1, 1)
        width = 0.8 / len(stages)
        for index, stage in enumerate(stages):
            rings = stage["structure"]["rings"]["per_former"]
            where = np.array([int(size) for size in rings]) + (index - (len(stages) - 1) / 2) * width
            panel.bar(
                where,
                [entry["mean"] for entry in rings.values()],
                width * 0.94,
                yerr=[entry["error"] or 0.0 for entry in rings.values()],
                ecolor=MUTED,
                color=stage_colour(index, len(stages)),
                label=stage_name(stage),
            )
        sizes = [int(size) for stage in stages for size in stage["structure"]["rings"]["per_former"]]
        panel.set_xticks(range(min(sizes), max(sizes) + 1))
        panel.set(title="Shortest-path rings", xlabel="formers in the ring", ylabel="rings for each former")
        panel.grid(visible=False, axis="x")
        panel.legend(loc="upper left")
        return to_svg(figure, "Rings of the network by size")


def _with(analysis: Analysis | None, part: str) -> Sequence[Mapping[str, Any]]:
    """Return the stages that have a part of the report on structure; older results have none."""
    return [stage for stage in stages_of(analysis) if _part(stage, part)]


def _part(stage: Values, part: str) -> object:
    return stage.get("structure", {}).get(part)
