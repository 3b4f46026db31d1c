"""From a campaign that ended and what is added to it to the inputs of the campaign that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import ProcessBuilder
from pydantic import ValidationError

from aiida_nvp.calculations.label import label_theory
from aiida_nvp.campaign.additions import Additions, extend, new_cells, refuse_fewer_cycles, refuse_used_budgets
from aiida_nvp.campaign.checks import find_faults
from aiida_nvp.campaign.loader import LoadedCampaign
from aiida_nvp.campaign.plan import Progress, make_plan
from aiida_nvp.campaign.schema import Campaign, CellSpec
from aiida_nvp.campaign.source import Source
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.potential import PotentialDefinition
from aiida_nvp.common.vocabulary import LabellerName, Verdict
from aiida_nvp.convergence.evidence import Used
from aiida_nvp.data.links import calls
from aiida_nvp.labelling.settings import read_settings
from aiida_nvp.labelling.theory import theory_hash
from aiida_nvp.workflows.campaign import CampaignWorkChain
from aiida_nvp.workflows.campaign_builder import campaign_builder, cell_parameters, stop_parameters
from aiida_nvp.workflows.continuation import Remains, read_remains, spent_core_hours

_CAMPAIGN = "CampaignWorkChain"
_MAY_CHANGE = ("name", "description", "training")
"""Of a definition: what a committee is called and how long it trains changes nothing that its members share."""


@dataclass(frozen=True)
class Continuation:
    """A campaign that is ready to go on.

    :param rows: what is there, what is to come and what it may cost, for people.
    """

    builder: ProcessBuilder
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class _Before:
    """The campaign that ended."""

    node: orm.ProcessNode
    campaign: Campaign
    definition: PotentialDefinition
    remains: Remains
    used: Used


def continue_campaign(
    node: orm.ProcessNode, additions: Additions | None = None, loaded: LoadedCampaign | None = None
) -> Continuation:
    """Return the campaign that goes on where ``node`` ended, finished or failed.

    :param additions: what is added to it.
    :param loaded: a campaign file that takes the place of its file; additions come on top.
    :raises InputError: with one sentence if the campaign still runs, if nothing would be done, if a budget is used, or
        if the file wants another level of theory, another definition of the potential, or fewer cycles.
    """
    before = _before(node)
    wanted = Additions() if additions is None else additions
    whole, added = _extended(before, wanted, loaded)
    anything = wanted != Additions() or whole.campaign != before.campaign
    remains = _remains(before, whole, added, anything)
    inputs = _plain_inputs(before.node) if loaded is None else campaign_builder(whole)._inputs(prune=True)
    inputs.pop("metadata", None)
    _refuse_other_labels(before, inputs["learn"]["label"])
    _refuse_other_definition(before.definition, whole.potential)
    _refuse_other_parent(before.node, inputs["learn"])
    stop = stop_parameters(whole.campaign)
    stop["counts_from"] = _plain_inputs(before.node)["learn"]["stop"].get_dict().get("counts_from", 0)
    if added or before.remains.word is Verdict.CONVERGED:
        # What held for the cells before says nothing of the new ones, and who asks for more wants to see it again.
        stop["counts_from"] = remains.cycles
    inputs["learn"]["stop"] = orm.Dict(stop)
    _fill(inputs, whole, remains)
    cells = _pending(before, added)
    inputs.pop("cells", None)
    if cells:
        inputs["cells"] = orm.Dict(cell_parameters(cells))
    builder = CampaignWorkChain.get_builder()
    builder._update(inputs)
    builder.metadata.label = whole.campaign.name
    builder.metadata.description = whole.campaign.title
    return Continuation(builder, (*_taken_over(before, remains), *_plan(before, whole, remains, cells)))


def _before(node: orm.ProcessNode) -> _Before:
    if node.process_label != _CAMPAIGN:
        raise InputError(f"process {node.pk} is no campaign but a {node.process_label}; `aiida-nvp status` lists them.")
    loop = calls(node).get("active_learning")
    if not node.is_terminated or (loop is not None and not loop.is_terminated):
        raise InputError(
            f"campaign {node.pk} still runs; wait for it, or end it with `verdi process kill {node.pk}`: what is "
            "finished by then is taken over."
        )
    if loop is None:
        raise InputError(f"campaign {node.pk} never reached its first label; submit its file again instead.")
    inputs = _plain_inputs(node)
    try:
        campaign = Campaign.model_validate(inputs["campaign"].get_dict())
        definition = PotentialDefinition.model_validate(inputs["learn"]["definition"].get_dict())
    except ValidationError as error:
        raise InputError(
            f"campaign {node.pk} was written for another version of aiida-nvp ({error.errors()[0]['msg']}); give its "
            "file as it has to be now with --campaign."
        ) from error
    remains = read_remains(loop)
    labels = 0 if remains.labelled is None else len(remains.labelled)
    return _Before(node, campaign, definition, remains, Used(remains.cycles, labels, spent_core_hours(loop)))


def _extended(
    before: _Before, wanted: Additions, loaded: LoadedCampaign | None
) -> tuple[LoadedCampaign, tuple[CellSpec, ...]]:
    """Return the campaign with all that is added, and the cells among it."""
    added = wanted.cells
    if loaded is None:
        source = Source(Path(f"campaign {before.node.pk}"), None)
        whole = LoadedCampaign(source, extend(before.campaign, wanted, before.used), before.definition)
    else:
        fewer = refuse_fewer_cycles(loaded.campaign, before.used)
        if fewer:
            raise InputError(f"{loaded.source.place('stop', 'max_cycles')}: {fewer}")
        added = (*new_cells(before.campaign, loaded.campaign), *added)
        whole = replace(loaded, campaign=extend(loaded.campaign, wanted, before.used))
    faults = find_faults(whole.source, whole.campaign, whole.potential)
    if faults:
        raise InputError("\n".join(faults))
    return whole, added


def _remains(before: _Before, whole: LoadedCampaign, added: tuple[CellSpec, ...], anything: bool) -> Remains:
    """Return what the loop takes over, or refuse where it would then do nothing."""
    remains = before.remains
    if remains.verdict is not None and anything:
        used = refuse_used_budgets(whole.campaign, before.used)
        if used:
            raise InputError(f"campaign {before.node.pk}: {used}")
        remains = remains.with_another_cycle(whole.potential.training)
    elif before.node.is_finished_ok and not anything:
        raise InputError(
            f"campaign {before.node.pk} has finished ({remains.word.value}) and nothing is added to it; give --cycles, "
            "--max-labels, --core-hours, --composition or --campaign."
        )
    return remains.with_other_labels() if added else remains


def _fill(inputs: dict[str, Any], whole: LoadedCampaign, remains: Remains) -> None:
    """Put what is taken over and what has changed into the inputs."""
    inputs["campaign"] = orm.Dict(whole.campaign.plain())
    learn = inputs["learn"]
    if whole.campaign.exploration.cells:
        learn["exploration_cells"] = orm.Dict(cell_parameters(whole.campaign.exploration.cells))
    learn["earlier"] = remains.inputs()
    learn.pop("dataset", None)
    if remains.dataset is not None:
        learn["dataset"] = remains.dataset


def _pending(before: _Before, added: tuple[CellSpec, ...]) -> tuple[CellSpec, ...]:
    """Return the cells to label first: those that are added, after those that the earlier loop did not get to."""
    if not before.remains.seeds_open:
        return added
    waiting = _plain_inputs(before.node)["cells"].get_dict()["cells"]
    return (*(CellSpec.model_validate(cell) for cell in waiting), *added)


def _refuse_other_labels(before: _Before, label: Mapping[str, Any]) -> None:
    if before.remains.labelled is None:
        return
    theory = _theory(label)
    if theory_hash(theory) == before.remains.labelled.base.attributes.get("level_of_theory"):
        return
    known = _theory(_plain_inputs(before.node)["learn"]["label"])
    differ = sorted(key for key in known.keys() | theory.keys() if known.get(key) != theory.get(key))
    what = f"they differ in {', '.join(differ)}" if differ else "the program has changed meanwhile"
    raise InputError(
        f"the labels of campaign {before.node.pk} are of another level of theory ({what}); labels of two levels do "
        "not mix: submit the file as a new campaign."
    )


def _theory(label: Mapping[str, Any]) -> dict[str, Any]:
    settings = read_settings(label["settings"].get_dict())
    return label_theory(LabellerName(label["labeller"].value), settings, label.get("pseudos", {}))


def _refuse_other_definition(before: PotentialDefinition, after: PotentialDefinition) -> None:
    known, wanted = (each.model_dump(mode="json", exclude=set(_MAY_CHANGE)) for each in (before, after))
    differ = [key for key in known if known[key] != wanted[key]]
    if differ:
        raise InputError(
            f"the potential definition differs from that of the campaign in {', '.join(differ)}; members of two "
            "definitions make no committee: submit the file as a new campaign with the data set of this one."
        )


def _refuse_other_parent(node: orm.ProcessNode, learn: Mapping[str, Any]) -> None:
    known, wanted = (given.get("parent") for given in (_plain_inputs(node)["learn"], learn))
    if getattr(known, "uuid", None) != getattr(wanted, "uuid", None):
        words = [f"potential {parent.uuid}" if parent else "random weights" for parent in (known, wanted)]
        raise InputError(
            f"the members of campaign {node.pk} began with {words[0]}, those of the file with {words[1]}; a campaign "
            "keeps its beginning: submit the file as a new campaign."
        )


def _taken_over(before: _Before, remains: Remains) -> list[tuple[str, str]]:
    used, node = before.used, before.node
    state = node.process_state.value if node.process_state is not None else "lost"
    ended = f"exit code {node.exit_status}" if node.exit_status else state
    said = "" if before.remains.verdict is None else f", {before.remains.word.value}"
    counts = f"{used.cycles} cycles, {used.labels} labels, {used.core_hours or 0.0:.2g} core hours"
    rows = [("continues", f"campaign {node.pk} ({ended}{said}): {counts}")]
    if remains.committee:
        rows.append(("committee", f"{len(remains.committee)} members, parents of those to come"))
    if remains.done:
        rows.append(("not done again", ", ".join(sorted(remains.done))))
    return rows


def _plan(
    before: _Before, whole: LoadedCampaign, remains: Remains, cells: tuple[CellSpec, ...]
) -> tuple[tuple[str, str], ...]:
    labels = before.used.labels
    return make_plan(whole, Progress(remains.cycles, labels, cells, another_cycle=remains.verdict is None)).rows


def _plain_inputs(node: orm.ProcessNode) -> dict[str, Any]:
    """Return the inputs of a process in plain dictionaries, namespaces nested."""
    return _unfrozen(node.base.links.get_incoming(link_type=LinkType.INPUT_WORK).nested())


def _unfrozen(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _unfrozen(value) if isinstance(value, Mapping) else value for key, value in values.items()}
