"""How figures look, and how a figure becomes part of a page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import matplotlib as mpl
import yaml
from ase.formula import Formula
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1f2a37"
MUTED = "#6b7686"
GRID = "#e4e8ee"
ACCENT = "#1f5f8b"
WARM = "#c8553d"
SEQUENCE = ("#9db8cf", "#5f93b8", "#1f5f8b", "#123a56")
"""Light to dark: the first cycle to the last."""

_BELOW = {ord("0") + digit: 0x2080 + digit for digit in range(10)}

_RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "aiida-nvp",
    "figure.dpi": 100,
    "savefig.dpi": 160,
}


@cache
def conventions() -> Mapping[str, Any]:
    """Return colours and expectations by species, as shipped."""
    text = files("aiida_nvp.report").joinpath("conventions.yaml").read_text(encoding="utf-8")
    loaded: Mapping[str, Any] = yaml.safe_load(text)
    return loaded


def colour(symbol: str) -> str:
    """Return the colour of a species; one without its own gets one from the fallback list, always the same."""
    known, others = conventions()["species"], conventions()["fallback_colours"]
    return str(known[symbol]["colour"] if symbol in known else others[sum(map(ord, symbol)) % len(others)])


def marker(symbol: str) -> str:
    """Return the marker of a species."""
    return str(conventions()["species"].get(symbol, {}).get("marker", "v"))


def species_in_order(symbols: Iterable[str]) -> list[str]:
    """Return species in the order of the conventions, others after them."""
    known = list(conventions()["species"])
    return sorted(symbols, key=lambda name: (known.index(name) if name in known else len(known), name))


def written(formula: str) -> str:
    """Return a formula as a chemist writes it: elements in the order of the conventions, numbers below the line."""
    counts = Formula(formula).count()
    parts = [symbol + (str(counts[symbol]) if counts[symbol] > 1 else "") for symbol in species_in_order(counts)]
    return "".join(parts).translate(_BELOW)


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the page."""
    with mpl.rc_context(_RC):
        yield


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panels(figure: Figure, rows: int, columns: int) -> list[Axes]:
    """Return the axes of a grid, row by row."""
    return list(figure.subplots(rows, columns, squeeze=False).ravel())


def to_png(figure: Figure) -> bytes:
    """Return the figure as an image; equal figures have equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None}, facecolor="white")
    return buffer.getvalue()


def to_svg(figure: Figure, description: str) -> str:
    """Return the figure as an ``<svg>`` element for use inside a page.

    Text stays text in the page's own font; identifiers that would repeat from figure to figure are dropped.
    """
    buffer = io.StringIO()
    nameless = {"Date": None, "Creator": None, "Format": None, "Type": None}
    figure.savefig(buffer, format="svg", metadata=nameless)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    label = description.replace("&", "and").replace('"', "'").replace("<", "under")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
