"""The command that traces training frames to the calculations behind them."""

from __future__ import annotations

import click
from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent

from aiida_nvp.cli.frame import in_profile
from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.report.lineage import trace, trace_all

_SHORTEST_ID = 8
"""Digits alone are the number of a frame unless there are as many as in the beginning of an id."""


@click.command("lineage")
@click.argument("dataset")
@click.option("--frame", help="Number of the frame, or the beginning of its id; its history is told in full.")
@click.option("--all", "every", is_flag=True, help="All frames, one line each.")
@in_profile
def lineage(dataset: str, frame: str | None, every: bool) -> None:
    """Tell for frames of DATASET (pk or uuid) which calculation labelled them, and what proposed them and why."""
    if every == (frame is not None):
        raise click.UsageError("give either --frame N or --all.")
    node = _dataset(dataset)
    try:
        found = trace_all(node) if frame is None else [trace(node, _frame_key(frame))]
    except InputError as error:
        raise click.ClickException(str(error)) from error
    for entry in found:
        click.echo(entry.sentence if every else entry.story)
    missed = sum(bool(entry.misses) for entry in found)
    click.echo(f"{len(found) - missed} of {len(found)} frames traced to the calculation behind them")
    if missed:
        raise click.exceptions.Exit(1)


def _frame_key(text: str) -> int | str:
    return int(text) if text.isdigit() and len(text) < _SHORTEST_ID else text


def _dataset(identifier: str) -> DatasetData:
    try:
        node = orm.load_node(int(identifier) if identifier.isdigit() else identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        raise click.ClickException(f"no single node `{identifier}` in this profile.") from error
    if not isinstance(node, DatasetData):
        raise click.ClickException(f"node {identifier} is a {type(node).__name__}; lineage needs a data set of frames.")
    return node
