"""Puts the page together and writes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from aiida import __version__ as aiida_version
from aiida.orm import CalcJobNode, Dict, ProcessNode

from aiida_nvp import __version__
from aiida_nvp.data.links import jobs_below, output
from aiida_nvp.report import summary
from aiida_nvp.report.cost import cost_by_stage
from aiida_nvp.report.document import page_environment, write_whole
from aiida_nvp.report.errors import after_training, before_labelling
from aiida_nvp.report.figures import loop_figure, parity_figure, score_figure
from aiida_nvp.report.figures_reliability import reliability_figure
from aiida_nvp.report.figures_run import (
    coordination_figure,
    mobile_species,
    msd_figure,
    production_figure,
    rdf_figure,
)
from aiida_nvp.report.figures_structure import structure_figures
from aiida_nvp.report.graph import collect, final_dataset
from aiida_nvp.report.lineage import Lineage, trace_all
from aiida_nvp.report.model import Campaign, Cycle
from aiida_nvp.report.style import colour, species_in_order, written

_NOTHING = "\N{EN DASH}"


def write_report(node: ProcessNode, path: str | Path) -> Path:
    """Write the page of a campaign or loop, whole or in part, to ``path``; the file appears whole or not at all.

    :raises InputError: if the process is no campaign.
    """
    return write_whole(Path(path), render(node))


def render(node: ProcessNode) -> str:
    """Return the page as one HTML document that fetches nothing.

    :raises InputError: if the process is no campaign.
    """
    campaign = collect(node)
    dataset = final_dataset(node)
    histories = trace_all(dataset) if dataset is not None else []
    environment = page_environment()
    environment.filters |= {
        "num": _number,
        "percent": _percent,
        "duration": _duration,
        "when": _when,
        "formula": written,
    }
    environment.globals["colour"] = colour
    page = environment.get_template("report.html.j2").render(
        campaign=campaign,
        summary=summary,
        cycles=[_cycle_row(campaign, cycle) for cycle in campaign.cycles],
        selected=[row for cycle in campaign.cycles for row in _selected_rows(cycle)],
        histories=histories,
        example=_example(histories),
        figures=_figures(campaign),
        structure_figures=structure_figures(campaign.analysis),
        costs=cost_by_stage(node),
        versions=_versions(node, campaign),
        species=_species(campaign),
    )
    return str(page)


def _figures(campaign: Campaign) -> dict[str, str | None]:
    calibration = summary.last_calibration(campaign)
    return {
        "loop": loop_figure(campaign),
        "parity": parity_figure(campaign),
        "scores": score_figure(campaign),
        "reliability": reliability_figure(campaign),
        "production": production_figure(campaign.production, calibration),
        "rdf": rdf_figure(campaign.analysis),
        "coordination": coordination_figure(campaign.analysis),
        "msd": msd_figure(campaign.analysis, mobile_species(campaign)),
    }


def _cycle_row(campaign: Campaign, cycle: Cycle) -> dict[str, Any]:
    before, after = before_labelling(cycle), after_training(campaign, cycle)
    replicas = cycle.exploration.results.get("replicas", ()) if cycle.exploration else ()
    return {
        "cycle": cycle,
        "trained_on": len(cycle.review.dataset.frames) if cycle.review else None,
        "candidates": len(cycle.exploration.scores) if cycle.exploration else None,
        "stops": Counter(str(replica["stop_reason"]) for replica in replicas).most_common(),
        "chosen": len(cycle.selection.chosen.frames) if cycle.selection and cycle.selection.chosen else None,
        "labelled": len(cycle.labels.dataset.frames) if cycle.labels and cycle.labels.dataset else None,
        "prospective": cycle.calibration.get("prospective", {}),
        "before": before,
        "after": after,
        "audit": summary.audit_sentence(cycle),
        "suspects": summary.suspect_rows(cycle),
        "verdict": cycle.verdict.verdict if cycle.verdict else None,
    }


def _selected_rows(cycle: Cycle) -> list[dict[str, Any]]:
    """Return the chosen frames of a cycle: what the selection says of each, its formula and its label's fate."""
    if cycle.selection is None or cycle.selection.chosen is None:
        return []
    by_id = {str(row.get("frame")): row for row in cycle.selection.rows if row.get("decision") != "rejected"}
    looks = [look for look in (cycle.labels, cycle.recheck) if look is not None]
    fates = {str(row.get("frame")): row for look in looks for row in look.triage}
    chosen = cycle.selection.chosen
    return [
        {
            **chosen.frames.info[index].get("origin", {}),
            **by_id.get(identity, {}),
            "cycle": cycle.index,
            "frame": identity,
            "formula": chosen.frames.atoms(index).get_chemical_formula(),
            "fate": fates.get(identity, {}).get("status"),
        }
        for index, identity in enumerate(chosen.ids)
    ]


def _example(histories: Sequence[Lineage]) -> Lineage | None:
    """Return a history worth telling: a frame that exploration proposed, if there is one."""
    whole = [history for history in histories if not history.misses]
    explored = [history for history in whole if history.proposal and history.proposal.committee]
    return next(reversed(explored or whole), None)


def _versions(node: ProcessNode, campaign: Campaign) -> dict[str, str]:
    found = {"aiida-nvp": __version__, "aiida-core": aiida_version}
    trains = [*(train for cycle in campaign.cycles for train in cycle.trains), *campaign.final_trains]
    for train in trains[-1:]:
        found |= {name: str(version) for name, version in train.versions.items() if name != "aiida-nvp"}
    return found | _labelling_code(jobs_below(node))


def _labelling_code(jobs: Sequence[CalcJobNode]) -> dict[str, str]:
    for job in jobs:
        parameters = output(job, "output_parameters", Dict)
        said = parameters.get_dict() if parameters is not None else {}
        if said.get("creator_version"):
            return {str(said.get("creator_name", "pw.x")): str(said["creator_version"])}
        if said.get("potential"):
            return {"labels": str(said["potential"])}
    return {}


def _species(campaign: Campaign) -> list[str]:
    view = campaign.dataset or campaign.seeds
    return species_in_order(view.frames.species()) if view is not None else []


def _number(value: object, digits: int = 2) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NOTHING if value is None else str(value)
    return f"{value:.{digits}f}"


def _percent(value: object) -> str:
    return f"{value:.0%}" if isinstance(value, int | float) else _NOTHING


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return _NOTHING
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def _when(moment: datetime) -> str:
    return moment.strftime("%d %B %Y, %H:%M %Z").strip()
