"""What holds the commands together: loading on demand, the profile, errors in one sentence."""

from __future__ import annotations

import importlib
import os
import sysconfig
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import click

from aiida_nvp.common.errors import InputError

_PROFILE_KEY = "aiida_nvp.profile"

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Entry:
    """A command that is imported when it is called.

    :param target: ``module:attribute``.
    :param summary: one line for the list of commands, which imports none of them.
    :param needs_profile: whether the profile is chosen before the command runs.
    """

    target: str
    summary: str
    needs_profile: bool = True


@contextmanager
def one_sentence() -> Iterator[None]:
    """Turn an :class:`InputError` into a message without traceback and exit status 1."""
    try:
        yield
    except InputError as error:
        raise click.ClickException(str(error)) from error


class LazyGroup(click.Group):
    """A group whose commands stand in a table and are imported one at a time.

    :param table: entry by name of the command.
    """

    def __init__(self, *arguments: Any, table: Mapping[str, Entry], **options: Any) -> None:
        """Remember the table."""
        super().__init__(*arguments, **options)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names in the order of the table, which is the order of use."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command; every one that works in a profile takes ``-p`` as well."""
        entry = self.table.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{entry.target} is not a click command")
        if entry.needs_profile and not any(parameter.name == "profile" for parameter in command.params):
            command.params.append(profile_option())
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self.table.items()])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command and show an :class:`InputError` as one sentence."""
        use_own_programs()
        warnings.filterwarnings("ignore", "Creating AiiDA configuration folder")  # that is what `setup` is for
        with one_sentence():
            return super().invoke(ctx)


def profile_option() -> click.Option:
    """Return the option ``-p``, which loads the named profile."""
    return click.Option(
        ["-p", "--profile"], metavar="NAME", expose_value=False, callback=_choose, help="AiiDA profile to work in."
    )


def named_profile(context: click.Context) -> str | None:
    """Return the profile that was named with ``-p`` before the command, if any."""
    name: str | None = context.meta.get(_PROFILE_KEY)
    return name


def load_usual_profile() -> None:
    """Load the profile that is meant when none is named, if there is one."""
    from aiida_nvp.provision.profile import load  # noqa: PLC0415 - `--help` does without AiiDA

    try:
        load()
    except InputError:
        # Commands that only read files do without; the others say themselves that they need a profile.
        return


def in_profile(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """Load the usual profile before ``function`` runs, or say in one sentence that there is none."""

    @wraps(function)
    def loaded(*arguments: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
        from aiida.cmdline.utils.decorators import load_backend_if_not_loaded  # noqa: PLC0415 - as above

        from aiida_nvp.provision.profile import load  # noqa: PLC0415 - as above

        try:
            load()
        except InputError as error:
            raise click.ClickException("no AiiDA profile; run `aiida-nvp setup`, or name one with -p.") from error
        load_backend_if_not_loaded()
        return function(*arguments, **options)

    return loaded


def use_own_programs() -> None:
    """Put this environment's programs first on PATH: the daemon runs its ``verdi``, activated or not.

    AiiDA looks for ``verdi`` when its daemon module is imported, so this comes before any command is.
    """
    scripts = sysconfig.get_path("scripts")
    parts = os.environ.get("PATH", "").split(os.pathsep)
    if parts[0] != scripts:
        os.environ["PATH"] = os.pathsep.join([scripts, *parts])


def _choose(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is None or context.resilient_parsing:
        return
    from aiida_nvp.provision.profile import load  # noqa: PLC0415 - `--help` does without AiiDA

    with one_sentence():
        context.meta[_PROFILE_KEY] = load(value).name


def pairs(option: str, given: Iterable[str]) -> dict[str, str]:
    """Return what ``WHAT=NAME`` options say.

    :raises InputError: for one without an equals sign or with a side left empty.
    """
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not (name and sign and value):
            raise InputError(f"{option} takes WHAT=NAME, as in energy=REF_energy, not {text!r}.")
        found[name] = value
    return found
