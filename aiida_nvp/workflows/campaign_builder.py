"""From a checked campaign file to the inputs of :class:`CampaignWorkChain`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent
from aiida.engine import ProcessBuilder

from aiida_nvp.campaign.loader import LoadedCampaign
from aiida_nvp.campaign.schema import Campaign, CellSpec
from aiida_nvp.campaign.source import Source
from aiida_nvp.campaign.stages import MdStage
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.vocabulary import LabellerName
from aiida_nvp.labelling.settings import LabelSettings
from aiida_nvp.workflows.campaign import CampaignWorkChain
from aiida_nvp.workflows.engines import Engines, chosen_engines, setup_command
from aiida_nvp.workflows.parent import find_parent, refuse_parent
from aiida_nvp.workflows.protocols.resolve import (
    Resolved,
    cutoff_warnings,
    family_pseudos,
    find_family,
    recommended_cutoffs,
    resolve,
)


def campaign_builder(loaded: LoadedCampaign) -> ProcessBuilder:
    """Return the filled builder of the campaign.

    :raises InputError: if a code or a pseudopotential that the campaign needs is not in the profile; the message
        begins with the file, and with the line where the file names what is missing.
    """
    campaign = loaded.campaign
    builder = CampaignWorkChain.get_builder()
    builder.campaign = orm.Dict(campaign.plain())
    builder.cells = orm.Dict(cell_parameters(campaign.all_cells))
    builder.seed = orm.Int(campaign.seed)
    builder.learn = _learn_inputs(loaded)
    builder.metadata.label = campaign.name
    builder.metadata.description = campaign.title
    if campaign.production is not None:
        builder.production_cell = orm.Dict(cell_parameters([campaign.production.cell]))
        builder.production = orm.Dict(campaign.production.model_dump(mode="json", exclude={"cell"}))
        builder.analysis = orm.Dict(_analysis(campaign))
    return builder


def find_code(label: str, purpose: str) -> orm.AbstractCode:
    """Return the code with this full label.

    :raises InputError: naming the codes that exist.
    """
    try:
        return orm.load_code(label)
    except (NotExistent, MultipleObjectsError) as error:
        codes = orm.QueryBuilder().append(orm.AbstractCode).all(flat=True)
        known = ", ".join(sorted(code.full_label for code in codes)) or "none"
        raise InputError(
            f"no single code `{label}` for {purpose} in this profile (there is: {known}); "
            f"run `{setup_command()}`, or name another code in the campaign file."
        ) from error


def stop_parameters(campaign: Campaign) -> dict[str, Any]:
    """Return the stop rules of a campaign as the loop takes them."""
    stop, analysis = campaign.stop, campaign.analysis
    values = stop.model_dump(mode="json", exclude={"species", "observables"})
    cells = (*campaign.all_cells, *campaign.exploration.cells)
    redox = dict.fromkeys(symbol for cell in cells for symbol in cell.reduced)
    values |= {"species": list(redox if stop.species is None else stop.species)}
    if stop.observables is not None:
        watched = stop.observables
        values["observables"] = {
            "pairs": dict(analysis.pairs if watched.pairs is None else watched.pairs),
            "formers": list(watched.formers),
            "mobile": watched.mobile or analysis.mobile,
        }
    return values | {"target_force_error": campaign.uncertainty.target_force_error}


def cell_parameters(cells: Sequence[CellSpec]) -> dict[str, Any]:
    """Return cells as :func:`~aiida_nvp.calculations.generate.generate` takes them."""
    return {"cells": [cell.model_dump(mode="json") for cell in cells]}


@contextmanager
def _blaming(source: Source, *location: str, given: bool) -> Iterator[None]:
    """Begin the message of an error with the line of what the file gives, or with the file for what it leaves open."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{source.place(*location) if given else source.path}: {error}") from error


def _engines(loaded: LoadedCampaign) -> Engines:
    """Return what the file names, and for the rest what the setup chose."""
    labeller, worker = loaded.campaign.labeller, loaded.campaign.compute.worker
    chosen = chosen_engines()
    if chosen is None:
        rehearsal = labeller.kind is LabellerName.REHEARSAL
        missing = [] if worker else ["compute.worker"]
        missing += [] if labeller.code or rehearsal else ["labeller.code"]
        missing += [] if labeller.pseudos or rehearsal else ["labeller.pseudos"]
        if missing:
            raise InputError(
                f"{loaded.source.path}: no engines are set up in this profile; run `{setup_command()}`, "
                f"or give {', '.join(missing)}."
            )
        chosen = Engines("", "", "")
    return Engines(labeller.code or chosen.pw, worker or chosen.worker, labeller.pseudos or chosen.pseudos)


