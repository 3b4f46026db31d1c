"""Figures of the production run and of what was measured on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from aiida_nvp.report.model import Analysis, Arrays, Campaign, Production, Values
from aiida_nvp.report.style import (
    ACCENT,
    GRID,
    INK,
    MUTED,
    SEQUENCE,
    WARM,
    canvas,
    colour,
    conventions,
    panels,
    styled,
    to_svg,
)

_SHORTEST_LAGS = 2


def production_figure(production: Production | None, calibration: Values) -> str | None:
    """Draw temperature, potential energy and uncertainty along the run, stages shaded."""
    if production is None or "time_ps" not in production.thermo:
        return None
    thermo = production.thermo
    with styled():
        figure = canvas(10.4, 5.4)
        temperature, energy, uncertainty = figure.subplots(3, 1, sharex=True)
        temperature.plot(thermo["time_ps"], thermo["temperature"], color=WARM, linewidth=1)
        temperature.set_ylabel("temperature (K)")
        atoms = production.atoms or 1
        energy.plot(thermo["time_ps"], thermo["potential_energy"] / atoms, color=ACCENT, linewidth=1)
        energy.set_ylabel("potential energy\n(eV/atom)")
        _uncertainty_panel(uncertainty, thermo, production.results, calibration)
        for index, axes in enumerate((temperature, energy, uncertainty)):
            _mark_stages(axes, thermo, production.results.get("stages", ()), named=index == 0)
        uncertainty.set_xlabel("time (ps)")
        uncertainty.set_xlim(0, max(float(thermo["time_ps"][-1]), 1e-6))
        return to_svg(figure, "Temperature, potential energy and uncertainty along the production run")


def rdf_figure(analysis: Analysis | None, pairs: Sequence[str] | None = None) -> str | None:
    """Draw the partial radial distribution functions of the bonded pairs, one curve a stage."""
    stages = stages_of(analysis)
    if analysis is None or not stages:
        return None
    names = list(pairs or stages[0].get("coordination", {}))
    keys = [(name, _pair_key(analysis.arrays, stages[0], name)) for name in names]
    shown = [(name, key) for name, key in keys if key is not None]
    if not shown:
        return None
    with styled():
        figure = canvas(10.4, 2.9)
        axes = panels(figure, 1, len(shown))
        for panel, (name, key) in zip(axes, shown, strict=True):
            for index, stage in enumerate(stages):
                prefix = f"stage_{stage['index']}_"
                radius, values = analysis.arrays[f"{prefix}r"], analysis.arrays[f"{prefix}g_{key}"]
                panel.plot(radius, values, color=stage_colour(index, len(stages)), label=stage_name(stage))
            cutoff = stages[0].get("coordination", {}).get(name, {}).get("cutoff")
            if cutoff:
                panel.axvline(cutoff, color=MUTED, linewidth=0.9, linestyle=":")
            panel.set_title(name)
            panel.set_xlabel("distance (Å)")
            panel.set_xlim(1.0, min(6.0, float(analysis.arrays[f"stage_{stages[0]['index']}_r"][-1])))
            panel.set_ylim(bottom=0)
        axes[0].set_ylabel("g(r)")
        axes[-1].legend(loc="upper right")
        return to_svg(figure, "Partial radial distribution functions")


def coordination_figure(analysis: Analysis | None) -> str | None:
    """Draw the share of centres with each number of neighbours."""
    stages = stages_of(analysis)
    names = list(stages[0].get("coordination", {})) if stages else []
    if not names:
        return None
    with styled():
        figure = canvas(10.4, 2.7)
        for panel, name in zip(panels(figure, 1, len(names)), names, strict=True):
            _coordination_panel(panel, name, stages)
        return to_svg(figure, "Coordination numbers")


def msd_figure(analysis: Analysis | None, mobile: str | None) -> str | None:
    """Draw the mean-square displacement: the mobile species stage by stage, and all species in the first stage."""
    stages = stages_of(analysis)
    if analysis is None or not stages:
        return None
    species = list(stages[0].get("msd", {}))
    chosen = mobile if mobile in species else next(iter(species), None)
    if chosen is None:
        return None
    with styled():
        figure = canvas(10.4, 3.1)
        left, right = panels(figure, 1, 2)
        for index, stage in enumerate(stages):
            _msd_curve(
                left, analysis.arrays, (stage["index"], chosen), stage_colour(index, len(stages)), stage_name(stage)
            )
        left.set_title(f"{chosen} at each hold")
        for symbol in species:
            _msd_curve(right, analysis.arrays, (stages[0]["index"], symbol), colour(symbol), symbol)
        right.set_title(f"every species, {stage_name(stages[0])}")
        for panel in (left, right):
            panel.set(xlabel="lag time (ps)", ylabel="mean-square displacement (Å²)")
            panel.set_ylim(bottom=0)
            panel.legend(loc="upper left")
        return to_svg(figure, f"Mean-square displacement of {chosen} and of all species")


def mobile_species(campaign: Campaign) -> str | None:
    """Return the species whose motion the campaign asks about."""
    stages = stages_of(campaign.analysis)
    found = stages[0].get("percolation", {}).get("species") if stages else None
    return str(found) if found else None


def _uncertainty_panel(axes: Axes, thermo: Arrays, results: Values, calibration: Values) -> None:
    if "uncertainty_time_ps" in thermo and len(thermo["uncertainty_time_ps"]):
        axes.plot(thermo["uncertainty_time_ps"], thermo["uncertainty_score"], color=INK, linewidth=1.1)
        lower = calibration.get("thresholds", {}).get("lower")
        if lower is not None and results.get("calibrated", True):
            axes.axhline(lower, color=WARM, linestyle="--", linewidth=1)
            axes.text(
                1.0, lower, "target error ", transform=axes.get_yaxis_transform(), ha="right", va="bottom", color=WARM
            )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("uncertainty score\n(eV/Å)")


def _mark_stages(axes: Axes, thermo: Arrays, stages: Sequence[Values], *, named: bool) -> None:
    if "stage" not in thermo:
        return
    time, stage = thermo["time_ps"], thermo["stage"]
    for index in np.unique(stage):
        inside = time[stage == index]
        start, end = float(inside[0]), float(inside[-1])
        if int(index) % 2 == 0:
            axes.axvspan(start, end, color=GRID, alpha=0.55, zorder=0, linewidth=0)
        if named and int(index) < len(stages):
            name = str(stages[int(index)].get("name") or f"stage {int(index)}")
            axes.text((start + end) / 2, 1.02, name, transform=axes.get_xaxis_transform(), ha="center", va="bottom")


def _coordination_panel(axes: Axes, name: str, stages: Sequence[Values]) -> None:
    width = 0.8 / len(stages)
    for index, stage in enumerate(stages):
        entry = stage["coordination"].get(name, {})
        shares = {int(n): share for n, share in entry.get("shares", {}).items() if share["share"] > 0.0}
        where = np.array(sorted(shares)) + (index - (len(stages) - 1) / 2) * width
        heights = [shares[n]["share"] for n in sorted(shares)]
        axes.bar(where, heights, width * 0.94, color=stage_colour(index, len(stages)), label=stage_name(stage))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    centre, ligand = name.split("-")
    axes.set_title(f"{name}, within {stages[0]['coordination'][name].get('cutoff', float('nan')):.1f} Å")
    axes.set_xlabel(f"{ligand} neighbours of {centre}")
    axes.set_ylabel("share of atoms")
    axes.set_ylim(0, 1.02)
    axes.grid(visible=False, axis="x")


def _msd_curve(axes: Axes, arrays: Arrays, key: tuple[Any, str], shade: str, name: str) -> None:
    stage, symbol = key
    prefix = f"stage_{stage}_"
    if f"{prefix}msd_{symbol}" not in arrays:
        return
    lag, values = arrays[f"{prefix}lag_ps"], arrays[f"{prefix}msd_{symbol}"]
    # Long lags rest on a handful of origins and say nothing.
    keep = slice(0, max(_SHORTEST_LAGS, len(lag) // 2))
    axes.plot(lag[keep], values[keep], color=shade, label=name)
    error: NDArray[Any] | None = arrays.get(f"{prefix}msd_error_{symbol}")
    if error is not None:
        band = np.nan_to_num(error[keep])
        axes.fill_between(lag[keep], values[keep] - band, values[keep] + band, color=shade, alpha=0.18, linewidth=0)


def stages_of(analysis: Analysis | None) -> Sequence[Mapping[str, Any]]:
    """Return the stages of an analysis, none where there is no analysis."""
    return list(analysis.results.get("stages", ())) if analysis is not None else []


def _pair_key(arrays: Arrays, stage: Values, name: str) -> str | None:
    first, second = name.split("-")
    options = (f"{first}_{second}", f"{second}_{first}")
    return next((key for key in options if f"stage_{stage['index']}_g_{key}" in arrays), None)


def stage_name(stage: Values) -> str:
    """Return how a figure calls a stage."""
    return str(stage.get("name") or f"stage {stage['index']}")


def stage_colour(index: int, total: int) -> str:
    """Return the colour of one stage of several."""
    # Holds are told apart by lightness as well as by hue.
    palette = (WARM, ACCENT, SEQUENCE[0], INK, *conventions()["fallback_colours"])
    return str(palette[index % len(palette)]) if total > 1 else ACCENT
