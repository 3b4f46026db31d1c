"""Writes the analysis of trajectory files as one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from aiida_nvp.report.document import page_environment, write_whole
from aiida_nvp.report.figures_run import coordination_figure, msd_figure, rdf_figure
from aiida_nvp.report.figures_structure import structure_figures
from aiida_nvp.report.model import Analysis


def write_analysis(results: Mapping[str, Any], arrays: Sequence[Mapping[str, NDArray[Any]]], path: Path) -> Path:
    """Write the page; whole or not at all.

    :param results: content of ``results.json``; ``arrays``: the curves of each replica.
    """
    figures = []
    for replica, curves in zip(results["replicas"], arrays, strict=True):
        analysis = Analysis(None, replica, dict(curves))
        mobile = replica["stages"][0].get("percolation", {}).get("species")
        pairs = list(replica["stages"][0]["rdf"]["highest_peak"])
        drawn = (
            rdf_figure(analysis, list(replica["stages"][0]["coordination"]) or pairs),
            coordination_figure(analysis),
            *structure_figures(analysis),
            msd_figure(analysis, mobile),
        )
        figures.append([figure for figure in drawn if figure is not None])
    page = page_environment().get_template("analysis.html.j2").render(results=results, figures=figures)
    return write_whole(path, page)