def _learn_inputs(loaded: LoadedCampaign) -> dict[str, Any]:
    campaign = loaded.campaign
    engines = _engines(loaded)
    uncertainty = campaign.uncertainty
    exploration = campaign.exploration.model_dump(mode="json", exclude={"cells"})
    exploration |= {"processes": campaign.compute.processes, "break_threshold": uncertainty.break_raw}
    selection = campaign.selection.model_dump(mode="json", exclude={"labels_per_cycle"})
    selection |= {
        "budget": campaign.selection.labels_per_cycle,
        "lower": uncertainty.lower_raw,
        "upper": uncertainty.upper_raw,
        "min_distance_scale": campaign.exploration.min_distance_scale,
    }
    target = {"target_force_error": uncertainty.target_force_error}
    with _blaming(loaded.source, "compute", "worker", given=campaign.compute.worker is not None):
        worker = find_code(engines.worker, "worker programs")
    inputs: dict[str, Any] = {
        "definition": orm.Dict(loaded.potential.plain()),
        "exploration": orm.Dict(exploration),
        "selection": orm.Dict(selection),
        "calibration": orm.Dict(target if uncertainty.risk is None else target | {"risk": uncertainty.risk}),
        "stop": orm.Dict(stop_parameters(campaign)),
        "worker": worker,
        "label": _label_inputs(loaded, engines, worker),
    }
    if campaign.exploration.cells:
        inputs["exploration_cells"] = orm.Dict(cell_parameters(campaign.exploration.cells))
    if campaign.compute.max_wallclock_s is not None:
        inputs["worker_options"] = orm.Dict({"max_wallclock_seconds": campaign.compute.max_wallclock_s})
    if campaign.parent is not None:
        with _blaming(loaded.source, "parent", given=True):
            inputs["parent"] = find_parent(campaign.parent)
            refuse_parent(inputs["parent"], loaded.potential)
    seeding = campaign.seeding.model_dump(mode="json")
    inputs["seed_settings"] = orm.Dict(inputs["label"]["settings"].get_dict() | seeding)
    return inputs


def label_settings(loaded: LoadedCampaign, family: str) -> LabelSettings:
    """Return the complete settings of the labels: those of the file, over those of its protocol if it names one.

    :param family: label of the pseudopotential family.
    :raises InputError: if protocol, family and settings do not fit together.
    """
    resolved = _resolved(loaded, family)
    return loaded.campaign.labeller.settings if resolved is None else resolved.settings


def label_warnings(loaded: LoadedCampaign) -> Sequence[str]:
    """Return a sentence on each choice for the labels that the user may not have meant.

    :raises InputError: as :func:`campaign_builder`.
    """
    labeller = loaded.campaign.labeller
    if labeller.kind is not LabellerName.QUANTUM_ESPRESSO:
        return ()
    family = _engines(loaded).pseudos
    resolved = _resolved(loaded, family)
    if resolved is not None:
        return resolved.warnings
    recommended = recommended_cutoffs(find_family(family), loaded.potential.species, ())
    return cutoff_warnings(labeller.settings, recommended, family)


def _resolved(loaded: LoadedCampaign, family: str) -> Resolved | None:
    """Return what the protocol of the labels comes to; None where the file names none, and in a rehearsal."""
    labeller = loaded.campaign.labeller
    if labeller.protocol is None or labeller.kind is not LabellerName.QUANTUM_ESPRESSO:
        return None
    given = labeller.settings.model_dump(mode="json", exclude_unset=True)
    return resolve(labeller.protocol, family, loaded.potential.species, given)


def _label_inputs(loaded: LoadedCampaign, engines: Engines, worker: orm.AbstractCode) -> dict[str, Any]:
    labeller = loaded.campaign.labeller
    with _blaming(loaded.source, "labeller", "pseudos", given=labeller.pseudos is not None):
        settings = label_settings(loaded, engines.pseudos)
    inputs: dict[str, Any] = {
        "labeller": orm.Str(labeller.kind.value),
        "settings": orm.Dict(settings.plain()),
        "in_flight": orm.Int(labeller.in_flight),
        "max_failed_share": orm.Float(labeller.max_failed_share),
        "branch_share": orm.Float(labeller.branch_share),
    }
    if labeller.max_wallclock_s is not None:
        inputs["options"] = orm.Dict({"max_wallclock_seconds": labeller.max_wallclock_s})
    if labeller.kind is LabellerName.QUANTUM_ESPRESSO:
        with _blaming(loaded.source, "labeller", "code", given=labeller.code is not None):
            inputs["code"] = find_code(engines.pw, "pw.x")
        with _blaming(loaded.source, "labeller", "pseudos", given=labeller.pseudos is not None):
            inputs["pseudos"] = family_pseudos(find_family(engines.pseudos), loaded.potential.species)
    else:
        inputs["code"] = worker
    return inputs


def _analysis(campaign: Campaign) -> dict[str, Any]:
    assert campaign.production is not None
    wanted = campaign.analysis.stages
    stages = [
        {"index": index, "name": stage.name, "temperature": _held_at(stage)}
        for index, stage in enumerate(campaign.production.schedule)
        if stage.name and (not wanted or stage.name in wanted)
    ]
    return campaign.analysis.model_dump(mode="json", exclude={"stages"}) | {"stages": stages}


def _held_at(stage: MdStage) -> float | None:
    """Return the temperature of a stage that holds one; a ramp has none that its ions could be told to belong to."""
    return stage.temperature_to if stage.temperature_from == stage.temperature_to else None
