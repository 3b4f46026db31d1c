"""Commands that take labelled frames of other origin in, and give data sets out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click
import yaml
from aiida import orm
from aiida.cmdline.utils.decorators import with_dbenv
from aiida.common.exceptions import (
    CorruptStorage,
    IncompatibleStorageSchema,
    MultipleObjectsError,
    NotExistent,
)
from aiida.common.progress_reporter import set_progress_bar_tqdm, set_progress_reporter
from aiida.tools.archive import import_archive
from aiida.tools.archive.exceptions import ImportUniquenessError, ImportValidationError

from aiida_nvp.calculations.import_labels import import_calculations, import_extxyz
from aiida_nvp.calculations.pw_nodes import PW_PLUGIN, gather
from aiida_nvp.calculations.remarks import REMARKS
from aiida_nvp.cli.frame import Entry, LazyGroup, pairs
from aiida_nvp.cli.nodes import one_node
from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.data.links import jobs_below
from aiida_nvp.labelling.extxyz import write_extxyz
from aiida_nvp.report.dataset import describe, find_theory

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SHOWN_REASONS = 5
_BROKEN_ARCHIVE = (CorruptStorage, IncompatibleStorageSchema, ImportUniquenessError, ImportValidationError, ValueError)
_HERE = "aiida_nvp.cli.data"
DATA_COMMANDS = {
    "import": Entry(f"{_HERE}:import_file", "Take in labelled frames from an extended XYZ file."),
    "import-group": Entry(f"{_HERE}:import_group", "Take in the labels of pw.x calculations of an AiiDA group."),
    "import-archive": Entry(f"{_HERE}:import_aiida", "Take in the labels of pw.x calculations of an AiiDA archive."),
    "export": Entry(f"{_HERE}:export", "Write a data set as extended XYZ, with all that it knows of its frames."),
    "show": Entry(f"{_HERE}:show", "Say what a data set holds."),
}


@click.group("data", cls=LazyGroup, table=DATA_COMMANDS)
def data() -> None:
    """Take labelled frames of other origin in, and give data sets out."""


@click.command("import")
@click.argument("file", type=_FILE)
@click.option("--theory", "theory_file", type=_FILE, help="YAML with the level of theory; not for a file of `export`.")
@click.option("--key", "keys", multiple=True, metavar="WHAT=NAME", help="Name in the file, as in energy=REF_energy.")
@click.option("--unit", "units", multiple=True, metavar="WHAT=UNIT", help="Unit in the file, as in energy=Ha.")
@click.option("--no-stress", is_flag=True, help="Leave the stress out.")
@click.option("--unchecked", is_flag=True, help="Take the file although its numbers betray other units.")
@with_dbenv()
def import_file(file: Path, theory_file: Path | None, **options: Any) -> None:
    r"""Take in labelled frames from an extended XYZ FILE.

    \b
    WHAT is energy, forces, stress or virial; for units energy, length, forces or stress.
    Energies: eV, meV, Ry, Ha, kcal/mol, kJ/mol. Lengths: angstrom, bohr, nm. Stress also: GPa, kbar.
    """
    parameters = {
        "keys": pairs("--key", options["keys"]),
        "units": pairs("--unit", options["units"]),
        "keep_stress": not options["no_stress"],
        "checked": not options["unchecked"],
    }
    theory = _read_theory(theory_file)
    with _progress():
        inputs = {"file": orm.SinglefileData(file.resolve()), "theory": orm.Dict(theory or {})}
        made, node = import_extxyz.run_get_node(**inputs, parameters=orm.Dict(parameters))
    _tell(made, node, file.stem)


@click.command("import-group")
@click.argument("group")
@click.option("--theory", "theory_file", type=_FILE, help="YAML with the level that all calculations have to be of.")
@click.option("--stress-converged", is_flag=True, help="Keep the stress: the cutoffs are high enough to trust it.")
@click.option("--skip-others", is_flag=True, help="Leave out calculations of another level than that of --theory.")
@with_dbenv()
def import_group(group: str, **options: Any) -> None:
    """Take in the labels of all pw.x calculations in or under the processes of the AiiDA GROUP (label, pk or uuid)."""
    found = _group(group)
    _import_calculations(_pw_jobs(found.nodes, len(found.nodes)), f"group {found.label}", found.label, options)


@click.command("import-archive")
@click.argument("file", type=_FILE)
@click.option("--theory", "theory_file", type=_FILE, help="YAML with the level that all calculations have to be of.")
@click.option("--stress-converged", is_flag=True, help="Keep the stress: the cutoffs are high enough to trust it.")
@click.option("--skip-others", is_flag=True, help="Leave out calculations of another level than that of --theory.")
@with_dbenv()
def import_aiida(file: Path, **options: Any) -> None:
    """Import the AiiDA archive FILE, then take in the labels of the pw.x calculations that it brought."""
    with _progress():
        try:
            pk = import_archive(file)
        except _BROKEN_ARCHIVE as error:
            reason = " ".join(str(error).split())
            raise InputError(f"{file} cannot be imported: {reason} (`verdi archive` examines and migrates).") from error
    brought = orm.load_group(pk) if pk is not None else None
    nodes = [] if brought is None else list(brought.nodes)
    _import_calculations(_pw_jobs(nodes, len(nodes)), str(file), file.stem, options)


@click.command("export")
@click.argument("dataset")
@click.option("-o", "--output", type=click.Path(dir_okay=False, allow_dash=True), required=True, help="- for stdout.")
@with_dbenv()
def export(dataset: str, output: str) -> None:
    """Write DATASET (pk or uuid) as extended XYZ: labels, ids, level of theory, origins, sources."""
    node = _dataset(dataset)
    text = write_extxyz(node.frames, node.sources)
    try:
        with click.open_file(output, "w", encoding="utf-8") as handle:
            handle.write(text)
    except OSError as error:
        raise InputError(f"{output} cannot be written: {error.strerror}.") from error
    click.echo(f"{len(node)} frames written to {output}", err=True)


@click.command("show")
@click.argument("dataset")
@click.option("--theory", "only_theory", is_flag=True, help="Print the level of theory alone, as --theory takes it.")
@with_dbenv()
def show(dataset: str, only_theory: bool) -> None:
    """Say what DATASET (pk or uuid) holds."""
    node = _dataset(dataset)
    if only_theory:
        theory = find_theory(node)
        if theory is None:
            raise InputError(f"no process behind data set {dataset} states its level of theory.")
        click.echo(yaml.safe_dump(theory, sort_keys=False), nl=False)
        return
    for name, value in describe(node):
        click.echo(f"{name:<22} {value}".rstrip())


def _import_calculations(jobs: Iterable[orm.CalcJobNode], where: str, label: str, options: dict[str, Any]) -> None:
    theory = _read_theory(options["theory_file"])
    if options["skip_others"] and theory is None:
        raise InputError("--skip-others needs --theory: which level is meant?")
    with _progress():
        found = gather(jobs)
        if not len(found):
            first = found.left_out[0] if found.left_out else None
            why = f"; first: {first['calculation']}: {first['reason']}" if first else ""
            raise InputError(f"{where} holds no pw.x calculation that gives a label{why}.")
        choices = {name: options[name] for name in ("stress_converged", "skip_others")}
        inputs = {"choices": orm.Dict({**choices, "left_out": found.left_out})}
        inputs |= {} if theory is None else {"theory": orm.Dict(theory)}
        made, node = import_calculations.run_get_node(**inputs, **found.namespaces)
    _tell(made["dataset"] if isinstance(made, dict) and "dataset" in made else None, node, label)
    summary = made["summary"].get_dict()
    for entry in summary["left_out"][:_SHOWN_REASONS]:
        click.echo(f"  left out: {entry['calculation']}: {entry['reason']}")
    if len(summary["left_out"]) > _SHOWN_REASONS:
        click.echo(f"  and {len(summary['left_out']) - _SHOWN_REASONS} more; all are in node {made['summary'].pk}")


def _tell(made: object, node: orm.ProcessNode, label: str) -> None:
    """Name the data set and say what it holds, or raise the sentence of the refusal."""
    if not node.is_finished_ok or not isinstance(made, DatasetData):
        raise InputError(str(node.exit_message or node.exception or "the import failed."))
    made.label = label
    click.echo(f"data set {made.pk} ({made.uuid})")
    for sentence in node.base.extras.get(REMARKS, []):
        click.echo(f"  {sentence}")
    for name, value in describe(made):
        click.echo(f"  {name:<20} {value}".rstrip())


def _pw_jobs(nodes: Iterable[orm.Node], total: int) -> Iterator[orm.CalcJobNode]:
    with click.progressbar(
        nodes, length=total, label="looking for calculations", file=click.get_text_stream("stderr")
    ) as bar:
        for node in bar:
            if isinstance(node, orm.ProcessNode):
                yield from (job for job in jobs_below(node) if job.process_type == PW_PLUGIN)


def _group(identifier: str) -> orm.Group:
    with contextlib.suppress(NotExistent, MultipleObjectsError, ValueError):
        return orm.load_group(int(identifier) if identifier.isdigit() else identifier)
    raise InputError(f"there is no single group `{identifier}` in this profile; `verdi group list -A` shows them.")


def _dataset(identifier: str) -> DatasetData:
    return one_node(identifier, DatasetData, "a data set of frames")


def _read_theory(file: Path | None) -> dict[str, Any] | None:
    if file is None:
        return None
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read as YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(content, dict) or not content:
        raise InputError(f"{file} has to be a mapping that describes the level of theory.")
    return {str(key): value for key, value in content.items()}


@contextlib.contextmanager
def _progress() -> Iterator[None]:
    """Show AiiDA's progress bars while something long runs, on a terminal."""
    shown = click.get_text_stream("stderr").isatty()
    if shown:
        set_progress_bar_tqdm()
    try:
        yield
    finally:
        if shown:
            set_progress_reporter(None)
