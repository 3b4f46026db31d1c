"""Commands that make and examine what campaigns run on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click
from aiida.manage import get_manager

from aiida_nvp.cli.frame import named_profile
from aiida_nvp.provision import verdi_hook as hook
from aiida_nvp.provision.doctor import Finding, examine
from aiida_nvp.provision.setup import Choices, set_up
from aiida_nvp.provision.steps import Outcome, Steps

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command("setup")
@click.option("-p", "--profile", metavar="NAME", help="Use this existing profile instead of making `nvp`.")
@click.option("--pw", metavar="CODE@COMPUTER", help="Use your own pw.x instead of installing one.")
@click.option("--pseudos", metavar="FAMILY", help="Use an installed family of pseudopotentials instead of making one.")
@click.option("--engines", type=_FOLDER, help="Install programs here; those that are there already are used.")
@click.option("--no-verdi-hook", is_flag=True, help="Leave `verdi` as it is.")
@click.option("--no-daemon", is_flag=True, help="Do not start the daemon.")
@click.pass_context
def setup(context: click.Context, /, *, no_verdi_hook: bool, no_daemon: bool, **choices: str | Path | None) -> None:
    """Make profile, computer, codes, Quantum ESPRESSO and pseudopotentials; what is there is kept."""
    choices["profile"] = choices["profile"] or _profile_before(context)
    wanted = Choices(hook=not no_verdi_hook, daemon=not no_daemon, **choices)  # type: ignore[arg-type]
    profile = set_up(wanted, Steps(click.echo))
    click.echo(f"Ready. Profile {profile.name}; `aiida-nvp doctor` checks every part.")


@click.command("doctor")
@click.option("-p", "--profile", metavar="NAME", help="AiiDA profile to examine.")
@click.pass_context
def doctor(context: click.Context, profile: str | None) -> None:
    """Say of each part whether it works and, where it does not, what to do."""
    if not examine(profile or _profile_before(context), _tell):
        raise click.exceptions.Exit(1)


@click.group("verdi-hook")
def verdi_hook() -> None:
    """Add or remove `verdi process submit`, which AiiDA itself does not have."""


@verdi_hook.command("install")
def install() -> None:
    """Add `submit` to `verdi process` in this environment."""
    _do(hook.install)


@verdi_hook.command("remove")
def remove() -> None:
    """Take `submit` away from `verdi process` again."""
    _do(hook.remove)


@verdi_hook.command("status")
def status() -> None:
    """Say whether the hook is installed."""
    site = hook.site_folder()
    click.echo(f"{'installed' if hook.is_installed(site) else 'not installed'} in {site}")


def _do(step: Callable[[Path], Outcome[None]]) -> None:
    click.echo(step(hook.site_folder()).sentence)


def _profile_before(context: click.Context) -> str | None:
    """Return the profile that was chosen before the command: with ``-p``, or by verdi."""
    loaded = get_manager().get_profile()
    return named_profile(context) or (loaded.name if loaded is not None else None)


def _tell(finding: Finding) -> None:
    mark = click.style("works ", fg="green") if finding.works else click.style("BROKEN", fg="red", bold=True)
    click.echo(f"{mark} {finding.part:<17} {finding.sentence}")
    if finding.remedy:
        click.echo(f"{'':<25}-> {finding.remedy}")
