"""What a campaign will do, before anything is submitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aiida_nvp.campaign.checks import seed_labels
from aiida_nvp.campaign.loader import LoadedCampaign
from aiida_nvp.campaign.schema import CellSpec, LabellerSpec
from aiida_nvp.common.units import FEMTOSECONDS_PER_PICOSECOND
from aiida_nvp.common.vocabulary import LabellerName, LabelMode
from aiida_nvp.labelling.branches import most_other_starts
from aiida_nvp.structures.composition import compose

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
    :param checks: largest number of labels that are made again from another start; flagged ones come on top.
    :param trainings: largest number of trained members.
    :param core_hours: rough cost on one core of the kind that this was measured on.
    """

    rows: tuple[tuple[str, str], ...]
    labels: int
    checks: int
    trainings: int
    core_hours: float


def make_plan(loaded: LoadedCampaign) -> Plan:
    """Count cells, labels and trainings and estimate the cost."""
    campaign, potential = loaded.campaign, loaded.potential
    members = potential.committee.members
    cells = sum(cell.copies for cell in campaign.all_cells)
    seeds = seed_labels(campaign)
    # A cycle that begins within the budget is labelled whole.
    affordable = max(math.ceil((campaign.stop.max_labels - seeds) / campaign.selection.labels_per_cycle), 1)
    cycles = min(campaign.stop.max_cycles, affordable)
    chosen = cycles * campaign.selection.labels_per_cycle
    labels = seeds + chosen
    trainings = members * (cycles + 1) + _warm_checks(loaded, cycles)
    checks, check_seconds = _branch_checks(loaded, chosen, seeds)
    seconds = labels * _label_seconds(loaded) + check_seconds + _training_seconds(loaded, labels) + _md_seconds(loaded)
    rows = (
        ("cells", f"{cells} packed from {len(campaign.all_cells)} compositions"),
        ("labels, at most", f"{labels} ({seeds} seeds, {chosen} chosen)"),
        *([("branch checks, at most", _check_words(loaded, checks))] if checks else []),
        ("labeller", _labeller_words(campaign.labeller.kind)),
        ("cycles, at most", str(cycles)),
        ("trainings, at most", f"{trainings} ({members} members of `{potential.name}`)"),
        ("production", _production_words(loaded)),
        ("cost, very roughly", f"{seconds / 3600:.2f} core hours"),
    )
    return Plan(rows, labels, checks, trainings, seconds / 3600)


def _branch_checks(loaded: LoadedCampaign, chosen: int, seeds: int) -> tuple[int, float]:
    """Return how many labels are made again from another start at most, and the seconds that they take.

    Single points alone are: the chosen ones, and the seeds where these are the packed cells themselves. Which labels
    will be flagged nobody knows before.
    """
    campaign = loaded.campaign
    if campaign.labeller.kind is LabellerName.REHEARSAL:
        return 0, 0.0
    single_points = chosen + (seeds if campaign.seeding.mode is LabelMode.SINGLE_POINT else 0)
    checked = campaign.labeller.branch_share * single_points
    copies = sum(cell.copies for cell in campaign.all_cells)
    runs, seconds = 0.0, 0.0
    for cell in campaign.all_cells:
        again = checked * cell.copies / copies * _other_starts(campaign.labeller, cell)
        runs += again
        seconds += again * _PW_CORE_SECONDS_PER_ATOM3 * cell.atoms**3
    return math.ceil(runs), seconds


def _other_starts(labeller: LabellerSpec, cell: CellSpec) -> int:
    symbols = [s for s, count in compose(cell.oxides, cell.reduced, cell.atoms).counts.items() for _ in range(count)]
    settings = labeller.settings
    # Protocols start from valences unless the settings say otherwise.
    by_valence = settings.start == "valence" or (labeller.protocol and "start" not in settings.model_fields_set)
    spins = by_valence or set(settings.starting_magnetization) & set(symbols)
    return most_other_starts(symbols) if spins else 0


def _check_words(loaded: LoadedCampaign, checks: int) -> str:
    share = loaded.campaign.labeller.branch_share
    return f"{checks} labels again from other starts ({share:.0%} of the single points; flagged ones come on top)"


def _labeller_words(kind: LabellerName) -> str:
    if kind is LabellerName.REHEARSAL:
        return "rehearsal: an analytic stand-in, not first principles"
    return "Quantum ESPRESSO pw.x"


def _production_words(loaded: LoadedCampaign) -> str:
    production = loaded.campaign.production
    if production is None:
        return "none"
    default_fs = production.timestep_fs
    length_fs = sum(stage.length(default_fs) * stage.timestep(default_fs) for stage in production.schedule)
    length_ps = round(length_fs / FEMTOSECONDS_PER_PICOSECOND, 6)
    return f"{production.cell.atoms} atoms for {length_ps:g} ps in {len(production.schedule)} stages"


def _mean_atoms(loaded: LoadedCampaign) -> float:
    cells = loaded.campaign.all_cells
    return sum(cell.atoms * cell.copies for cell in cells) / sum(cell.copies for cell in cells)


def _label_seconds(loaded: LoadedCampaign) -> float:
    if loaded.campaign.labeller.kind is LabellerName.REHEARSAL:
        return _REHEARSAL_CORE_SECONDS
    cells = loaded.campaign.all_cells
    copies = sum(cell.copies for cell in cells)
    return sum(_PW_CORE_SECONDS_PER_ATOM3 * cell.atoms**3 * cell.copies for cell in cells) / copies


def _training_seconds(loaded: LoadedCampaign, labels: int) -> float:
    training, members = loaded.potential.training, loaded.potential.committee.members
    cycles = loaded.campaign.stop.max_cycles
    scratch = _warm_checks(loaded, cycles)
    # A round from scratch trains all members in full and one of them from its parent as well.
    epochs = training.epochs * (1 + scratch) + training.warm_epochs * (cycles - scratch + scratch / members)
    per_epoch = _TRAIN_CORE_SECONDS_PER_ATOM_EPOCH * labels * _mean_atoms(loaded)
    starts = (loaded.campaign.stop.max_cycles + 1) * _WORKER_START_S
    return members * (epochs * per_epoch + starts)


def _warm_checks(loaded: LoadedCampaign, cycles: int) -> int:
    """Return how many rounds after the first start from random weights."""
    training = loaded.potential.training
    within = (cycles - 1) // training.scratch_every if training.scratch_every else 0
    return within + int(training.scratch_release)


def _md_seconds(loaded: LoadedCampaign) -> float:
    campaign = loaded.campaign
    schedules, default_fs = campaign.exploration.schedules, campaign.exploration.timestep_fs
    steps = sum(stage.length(default_fs) for schedule in schedules for stage in schedule) / len(schedules)
    explored = campaign.stop.max_cycles * campaign.exploration.replicas * steps * _mean_atoms(loaded)
    produced = 0.0
    if campaign.production is not None:
        production = campaign.production
        produced = sum(stage.length(production.timestep_fs) for stage in production.schedule) * production.cell.atoms
    return _MD_CORE_SECONDS_PER_ATOM_STEP * (explored + produced)
