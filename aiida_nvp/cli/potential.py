"""Commands that list and show potentials, take foreign ones in, and give ours out."""

from __future__ import annotations

from pathlib import Path

import click
from aiida import orm
from aiida.cmdline.utils.decorators import with_dbenv

from aiida_nvp.calculations.import_potential import import_potential
from aiida_nvp.calculations.remarks import REMARKS
from aiida_nvp.cli.frame import Entry, LazyGroup
from aiida_nvp.cli.nodes import one_node
from aiida_nvp.cli.potential_files import ExportRequest, export_files
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.package import TRUST_SENTENCE, check_sha256, read_header
from aiida_nvp.data.potential import PotentialData
from aiida_nvp.report.potential import PotentialFacts, all_potentials, describe_potential, potential_facts
from aiida_nvp.worker.settings import TARGETS

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)
_HERE = "aiida_nvp.cli.potential"
_UUID_DIGITS = 8
_HEADER = ("PK", "UUID", "label", "types", "cutoff", "level of theory", "made by", "force RMSE")
POTENTIAL_COMMANDS = {
    "list": Entry(f"{_HERE}:list_all", "List the potentials of the profile."),
    "show": Entry(f"{_HERE}:show", "Say all that is known of one potential."),
    "import": Entry(f"{_HERE}:import_file", "Take in a potential that was trained elsewhere."),
    "export": Entry(f"{_HERE}:export", "Write package, model card and, on request, compiled files."),
}


@click.group("potential", cls=LazyGroup, table=POTENTIAL_COMMANDS)
def potential() -> None:
    """List, show, take in and give out trained potentials."""


@click.command("list")
@with_dbenv()
def list_all() -> None:
    """List the potentials of the profile, oldest first, with the most honest force error known of each."""
    rows = [_HEADER, *(_row(potential_facts(node)) for node in all_potentials())]
    if len(rows) == 1:
        click.echo("no potentials in this profile; a campaign trains some, `potential import` takes one in.")
        return
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@click.command("show")
@click.argument("potential")
@with_dbenv()
def show(potential: str) -> None:
    """Say all that is known of POTENTIAL (pk or uuid)."""
    _echo(potential_facts(_potential(potential)))


@click.command("import")
@click.argument("file", type=_FILE)
@click.option("--trust", is_flag=True, help="You trust its maker: code in the file may run here.")
@click.option("--sha256", help="Checksum that its maker published; another one is refused.")
@click.option("--card", type=_FILE, help="What its maker says of it; kept beside it and exported with it.")
@click.option("--label", help="Name in lists; the name of the file where not given.")
@with_dbenv()
def import_file(file: Path, trust: bool, sha256: str | None, card: Path | None, label: str | None) -> None:
    """Take in a potential that was trained elsewhere, from its package FILE.nequip.zip.

    It is marked as foreign: its level of theory is not known, and a training that begins from it fits its energy shifts
    to the labels.
    """
    # All that can be refused without a node is refused before there is one.
    if not trust:
        raise InputError(TRUST_SENTENCE)
    check_sha256(read_header(file), sha256)
    inputs = {"card": orm.SinglefileData(card.resolve())} if card is not None else {}
    statement = orm.Dict({"trusted": True, "sha256": sha256})
    click.echo("loading it and letting it predict its own example frame ...", err=True)
    made, process = import_potential.run_get_node(
        file=orm.SinglefileData(file.resolve()), statement=statement, **inputs
    )
    if not process.is_finished_ok or not isinstance(made, PotentialData):
        raise InputError(str(process.exit_message or process.exception or "the import failed."))
    made.label = label or file.name.removesuffix(".zip").removesuffix(".nequip")
    click.echo(f"potential {made.pk} ({made.uuid})")
    for sentence in process.base.extras.get(REMARKS, []):
        click.echo(f"  {sentence}")
    _echo(potential_facts(made), "  ")


@click.command("export")
@click.argument("potential")
@click.option("--out", type=_FOLDER, required=True, help="Folder to write into; made if it is not there.")
@click.option(
    "--for", "engines", multiple=True, type=click.Choice(list(TARGETS)), help="Also compile for it; may be repeated."
)
@click.option("--device", default="cpu", show_default=True, help="Of torch, for compiled files: cpu or cuda.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@with_dbenv()
def export(potential: str, out: Path, engines: tuple[str, ...], device: str, force: bool) -> None:
    """Write POTENTIAL (pk or uuid) as .nequip.zip with a model card, and compiled for each engine that is named.

    A compiled file belongs to this kind of machine, this device and this version of torch. Each is compared with the
    package on one frame, energy and forces, before anything is written.
    """
    facts = potential_facts(_potential(potential))
    request = ExportRequest(out, tuple(dict.fromkeys(engines)), device, force)
    for sentence in export_files(facts, request, lambda said: click.echo(said, err=True)):
        click.echo(sentence)


def _potential(identifier: str) -> PotentialData:
    return one_node(identifier, PotentialData, "a potential; `potential list` shows them")


def _row(facts: PotentialFacts) -> tuple[str, ...]:
    node = facts.node
    return (
        str(node.pk),
        str(node.uuid)[:_UUID_DIGITS],
        node.label or "-",
        " ".join(node.types),
        f"{node.cutoff:g}",
        facts.level_words,
        facts.origin_words,
        facts.error_words,
    )


def _echo(facts: PotentialFacts, indent: str = "") -> None:
    for name, value in describe_potential(facts):
        click.echo(f"{indent}{name:<20} {value}".rstrip())
