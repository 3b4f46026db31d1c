"""The command that writes the report of a campaign; apart because drawing takes matplotlib."""

from __future__ import annotations

from pathlib import Path

import click
from aiida import orm

from aiida_nvp.cli.frame import in_profile
from aiida_nvp.cli.status import process_node
from aiida_nvp.common.errors import InputError
from aiida_nvp.report.page import write_report


@click.command("report")
@click.argument("pk", type=int)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="HTML file to write.")
@in_profile
def report(pk: int, output: Path | None) -> None:
    """Write the report of campaign PK as one HTML page."""
    click.echo(f"report: {write_campaign_report(process_node(pk), output)}")


def write_campaign_report(campaign: orm.ProcessNode, output: Path | None) -> Path:
    """Write the page to ``output``, else to ``reports/campaign_PK.html``, and return where it is.

    :raises click.ClickException: if the process is no campaign.
    """
    path = output or Path("reports") / f"campaign_{campaign.pk}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_report(campaign, path)
    except InputError as error:
        raise click.ClickException(str(error)) from error
    return path.resolve()
