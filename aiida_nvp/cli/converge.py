"""The command that tests cutoffs and k-points on one structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import yaml
from aiida import engine, orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent
from aiida.engine import ProcessBuilder
from ase import Atoms
from ase.io import read
from ase.io.formats import UnknownFileTypeError

from aiida_nvp.cli.frame import in_profile, one_sentence
from aiida_nvp.cli.inputs import read_inputs
from aiida_nvp.cli.running import run_watched
from aiida_nvp.cli.status import process_node, status_line, watch
from aiida_nvp.cli.submit import require_daemon
from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frame import canonical
from aiida_nvp.labelling.convergence_plan import distinct_points, make_series, read_plan
from aiida_nvp.provision.codes import load_code
from aiida_nvp.report.convergence import HEADER, TITLES, cells, fixed, read_result
from aiida_nvp.workflows.converge import ConvergeWorkChain
from aiida_nvp.workflows.engines import chosen_engines, setup_command

_FORMATS = (".html", ".svg", ".png")
_UNREADABLE = (
    OSError,
    UnknownFileTypeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    RuntimeError,
    StopIteration,
    AssertionError,
    SyntaxError,
)
"""What ASE's readers raise on a file that is not what they take it for."""
_SERIES = {"cutoffs": "cutoffs_ry", "duals": "duals", "k_distances": "k_distances"}
_TOLERANCES = {
    "force_tolerance": "force",
    "stress_tolerance": "stress_gpa",
    "energy_tolerance": "energy_per_atom",
}


@click.command("converge")
@click.argument("structure")
@click.option(
    "--cutoffs", metavar="RY,RY,..", help="Cutoffs of the waves, rising; default: around the recommended one."
)
@click.option("--duals", metavar="N,N,..", help="Cutoffs of the density as multiples of those of the waves, from 4.")
@click.option("--no-duals", is_flag=True, help="Leave the ratio of the cutoffs as the family recommends it.")
@click.option("--k-distances", metavar="D,D,..", help="Distances of k-points in 1/angstrom, 2 pi included; falling.")
@click.option("--force-tolerance", type=float, metavar="EV/ANGSTROM", help="Accepted on any one atom.")
@click.option("--stress-tolerance", type=float, metavar="GPA", help="Accepted of any one component.")
@click.option("--energy-tolerance", type=float, metavar="EV/ATOM", help="Accepted of the energy.")
@click.option("--protocol", help="fast, balanced (default) or stringent.")
@click.option("--settings", type=click.Path(dir_okay=False, path_type=Path), help="YAML with label settings.")
@click.option("--pseudos", metavar="FAMILY", help="Pseudopotential family; default: that of the setup.")
@click.option("--pw", metavar="CODE", help="pw.x as label@computer; default: that of the setup.")
@click.option("--in-flight", type=int, help="Calculations at once.")
@click.option("--submit", "by_daemon", is_flag=True, help="Hand the test to the daemon instead of running it here.")
@click.option("--watch", "follow", is_flag=True, help="With --submit: stay until the end and print the result.")
@click.option(
    "--report", "report", type=click.Path(dir_okay=False, path_type=Path), help="Write an .html, .svg or .png here."
)
@in_profile
def converge(structure: str, **options: Any) -> None:
    r"""Test cutoffs and k-point density on one STRUCTURE and propose values.

    \b
    STRUCTURE is a file that ASE reads, or the pk or uuid of a StructureData.
    The pk of a test that was submitted shows its result.
    """
    with one_sentence():
        report: Path | None = options["report"]
        if report is not None and report.suffix not in _FORMATS:
            raise InputError(f"--report writes .html, .svg or .png, not {report.name}.")
        found = Path(structure) if Path(structure).is_file() else _node(structure)
        if isinstance(found, orm.ProcessNode):
            pk = int(found.pk or 0)
            if options["follow"]:
                watch(pk)
        else:
            pk = _begin(found, options)
        node = process_node(pk)
        if not node.is_terminated:
            click.echo(
                f"test {pk}: {status_line(node)}; `aiida-nvp converge {pk} --watch` follows and shows the result."
            )
            return
        _show(node, report)


def _begin(found: Path | orm.Node, options: dict[str, Any]) -> int:
    """Run or submit the test and return its pk."""
    if options["by_daemon"] and options["report"] is not None and not options["follow"]:
        raise InputError(
            "--report with --submit needs --watch; or write it later: `aiida-nvp converge PK --report FILE`."
        )
    builder = _builder(found, options)
    if not options["by_daemon"]:
        return run_watched(builder, "convergence test")
    require_daemon()
    pk = int(engine.submit(builder).pk or 0)
    click.echo(f"submitted convergence test {pk}")
    if options["follow"]:
        watch(pk)
    return pk


