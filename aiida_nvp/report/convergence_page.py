"""Writes a convergence test as one page or one drawing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from aiida import orm

from aiida_nvp import __version__
from aiida_nvp.report.convergence import HEADER, TITLES, cells, fixed, read_result
from aiida_nvp.report.document import page_environment, write_whole
from aiida_nvp.report.figures_convergence import convergence_figure, convergence_image
from aiida_nvp.report.style import written


def write_convergence(node: orm.ProcessNode, path: Path) -> Path:
    """Write the test to ``path``: a drawing if that ends in ``.svg`` or ``.png``, else a page; whole or not at all.

    :raises InputError: if the process left no result.
    """
    result = read_result(node)
    if path.suffix == ".png":
        return write_whole(path, convergence_image(result))
    return write_whole(path, convergence_figure(result) if path.suffix == ".svg" else _page(node, result))


def _page(node: orm.ProcessNode, result: Mapping[str, Any]) -> str:
    page = (
        page_environment()
        .get_template("convergence.html.j2")
        .render(
            node=node,
            result=result,
            check=result.get("cross_check"),
            formula=written(result["formula"]),
            header=HEADER,
            titles=TITLES,
            series={name: cells(series) for name, series in result["series"].items()},
            fixed={name: fixed(result, name) for name in result["series"]},
            settings=yaml.safe_dump({"settings": result["proposal"]["settings"]}, sort_keys=False),
            figure=convergence_figure(result),
            version=__version__,
        )
    )
    return str(page)
