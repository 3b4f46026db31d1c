"""What is legal field by field and useless together: refused before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterator

from aiida_nvp.analysis.transport.paths import MINIMUM_FRAMES
from aiida_nvp.analysis.watched import Watched
from aiida_nvp.campaign.schema import Campaign, CellSpec, ProductionSpec
from aiida_nvp.campaign.source import Source
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.structures.composition import compose


def find_faults(source: Source, campaign: Campaign, potential: PotentialDefinition) -> list[str]:
    """Return one line a fault, ``file:line: key: what is wrong; what would be right``."""
    faults = [*_cells(source, campaign, potential), *_budgets(source, campaign), *_stop(source, campaign, potential)]
    if campaign.production is not None:
        faults += _stages(source, campaign, campaign.production)
        faults += _species(source, campaign, campaign.production)
    return faults


def seed_labels(campaign: Campaign) -> int:
    """Return how many labels the seeds give at most."""
    return sum(cell.copies for cell in campaign.all_cells) * campaign.seeding.labels_per_cell


def _cells(source: Source, campaign: Campaign, potential: PotentialDefinition) -> Iterator[str]:
    cells: list[tuple[tuple[str | int, ...], CellSpec]] = [
        (("cells", index), cell) for index, cell in enumerate(campaign.cells)
    ]
    grids = enumerate(campaign.grids)
    cells += [(("grids", index), cell) for index, grid in grids for cell in grid.cells]
    cells += [(("exploration", "cells", index), cell) for index, cell in enumerate(campaign.exploration.cells)]
    if campaign.production is not None:
        cells.append((("production", "cell"), campaign.production.cell))
    for location, cell in cells:
        where = f"{source.place(*location)} ({cell.name})"
        try:
            counts = compose(cell.oxides, cell.reduced, cell.atoms).counts
        except InputError as error:
            yield f"{where}: {error}"
            continue
        unknown = sorted(set(counts) - set(potential.species))
        if unknown:
            known = ", ".join(potential.species)
            yield f"{where}: potential `{potential.name}` has no species {', '.join(unknown)}; it has {known}."


def _budgets(source: Source, campaign: Campaign) -> Iterator[str]:
    wanted, budget, seeds = campaign.selection.labels_per_cycle, campaign.stop.max_labels, seed_labels(campaign)
    if wanted > budget:
        yield (
            f"{source.place('selection', 'labels_per_cycle')} ({wanted}) exceeds "
            f"stop.max_labels ({budget}); no cycle could be labelled."
        )
    if budget <= seeds:
        yield (
            f"{source.place('stop', 'max_labels')}: the seeds alone give up to {seeds} labels and the budget is "
            f"{budget}; give more than {seeds}, or take fewer seeds."
        )


def _stop(source: Source, campaign: Campaign, potential: PotentialDefinition) -> Iterator[str]:
    unknown = sorted(set(campaign.stop.species or ()) - set(potential.species))
    if unknown:
        known = ", ".join(potential.species)
        lacks = f"potential `{potential.name}` has no {', '.join(unknown)}"
        yield f"{source.place('stop', 'species')}: {lacks}; it has {known}."
    watched = campaign.stop.observables
    if watched is None:
        return
    try:
        Watched(campaign.analysis.pairs if watched.pairs is None else watched.pairs, watched.formers)
    except InputError as error:
        yield f"{source.place('stop', 'observables', 'formers')}: {error}"


def _stages(source: Source, campaign: Campaign, production: ProductionSpec) -> Iterator[str]:
    wanted = campaign.analysis.stages
    known = [stage.name for stage in production.schedule if stage.name]
    missing = [name for name in wanted if name not in known]
    if missing:
        shown = ", ".join(known) or "no stage with a name"
        yield f"{source.place('analysis', 'stages')}: no stage {', '.join(missing)}; production.schedule has {shown}."
    elif not known:
        yield f"{source.place('production', 'schedule')}: no stage has a name, and only named ones are analysed."
    begin = 0
    for index, stage in enumerate(production.schedule):
        steps = stage.length(production.timestep_fs)
        end = begin + steps
        frames = _frames(begin, end, production.dump_every)
        if stage.name and (not wanted or stage.name in wanted) and frames < MINIMUM_FRAMES:
            yield (
                f"{source.place('production', 'schedule', index)} ({stage.name}): {steps} steps dumped every "
                f"{production.dump_every} are too few to analyse ({frames} frames, at least {MINIMUM_FRAMES} are "
                "needed); give more steps, a smaller production.dump_every, or name other analysis.stages."
            )
        begin = end


def _frames(begin: int, end: int, dump_every: int) -> int:
    """Return how many frames a stage leaves; it owns the steps after ``begin``, and the first one step 0 too."""
    return end // dump_every - begin // dump_every + (begin == 0)


def _species(source: Source, campaign: Campaign, production: ProductionSpec) -> Iterator[str]:
    """Find what the analysis asks about and the production cell does not hold."""
    try:
        present = sorted(compose(production.cell.oxides, production.cell.reduced, production.cell.atoms).counts)
    except InputError:
        return  # said of the cell itself
    holds = f"the production cell has {', '.join(present)}"
    mobile = campaign.analysis.mobile
    if mobile is not None and mobile not in present:
        yield f"{source.place('analysis', 'mobile')}: no {mobile} to follow; {holds}."
    for pair in campaign.analysis.pairs:
        absent = [symbol for symbol in dict.fromkeys(pair.split("-")) if symbol not in present]
        if absent:
            yield f"{source.place('analysis', 'pairs', pair)}: no {', '.join(absent)} to measure; {holds}."
    structure = campaign.analysis.structure
    for former in structure.formers:
        where = source.place("analysis", "structure", "formers")
        if former not in present:
            yield f"{where}: no {former} to form a network; {holds}."
        elif not {f"{former}-{structure.ligand}", f"{structure.ligand}-{former}"} & set(campaign.analysis.pairs):
            yield f"{where}: {former} needs its longest bond; give {former}-{structure.ligand} in analysis.pairs."