def _builder(found: Path | orm.Node, options: dict[str, Any]) -> ProcessBuilder:
    overrides: dict[str, Any] = {
        key: _numbers(f"--{name.replace('_', '-')}", options[name])
        for name, key in _SERIES.items()
        if options[name] is not None
    }
    if options["no_duals"]:
        if options["duals"]:
            raise InputError(
                f"--no-duals varies none of them and --duals {options['duals']} some; give one of the two."
            )
        overrides["duals"] = []
    overrides["tolerances"] = {key: options[name] for name, key in _TOLERANCES.items() if options[name] is not None}
    if options["settings"] is not None:
        overrides["settings"] = read_inputs(options["settings"])
    if options["in_flight"] is not None:
        if options["in_flight"] < 1:
            raise InputError(f"--in-flight {options['in_flight']} starts nothing; give 1 or more.")
        overrides["in_flight"] = options["in_flight"]
    code, family = _engines(options["pw"], options["pseudos"])
    structure = _structure(found)
    builder = ConvergeWorkChain.get_builder_from_protocol(
        load_code(code), structure, options["protocol"], family, overrides
    )
    plan = read_plan(builder.plan.get_dict())
    count = len(distinct_points(make_series(plan, canonical(structure.get_ase()).cell.array)))
    click.echo(
        f"{structure.get_formula()}, {len(structure.sites)} atoms: {count} calculations with {family}, "
        "then one of what they propose"
    )
    return builder


def _engines(pw: str | None, pseudos: str | None) -> tuple[str, str]:
    chosen = chosen_engines()
    code, family = pw or (chosen.pw if chosen else ""), pseudos or (chosen.pseudos if chosen else "")
    missing = [option for option, value in (("--pw", code), ("--pseudos", family)) if not value]
    if missing:
        raise InputError(
            f"no engines are set up in this profile; run `{setup_command()}`, or give {' and '.join(missing)}."
        )
    return code, family


def _node(identifier: str) -> orm.Node:
    try:
        return orm.load_node(int(identifier) if identifier.isdigit() else identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        raise InputError(f"`{identifier}` is neither a file nor a single node of this profile.") from error


def _structure(found: Path | orm.Node) -> orm.StructureData:
    if isinstance(found, orm.StructureData):
        return found
    if isinstance(found, orm.Node):
        raise InputError(f"node {found.pk} is a {type(found).__name__}, not a structure.")
    try:
        atoms = read(found)
    except _UNREADABLE as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{found} cannot be read as a structure: {why}; give a file in a format of ASE.") from error
    if not isinstance(atoms, Atoms) or not len(atoms):
        raise InputError(f"{found} holds no atoms.")
    try:
        return orm.StructureData(ase=canonical(atoms))
    except ValueError as error:
        raise InputError(f"{found}: {error}") from error


def _numbers(option: str, text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise InputError(f"{option} takes numbers parted by commas, as in 30,40,50, not {text!r}.") from error


def _show(node: orm.ProcessNode, report: Path | None) -> None:
    result = read_result(node)
    for name, series in result["series"].items():
        click.echo(f"\n{TITLES[name]} (at {fixed(result, name)})")
        rows = [(HEADER, ""), *cells(series)]
        widths = [max(len(values[column]) for values, _ in rows) for column in range(len(HEADER))]
        for values, remark in rows:
            padded = [text.rjust(width) for text, width in zip(values, widths, strict=True)]
            click.echo("  ".join([*padded, remark]).rstrip())
        click.echo(series["verdict"]["reason"])
    check = result.get("cross_check")
    if check and check["agrees"]:
        click.echo(f"\nChecked: {check['sentence']}")
    for warning in result["warnings"]:
        click.echo(f"\nWarning: {warning}", err=True)
    if result["proposal"]["settings"]:
        complete = "" if result["proposal"]["complete"] else ", as far as the series have converged"
        click.echo(f"\nProposed{complete}:")
        click.echo(yaml.safe_dump({"settings": result["proposal"]["settings"]}, sort_keys=False), nl=False)
    if report is not None:
        from aiida_nvp.report.convergence_page import write_convergence  # noqa: PLC0415 - drawing takes matplotlib

        click.echo(f"report: {write_convergence(node, report)}")
    if not node.is_finished_ok:
        raise InputError(f"test {node.pk} ended with exit code {node.exit_status}: {node.exit_message}")
