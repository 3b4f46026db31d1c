"""The command that goes on with a campaign that ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml
from aiida.engine import submit as engine_submit

from aiida_nvp.campaign.additions import Additions, read_cell
from aiida_nvp.campaign.loader import load_campaign
from aiida_nvp.cli.campaign import finish
from aiida_nvp.cli.frame import in_profile, one_sentence
from aiida_nvp.cli.running import run_watched
from aiida_nvp.cli.status import process_node, watch
from aiida_nvp.cli.submit import require_daemon
from aiida_nvp.common.errors import InputError
from aiida_nvp.workflows.continue_builder import continue_campaign


@click.command("continue")
@click.argument("pk", type=int)
@click.option("--cycles", type=click.IntRange(min=1), metavar="N", help="Cycles beyond those that are done.")
@click.option("--max-labels", type=click.IntRange(min=1), metavar="N", help="New budget of labels, all counted.")
@click.option("--core-hours", type=click.FloatRange(min=0, min_open=True), metavar="H", help="New budget of the loop.")
@click.option("--composition", multiple=True, metavar="CELL", help="A further cell, as in a campaign file; repeatable.")
@click.option("--campaign", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file to go on with.")
@click.option("--plan", "only_plan", is_flag=True, help="Print what it would do and cost, and do nothing.")
@click.option("--here", is_flag=True, help="Run in this process instead of handing it to the daemon.")
@click.option("--watch", "follow", is_flag=True, help="Stay, print progress, and write the report at the end.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Where --here and --watch write.")
@in_profile
def continue_(pk: int, campaign: Path | None, **options: Any) -> None:
    """Go on with campaign PK, finished or failed, from what it left.

    Data set, committee, calibration, history of the criteria and finished steps of a cycle that was cut short are
    taken over; cycle numbers go on.
    """
    with one_sentence():
        loaded = None if campaign is None else load_campaign(campaign)
        continuation = continue_campaign(process_node(pk), _additions(options), loaded)
        for name, value in continuation.rows:
            click.echo(f"  {name:<26} {value}")
        if options["only_plan"]:
            return
        if not options["here"]:
            require_daemon()
    if options["here"]:
        finish(run_watched(continuation.builder, "campaign"), options["report"])
        return
    new = int(engine_submit(continuation.builder).pk or 0)
    click.echo(f"submitted campaign {new}; `aiida-nvp status {new} --watch` follows it.")
    if options["follow"]:
        watch(new)
        finish(new, options["report"])


def _additions(options: dict[str, Any]) -> Additions:
    return Additions(
        cycles=options["cycles"],
        max_labels=options["max_labels"],
        max_core_hours=options["core_hours"],
        cells=tuple(read_cell(_yaml(text)) for text in options["composition"]),
    )


def _yaml(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"--composition: {text!r} is not YAML; write a cell as in a campaign file.") from error
