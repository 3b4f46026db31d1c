"""The command that hands work to the daemon: `aiida-nvp submit`, `verdi data nvp submit`, `verdi process submit`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from aiida import engine, orm
from aiida.engine.processes.functions import FunctionProcess
from aiida.manage import get_manager

from aiida_nvp.cli.frame import in_profile, load_usual_profile, one_sentence
from aiida_nvp.cli.inputs import fill_builder, load_process, read_inputs
from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.daemon import daemon_is_running
from aiida_nvp.workflows.engines import setup_command

_YAML = (".yaml", ".yml")


@click.command("submit")
@click.argument("name", metavar="NAME|CAMPAIGN.yaml")
@click.argument("inputs", metavar="[INPUTS.yaml]", type=click.Path(dir_okay=False, path_type=Path), required=False)
@click.option("--watch", is_flag=True, help="Campaign only: stay, print progress, and write the report at the end.")
@click.option("--reuse", is_flag=True, help="Campaign only: take one with the same inputs that runs or has finished.")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Campaign only: where --watch writes.")
def submit(name: str, inputs: Path | None, **campaign: Any) -> None:
    """Submit a campaign file, or any process by its entry point with a file of inputs.

    \b
    aiida-nvp submit campaign.yaml
    aiida-nvp submit nvp.active_learning inputs.yaml

    In INPUTS.yaml, `code:label@computer`, `node:uuid-or-pk`, `pseudos:family` and `file:path` stand for what they
    name; plain values become nodes.
    """  # noqa: D301 - the backspace tells click to keep the lines below it apart
    load_usual_profile()
    with one_sentence():
        if Path(name).suffix in _YAML:
            _submit_campaign(Path(name), inputs, campaign)
        elif any(campaign.values()):
            raise InputError("--watch, --reuse and --report go with a campaign file only.")
        elif inputs is None:
            raise InputError(f"give the inputs too: `submit {name} INPUTS.yaml`.")
        else:
            _submit_process(name, inputs)


@in_profile
def _submit_process(name: str, path: Path) -> None:
    process = load_process(name)
    inputs = read_inputs(path)
    if getattr(process, "is_process_function", False):
        _run_function(process, inputs)
        return
    builder = fill_builder(process, inputs)
    require_daemon()
    node = engine.submit(builder)
    click.echo(f"submitted {node.process_label} {node.pk}; follow it with `verdi process status {node.pk}`.")


@in_profile
def _submit_campaign(file: Path, inputs: Path | None, options: dict[str, Any]) -> None:
    if inputs is not None:
        raise InputError(f"{file} is a campaign file and holds all its inputs; leave {inputs} out.")
    if not file.is_file():
        raise InputError(f"there is no campaign file {file}.")
    from aiida_nvp.cli.campaign import submit_campaign  # noqa: PLC0415 - a single process does without it

    require_daemon()
    submit_campaign(file, follow=options["watch"], reuse=options["reuse"], report_path=options["report"])


def require_daemon() -> None:
    """Refuse to submit where nobody would take the task.

    :raises InputError: if the profile's daemon does not run.
    """
    profile = get_manager().get_profile()
    if profile is not None and not daemon_is_running(profile):
        remedy = setup_command(profile.name)
        raise InputError(f"the daemon of profile {profile.name} does not run; `{remedy}` starts it.")


def _run_function(process: type[engine.Process], inputs: dict[str, Any]) -> None:
    """Run a calcfunction here and now: AiiDA's daemon takes classes only."""
    process_class: type[FunctionProcess] = process.process_class
    values = dict(fill_builder(process_class, inputs))
    node: orm.ProcessNode
    _, node = process.run_get_node(**values)
    click.echo(f"ran {node.process_label} {node.pk} here; `verdi process show {node.pk}` shows what it made.")
