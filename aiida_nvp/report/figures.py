"""Figures of the loop: errors cycle by cycle, predictions against labels, scores of the candidates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from aiida_nvp.report.errors import Parity, after_training, before_labelling, on_training_set
from aiida_nvp.report.model import Campaign, Cycle
from aiida_nvp.report.style import (
    ACCENT,
    INK,
    MUTED,
    SEQUENCE,
    WARM,
    canvas,
    colour,
    marker,
    panels,
    styled,
    to_svg,
)

_MOST_POINTS = 4000
"""More points a panel than this hide each other; an even sample is drawn."""


def loop_figure(campaign: Campaign) -> str | None:
    """Draw labels, prospective error and disagreement cycle by cycle; None before the first calibration."""
    measured = [cycle for cycle in campaign.cycles if cycle.calibration]
    if not measured:
        return None
    with styled():
        figure = canvas(10.4, 3.1)
        labels, errors, disagreement = panels(figure, 1, 3)
        _labels_panel(labels, campaign)
        _errors_panel(errors, measured)
        _disagreement_panel(disagreement, campaign)
        return to_svg(figure, "Labels, prospective force error and committee disagreement, cycle by cycle")


def parity_figure(campaign: Campaign) -> str | None:
    """Draw predicted against labelled force components: before each cycle's labels, and after the last training."""
    found = [
        (f"cycle {cycle.index}, before its labels", before_labelling(cycle))
        for cycle in campaign.cycles
        if cycle.labels is not None
    ]
    found.append(("last committee, training set", on_training_set(campaign)))
    shown = [(title, parity) for title, parity in found if parity is not None]
    if not shown:
        return None
    bound = max(float(np.percentile(np.abs(parity.label), 99.5)) for _, parity in shown) * 1.15
    columns = min(len(shown), 4)
    rows = -(-len(shown) // columns)
    with styled():
        figure = canvas(10.4, rows * 10.4 / max(columns, 3) * 1.06)
        axes = panels(figure, rows, columns)
        for panel, (title, parity) in zip(axes, shown, strict=False):
            _parity_panel(panel, title, parity, bound)
        for panel in axes[len(shown) :]:
            panel.set_visible(False)
        axes[0].set_ylabel("committee's force component (eV/Å)")
        axes[0].legend(loc="lower right", handletextpad=0.1, markerscale=1.6)
        return to_svg(figure, "Committee forces against labelled forces by species")


def score_figure(campaign: Campaign) -> str | None:
    """Draw how the candidates' scores are spread, with the window that was in force."""
    shown = [
        cycle
        for cycle in campaign.cycles
        if cycle.exploration is not None and np.isfinite(cycle.exploration.scores).any()
    ]
    if not shown:
        return None
    every = np.concatenate([cycle.exploration.scores for cycle in shown if cycle.exploration is not None])
    positive = every[np.isfinite(every) & (every > 0)]
    if not len(positive):
        return None
    bins = np.geomspace(positive.min() * 0.9, positive.max() * 1.1, 30)
    with styled():
        figure = canvas(10.4, 2.7)
        for panel, cycle in zip(panels(figure, 1, len(shown)), shown, strict=True):
            _score_panel(panel, campaign, cycle, bins.tolist())
        return to_svg(figure, "Distribution of candidate scores with selection thresholds")


def _labels_panel(axes: Axes, campaign: Campaign) -> None:
    counts = [len(batch.dataset.frames) if batch.dataset else 0 for _, batch in campaign.batches]
    names = [name for name, _ in campaign.batches]
    bottoms = np.concatenate([[0], np.cumsum(counts)[:-1]])
    colours = [MUTED, *[_shade(index, len(counts) - 1) for index in range(len(counts) - 1)]]
    axes.bar(names, counts, bottom=bottoms, color=colours[: len(counts)], width=0.6)
    for index, (count, bottom) in enumerate(zip(counts, bottoms, strict=True)):
        axes.text(index, bottom + count, f"+{count}", ha="center", va="bottom", fontsize=9)
    axes.set_ylim(0, sum(counts) * 1.12 + 1)
    axes.set_title("Labels collected")
    axes.set_ylabel("labelled frames")
    axes.grid(visible=False, axis="x")


def _errors_panel(axes: Axes, cycles: Sequence[Cycle]) -> None:
    index = [cycle.index for cycle in cycles]
    prospective = [cycle.calibration["prospective"] for cycle in cycles]
    rmse, rms = ([entry[key] for entry in prospective] for key in ("force_rmse", "force_rms"))
    axes.plot(index, rms, "--", color=MUTED, marker="o", markersize=4, label="size of the forces (RMS)")
    axes.plot(index, rmse, color=WARM, marker="o", markersize=6, label="error before labelling (RMSE)")
    drawn = [(cycle.index, cycle.calibration["prospective"]["random"]) for cycle in cycles]
    drawn = [(x, share["force_rmse"]) for x, share in drawn if share]
    if drawn:
        axes.plot(*zip(*drawn, strict=True), ":", color=ACCENT, marker="s", markersize=5, label="… of the random share")
    for x, error, size in zip(index, rmse, rms, strict=True):
        axes.annotate(f"{error / size:.0%}", (x, error), (0, 8), textcoords="offset points", ha="center", color=WARM)
    axes.set_xticks(index, [f"cycle {i}" for i in index])
    axes.set_xlim(index[0] - 0.4, index[-1] + 0.4)
    axes.set_ylim(0, max([*rms, *rmse]) * 1.45)
    axes.set_title("Error of predictions made in advance")
    axes.set_ylabel("force component (eV/Å)")
    axes.legend(loc="upper right")


def _disagreement_panel(axes: Axes, campaign: Campaign) -> None:
    rows = [(cycle.index, before_labelling(cycle), after_training(campaign, cycle)) for cycle in campaign.cycles]
    width = 0.36
    for index, before, after in rows:
        for shift, parity, shade in ((-width / 2, before, WARM), (width / 2, after, ACCENT)):
            if parity is not None:
                axes.bar(index + shift, parity.disagreement, width * 0.92, color=shade)
                axes.text(index + shift, parity.disagreement, f"{parity.disagreement:.2f}", ha="center", va="bottom")
    axes.bar([0], [0], color=WARM, label="before their labels")
    axes.bar([0], [0], color=ACCENT, label="after training on them")
    tallest = [parity.disagreement for _, *pair in rows for parity in pair if parity is not None]
    axes.set_ylim(0, max(tallest, default=1.0) * 1.45)
    axes.set_xticks([row[0] for row in rows], [f"cycle {row[0]}" for row in rows])
    axes.set_title("Disagreement on the chosen frames")
    axes.set_ylabel("committee deviation, RMS (eV/Å)")
    axes.legend(loc="upper right")
    axes.grid(visible=False, axis="x")


def _parity_panel(axes: Axes, title: str, parity: Parity, bound: float) -> None:
    axes.plot([-bound, bound], [-bound, bound], color=INK, linewidth=0.8, zorder=3)
    for symbol in sorted(set(parity.symbols.tolist()), key=lambda name: -int((parity.symbols == name).sum())):
        one = parity.of(symbol)
        label, predicted = one.label.ravel(), one.predicted.ravel()
        step = -(-len(label) // _MOST_POINTS)
        axes.scatter(
            label[::step],
            predicted[::step],
            s=9,
            marker=marker(symbol),
            color=colour(symbol),
            alpha=0.55,
            linewidths=0,
            label=symbol,
            rasterized=True,
        )
    axes.set(xlim=(-bound, bound), ylim=(-bound, bound), aspect="equal")
    axes.set_title(title)
    axes.set_xlabel("labelled force component (eV/Å)")
    words = f"RMSE {parity.rmse:.2f} of RMS {parity.rms:.2f} eV/Å"
    axes.text(0.03, 0.97, words, transform=axes.transAxes, va="top", fontsize=8.5)


def _score_panel(axes: Axes, campaign: Campaign, cycle: Cycle, bins: list[float]) -> None:
    scores = cycle.exploration.scores if cycle.exploration is not None else np.empty(0)
    earlier = [other.calibration for other in campaign.cycles if other.index < cycle.index and other.calibration]
    axes.hist(scores[np.isfinite(scores)], bins=bins, color=_shade(cycle.index, len(campaign.cycles)))
    axes.set_xscale("log")
    limits = cycle.selection.thresholds if cycle.selection is not None else {}
    lower, upper = limits.get("lower"), limits.get("upper")
    if lower is not None and upper is not None:
        axes.axvspan(lower, upper, color=ACCENT, alpha=0.08, zorder=0)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.18)
        for value, name, side in ((lower, "lower ", "right"), (upper, " upper", "left")):
            axes.axvline(value, color=WARM, linewidth=1.2, linestyle="--")
            axes.text(
                value, 0.98, name, transform=axes.get_xaxis_transform(), va="top", ha=side, color=WARM, fontsize=8.5
            )
    axes.set_title(f"cycle {cycle.index}: {len(scores)} candidates")
    axes.set_xlabel("score (eV/Å, calibrated)" if earlier else "score (eV/Å, raw deviation)")
    axes.set_ylabel("frames" if cycle.index == 0 else "")


def _shade(index: int, total: int) -> str:
    position = 0 if total <= 1 else round(index * (len(SEQUENCE) - 1) / (total - 1))
    return SEQUENCE[min(position, len(SEQUENCE) - 1)]
