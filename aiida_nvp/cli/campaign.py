"""Commands on campaigns: check, run, submit, status."""

from __future__ import annotations

from pathlib import Path

import click
from aiida import orm
from aiida.engine import ProcessBuilder
from aiida.engine import submit as engine_submit

from aiida_nvp.campaign.loader import LoadedCampaign, json_schema, load_campaign
from aiida_nvp.campaign.plan import make_plan
from aiida_nvp.cli.frame import in_profile
from aiida_nvp.cli.running import run_watched
from aiida_nvp.cli.status import process_node, standing, status_line, watch
from aiida_nvp.common.errors import InputError
from aiida_nvp.workflows.campaign_builder import campaign_builder, label_warnings

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CAMPAIGN_CLASSES = ("aiida.workflows:nvp.campaign", "aiida.workflows:nvp.active_learning")


@click.command("check")
@click.argument("file", type=_FILE, required=False)
@click.option("--schema", is_flag=True, help="Print the JSON schema of campaign files instead.")
@click.option("--offline", is_flag=True, help="Do not look for codes and pseudopotentials in the profile.")
def check(file: Path | None, schema: bool, offline: bool) -> None:
    """Validate a campaign FILE and print what it would do and cost."""
    if schema:
        click.echo(json_schema(), nl=False)
        return
    if file is None:
        raise click.UsageError("give a campaign file, or --schema.")
    loaded = _load(file)
    if not offline:
        _builder(loaded)
    click.echo(f"{file} is in order: {loaded.campaign.title}")
    for name, value in make_plan(loaded).rows:
        click.echo(f"  {name:<22} {value}")


@click.command("run")
@click.argument("file", type=_FILE)
@click.option("--report", "report_path", type=click.Path(path_type=Path), help="Write the report here at the end.")
@in_profile
def run(file: Path, report_path: Path | None) -> None:
    """Run a campaign FILE in this process, with progress, to its end."""
    finish(run_watched(_builder(_load(file)), "campaign"), report_path)


@click.command("status")
@click.argument("pk", type=int, required=False)
@click.option("--watch", "follow", is_flag=True, help="Keep printing until the process ends.")
@in_profile
def status(pk: int | None, follow: bool) -> None:
    """Tell how far campaign PK is; without PK, list all campaigns."""
    if pk is None:
        _list_campaigns()
    elif follow:
        watch(pk)
    else:
        node = process_node(pk)
        click.echo("\n".join([status_line(node), *standing(node)]))


def submit_campaign(path: Path, follow: bool = False, reuse: bool = False, report_path: Path | None = None) -> int:
    """Submit the campaign file to the daemon and return the pk.

    :param follow: stay and print progress until the campaign ends, then write the report.
    :param reuse: take a campaign with equal inputs that runs or has finished, instead of a new one.
    :raises click.ClickException: with one sentence a fault of the file.
    """
    builder = _builder(_load(path))
    known = _equal_campaign(builder) if reuse else None
    if known is None:
        pk = int(engine_submit(builder).pk or 0)
        click.echo(f"submitted campaign {pk}; `aiida-nvp status {pk} --watch` follows it.")
    else:
        pk = known
        click.echo(f"campaign {pk} has the same inputs; nothing is done again.")
    if follow:
        watch(pk)
        finish(pk, report_path)
    return pk


def _load(file: Path) -> LoadedCampaign:
    try:
        return load_campaign(file)
    except InputError as error:
        raise click.ClickException(str(error)) from error


@in_profile
def _builder(loaded: LoadedCampaign) -> ProcessBuilder:
    try:
        builder = campaign_builder(loaded)
        warnings = label_warnings(loaded)
    except InputError as error:
        raise click.ClickException(str(error)) from error
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    return builder


def _equal_campaign(builder: ProcessBuilder) -> int | None:
    query = orm.QueryBuilder()
    query.append(
        orm.WorkChainNode,
        filters={"process_type": _CAMPAIGN_CLASSES[0], "label": builder.metadata.label},
        tag="campaign",
    )
    query.order_by({"campaign": {"id": "desc"}})
    for node in query.all(flat=True):
        alive = not node.is_terminated or node.is_finished_ok
        same_file = node.inputs.campaign.get_dict() == builder.campaign.get_dict()
        if alive and same_file and node.inputs.learn.definition.get_dict() == builder.learn.definition.get_dict():
            return int(node.pk)
    return None


def _list_campaigns() -> None:
    query = orm.QueryBuilder().append(
        orm.WorkChainNode, filters={"process_type": {"in": list(_CAMPAIGN_CLASSES)}}, tag="campaign"
    )
    query.order_by({"campaign": {"id": "asc"}})
    nodes = [node for node in query.all(flat=True) if node.caller is None]
    if not nodes:
        click.echo("no campaign in this profile; `aiida-nvp submit FILE` starts one.")
    for node in nodes:
        click.echo(
            f"{node.pk:>7}  {node.ctime:%Y-%m-%d %H:%M}  {node.label or node.process_label:<20} {status_line(node)}"
        )


def finish(pk: int, report_path: Path | None) -> None:
    """Write the report of a campaign that ended.

    :raises click.ClickException: if it ended in failure.
    """
    from aiida_nvp.cli.report import write_campaign_report  # noqa: PLC0415 - figures are drawn at the end only

    node = process_node(pk)
    click.echo(f"report: {write_campaign_report(node, report_path)}")
    if not node.is_finished_ok:
        raise click.ClickException(f"campaign {pk} ended with exit code {node.exit_status}: {node.exit_message}")
