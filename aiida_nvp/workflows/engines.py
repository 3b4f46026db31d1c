"""The engines that the setup of a profile chose: what campaigns take where their file names nothing else."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from aiida.manage import get_manager

USUAL_PROFILE = "nvp"
_RECORD_KEY = "aiida_nvp|engines"


@dataclass(frozen=True)
class Engines:
    """What the setup chose; campaigns take these where they name nothing else.

    :param pw: code of pw.x, ``label@computer``.
    :param worker: code of ``nvp-worker``.
    :param pseudos: label of an aiida-pseudo family.
    """

    pw: str
    worker: str
    pseudos: str


def setup_command(name: str | None = None) -> str:
    """Return the command that makes or repairs a profile; the usual one need not be named.

    :param name: of the profile; the loaded one when absent.
    """
    if name is None:
        loaded = get_manager().get_profile()
        name = None if loaded is None else loaded.name
    return "aiida-nvp setup" if name in (None, USUAL_PROFILE) else f"aiida-nvp setup -p {name}"


def store_engines(engines: Engines) -> None:
    """Remember the choice in the profile's own database."""
    get_manager().get_profile_storage().set_global_variable(
        _RECORD_KEY, json.dumps(asdict(engines)), description="Engines chosen by aiida-nvp setup"
    )


def chosen_engines() -> Engines | None:
    """Return what the setup of the loaded profile chose, or None before the first setup."""
    try:
        record = get_manager().get_profile_storage().get_global_variable(_RECORD_KEY)
    except KeyError:
        return None
    return Engines(**json.loads(str(record)))
