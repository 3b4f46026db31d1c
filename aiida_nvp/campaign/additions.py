"""What is added to a campaign that ended, and why it would not help."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from aiida_nvp.campaign.schema import Campaign, CellSpec
from aiida_nvp.common.errors import InputError
from aiida_nvp.convergence.evidence import Used


@dataclass(frozen=True)
class Additions:
    """What the user adds; None or nothing where the campaign keeps what it had.

    :param cycles: cycles beyond those that are done.
    :param max_labels: new budget of labelled frames, those that exist included.
    :param max_core_hours: new budget of the loop, what was spent included.
    :param cells: further cells, of whatever composition.
    """

    cycles: int | None = None
    max_labels: int | None = None
    max_core_hours: float | None = None
    cells: tuple[CellSpec, ...] = ()


def read_cell(values: object) -> CellSpec:
    """Return a cell that was written as in a campaign file.

    :raises InputError: naming the first key that is wrong.
    """
    try:
        return CellSpec.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "composition"
        raise InputError(
            f"--composition: {where}: {first['msg'].removeprefix('Value error, ')}; write it as a cell of a campaign "
            "file, as in '{name: NaPO3, oxides: {Na2O: 1, P2O5: 1}, atoms: 10}'."
        ) from error


def extend(campaign: Campaign, additions: Additions, used: Used) -> Campaign:
    """Return the campaign with what is added.

    :raises InputError: for a cell whose name another composition has.
    """
    for cell in additions.cells:
        same = [known for known in campaign.all_cells if known.name == cell.name and known.oxides != cell.oxides]
        if same:
            raise InputError(f"--composition: `{cell.name}` is the name of another composition; use a new one.")
    changes = {
        "max_cycles": None if additions.cycles is None else used.cycles + additions.cycles,
        "max_labels": additions.max_labels,
        "max_core_hours": additions.max_core_hours,
    }
    stop = campaign.stop.model_copy(update={name: value for name, value in changes.items() if value is not None})
    exploration = campaign.exploration
    if exploration.cells:
        exploration = exploration.model_copy(update={"cells": (*exploration.cells, *additions.cells)})
    cells = (*campaign.cells, *additions.cells)
    return campaign.model_copy(update={"cells": cells, "stop": stop, "exploration": exploration})


def new_cells(before: Campaign, after: Campaign) -> tuple[CellSpec, ...]:
    """Return the cells of a campaign file that the campaign before had not."""
    return tuple(cell for cell in after.all_cells if cell not in before.all_cells)


def refuse_fewer_cycles(after: Campaign, used: Used) -> str:
    """Return a sentence on a campaign file that takes cycles back, or an empty string."""
    if after.stop.max_cycles >= used.cycles:
        return ""
    return (
        f"stop.max_cycles is {after.stop.max_cycles}, but {used.cycles} cycles are done; "
        f"cycles can only be added: give {used.cycles + 1} or more."
    )


def refuse_used_budgets(campaign: Campaign, used: Used) -> str:
    """Return a sentence on the budget that leaves no room for another cycle, or an empty string."""
    stop = campaign.stop
    if used.cycles >= stop.max_cycles:
        return f"all {stop.max_cycles} cycles are done, so that no further one would run; add some with --cycles."
    if used.labels >= stop.max_labels:
        enough = used.labels + campaign.selection.labels_per_cycle
        return (
            f"{used.labels} frames are labelled and the budget is {stop.max_labels}; "
            f"raise it with --max-labels, to {enough} for one more cycle."
        )
    spent = used.core_hours or 0.0
    if stop.max_core_hours is not None and spent >= stop.max_core_hours:
        return (
            f"{spent:.3g} core hours are spent and the budget is {stop.max_core_hours:g}; raise it with --core-hours."
        )
    return ""
