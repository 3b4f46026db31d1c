"""What a campaign will do, before anything is submitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Progress:
    """How far a campaign is that is to go on.

    :param cycles: complete ones; ``labels``: frames labelled so far.
    :param added: cells whose labels are still to be made.
    :param another_cycle: whether a cycle follows at all; else what is missing after the last one.
    """

    cycles: int = 0
    labels: int = 0
    added: tuple[CellSpec, ...] = ()
    another_cycle: bool = True


def make_plan(loaded: LoadedCampaign, progress: Progress | None = None) -> Plan:
    """Count cells, labels and trainings and estimate the cost, of all that is to come.

    :param progress: where a campaign stands that is continued; one begins anew without it.
    """
    campaign, potential = loaded.campaign, loaded.potential
    now = Progress(added=campaign.all_cells) if progress is None else progress
    members = potential.committee.members
    cells = sum(cell.copies for cell in now.added)
    seeds = cells * campaign.seeding.labels_per_cell
    cycles = _cycles_to_come(loaded, now, seeds)
    chosen = cycles * campaign.selection.labels_per_cycle
    labels = seeds + chosen
    trainings = members * (cycles + 1) + _scratch_rounds(loaded, now.cycles, cycles)
    checks, check_seconds = _branch_checks(loaded, chosen, seeds)
    seconds = labels * _label_seconds(loaded) + check_seconds + _training_seconds(loaded, now, cycles, labels)
    seconds += _md_seconds(loaded, cycles)
    to_come = "" if progress is None else " to come"
    rows = (
        (f"cells{to_come}", f"{cells} packed from {len(now.added)} compositions"),
        (f"labels{to_come}, at most", f"{labels} ({seeds} seeds, {chosen} chosen)"),
        *([("branch checks, at most", _check_words(loaded, checks))] if checks else []),
        ("labeller", _labeller_words(campaign.labeller.kind)),
        (f"cycles{to_come}, at most", str(cycles)),
        (f"trainings{to_come}, at most", f"{trainings} ({members} members of `{potential.name}`)"),
        ("production", _production_words(loaded)),
        *([("parent of the members", campaign.parent)] if campaign.parent else []),
        ("cost, very roughly", f"{seconds / 3600:.2f} core hours"),
    )
    return Plan(rows, labels, checks, trainings, seconds / 3600)


def _cycles_to_come(loaded: LoadedCampaign, now: Progress, seeds: int) -> int:
    if not now.another_cycle:
        return 0
    campaign = loaded.campaign
    # A cycle that begins within the budget is labelled whole.
    left = campaign.stop.max_labels - now.labels - seeds
    affordable = max(math.ceil(left / campaign.selection.labels_per_cycle), 1)
    return max(min(campaign.stop.max_cycles - now.cycles, affordable), 1)


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


def _training_seconds(loaded: LoadedCampaign, now: Progress, cycles: int, labels: int) -> float:
    training, members = loaded.potential.training, loaded.potential.committee.members
    begins = int(now.cycles == 0)
    scratch = _scratch_rounds(loaded, now.cycles, cycles)
    # A round from scratch trains all members in full and one of them from its parent as well.
    anew = training.epochs if loaded.campaign.parent is None else training.warm_epochs
    epochs = float(anew * (begins + scratch))
    epochs += training.warm_epochs * (cycles + 1 - begins - scratch + scratch / members)
    per_epoch = _TRAIN_CORE_SECONDS_PER_ATOM_EPOCH * (now.labels + labels) * _mean_atoms(loaded)
    return members * (epochs * per_epoch + (cycles + 1) * _WORKER_START_S)


def _scratch_rounds(loaded: LoadedCampaign, begin: int, cycles: int) -> int:
    """Return how many rounds start from random weights, the very first one left out."""
    training = loaded.potential.training
    every = training.scratch_every
    within = sum(cycle > 0 and cycle % every == 0 for cycle in range(begin, begin + cycles)) if every else 0
    return within + int(training.scratch_release)


def _md_seconds(loaded: LoadedCampaign, cycles: int) -> float:
    campaign = loaded.campaign
    schedules, default_fs = campaign.exploration.schedules, campaign.exploration.timestep_fs
    steps = sum(stage.length(default_fs) for schedule in schedules for stage in schedule) / len(schedules)
    explored = cycles * campaign.exploration.replicas * steps * _mean_atoms(loaded)
    produced = 0.0
    if campaign.production is not None:
        production = campaign.production
        produced = sum(stage.length(production.timestep_fs) for stage in production.schedule) * production.cell.atoms
    return _MD_CORE_SECONDS_PER_ATOM_STEP * (explored + produced)
