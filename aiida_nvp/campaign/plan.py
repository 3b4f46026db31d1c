"""What a campaign will do, before anything is submitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aiida_nvp.campaign.checks import seed_labels
from aiida_nvp.campaign.loader import LoadedCampaign
from aiida_nvp.common.vocabulary import LabellerName

_PW_CORE_SECONDS_PER_ATOM3 = 0.03
"""Measured on spin-polarised PBE cells of 8 to 16 atoms, plane waves to 30 Ry, one core; cubic in the atoms."""
_REHEARSAL_CORE_SECONDS = 1.5
_TRAIN_CORE_SECONDS_PER_ATOM_EPOCH = 6.5e-4
_MD_CORE_SECONDS_PER_ATOM_STEP = 2.0e-4
_WORKER_START_S = 15.0


@dataclass(frozen=True)
class Plan:
    """Upper bounds: a campaign that converges early does less.

    :param rows: what and how much, for people.
    :param labels: largest number of labels.
    :param trainings: largest number of trained members.
    :param core_hours: rough cost on one core of the kind that this was measured on.
    """

    rows: tuple[tuple[str, str], ...]
    labels: int
    trainings: int
    core_hours: float


def make_plan(loaded: LoadedCampaign) -> Plan:
    """Count cells, labels and trainings and estimate the cost."""
    campaign, potential = loaded.campaign, loaded.potential
    members = potential.committee.members
    cells = sum(cell.copies for cell in campaign.cells)
    seeds = seed_labels(campaign)
    # A cycle that begins within the budget is labelled whole.
    affordable = max(math.ceil((campaign.stop.max_labels - seeds) / campaign.selection.labels_per_cycle), 1)
    cycles = min(campaign.stop.max_cycles, affordable)
    chosen = cycles * campaign.selection.labels_per_cycle
    labels = seeds + chosen
    trainings = members * (cycles + 1)
    seconds = labels * _label_seconds(loaded) + _training_seconds(loaded, labels) + _md_seconds(loaded)
    rows = (
        ("cells", f"{cells} packed from {len(campaign.cells)} compositions"),
        ("labels, at most", f"{labels} ({seeds} seeds, {chosen} chosen)"),
        ("labeller", _labeller_words(campaign.labeller.kind)),
        ("cycles, at most", str(cycles)),
        ("trainings, at most", f"{trainings} ({members} members of `{potential.name}`)"),
        ("production", _production_words(loaded)),
        ("cost, very roughly", f"{seconds / 3600:.2f} core hours"),
    )
    return Plan(rows, labels, trainings, seconds / 3600)


def _labeller_words(kind: LabellerName) -> str:
    if kind is LabellerName.REHEARSAL:
        return "rehearsal: an analytic stand-in, not first principles"
    return "Quantum ESPRESSO pw.x"


def _production_words(loaded: LoadedCampaign) -> str:
    production = loaded.campaign.production
    if production is None:
        return "none"
    steps = sum(stage.steps for stage in production.schedule)
    length_ps = steps * production.timestep_fs / 1000
    return f"{production.cell.atoms} atoms for {length_ps:g} ps in {len(production.schedule)} stages"


def _mean_atoms(loaded: LoadedCampaign) -> float:
    cells = loaded.campaign.cells
    return sum(cell.atoms * cell.copies for cell in cells) / sum(cell.copies for cell in cells)


def _label_seconds(loaded: LoadedCampaign) -> float:
    if loaded.campaign.labeller.kind is LabellerName.REHEARSAL:
        return _REHEARSAL_CORE_SECONDS
    cells = loaded.campaign.cells
    copies = sum(cell.copies for cell in cells)
    return sum(_PW_CORE_SECONDS_PER_ATOM3 * cell.atoms**3 * cell.copies for cell in cells) / copies


def _training_seconds(loaded: LoadedCampaign, labels: int) -> float:
    training, members = loaded.potential.training, loaded.potential.committee.members
    epochs = training.epochs + training.warm_epochs * loaded.campaign.stop.max_cycles
    per_epoch = _TRAIN_CORE_SECONDS_PER_ATOM_EPOCH * labels * _mean_atoms(loaded)
    starts = (loaded.campaign.stop.max_cycles + 1) * _WORKER_START_S
    return members * (epochs * per_epoch + starts)


def _md_seconds(loaded: LoadedCampaign) -> float:
    campaign = loaded.campaign
    schedules = campaign.exploration.schedules
    steps = sum(stage.steps for schedule in schedules for stage in schedule) / len(schedules)
    explored = campaign.stop.max_cycles * campaign.exploration.replicas * steps * _mean_atoms(loaded)
    produced = 0.0
    if campaign.production is not None:
        produced = sum(stage.steps for stage in campaign.production.schedule) * campaign.production.cell.atoms
    return _MD_CORE_SECONDS_PER_ATOM_STEP * (explored + produced)
