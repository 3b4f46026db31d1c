"""Whether error bars are as long as the errors: drawn for a benchmark and for each calibration of a campaign."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from aiida_nvp.report.model import Campaign
from aiida_nvp.report.style import MUTED, SEQUENCE, canvas, panels, styled, to_svg


def draw_reliability(
    bins: Axes, coverage: Axes, curves: Mapping[str, Mapping[str, Sequence[float]]], colours: Mapping[str, str]
) -> None:
    """Draw found against expected errors into ``bins`` and achieved against promised coverage into ``coverage``.

    :param curves: by label, what :func:`~aiida_nvp.uncertainty.quality.reliability_curves` returns.
    :param colours: by the same labels.
    """
    for label, curve in curves.items():
        bins.loglog(curve["expected"], curve["found"], "o-", color=colours[label], label=label)
        coverage.plot(curve["nominal"], curve["achieved"], color=colours[label], label=label)
    low, high = (edge(*bins.get_xlim(), *bins.get_ylim()) for edge in (min, max))
    bins.plot([low, high], [low, high], color=MUTED, linestyle="--", linewidth=1)
    coverage.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1)
    bins.set_xlabel("expected error (eV/Å)")
    coverage.set_xlabel("promised coverage")


def reliability_figure(campaign: Campaign) -> str | None:
    """Draw how each calibration held on the labels that came after it; None before there are any."""
    curves = {
        f"cycle {cycle.index}": cycle.calibration["quality"]["curves"]
        for cycle in campaign.cycles
        if "curves" in cycle.calibration.get("quality", {})
    }
    if not curves:
        return None
    colours = {label: SEQUENCE[index % len(SEQUENCE)] for index, label in enumerate(curves)}
    with styled():
        figure = canvas(10.4, 3.8)
        bins, coverage = panels(figure, 1, 2)
        draw_reliability(bins, coverage, curves, colours)
        bins.set_ylabel("found error (eV/Å)")
        coverage.set_ylabel("achieved coverage")
        bins.legend(loc="best")
        return to_svg(figure, "Expected against found errors, promised against achieved coverage, cycle by cycle")
