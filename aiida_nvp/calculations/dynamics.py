"""Ports and input that the two molecular-dynamics jobs share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Any

from aiida import orm
from aiida.common import AttributeDict
from aiida.common.datastructures import CalcInfo
from aiida.engine import CalcJobProcessSpec
from pydantic import BaseModel

from aiida_nvp.calculations.base import committee_members
from aiida_nvp.common.errors import InputError
from aiida_nvp.worker.settings import read_settings

Validator = Callable[[orm.Dict, object], str | None]


def define_dynamics(spec: CalcJobProcessSpec, validator: Validator) -> None:
    """Add the ports ``parameters`` and ``calibration`` and refuse an empty committee."""
    as_node = {"serializer": orm.to_aiida_type}
    spec.input("parameters", valid_type=orm.Dict, validator=validator, help="Settings of the run.", **as_node)
    spec.input(
        "calibration",
        valid_type=orm.Dict,
        required=False,
        help="Outcome of nvp.calibrate; without it scores are raw committee spreads.",
        **as_node,
    )
    spec.inputs["committee"].validator = refuse_empty_committee


def define_restart(spec: CalcJobProcessSpec) -> None:
    """Add the port ``restart``."""
    spec.input(
        "restart",
        valid_type=orm.RemoteData,
        required=False,
        help="Folder of a stopped job of the same inputs, which goes on from its checkpoint.",
    )


def bring_along(calc_info: CalcInfo, inputs: AttributeDict, names: Sequence[str]) -> None:
    """Have the files of the job to go on with, if there is one, copied into the new folder."""
    if "restart" in inputs:
        remote = inputs.restart
        before = PurePosixPath(remote.get_remote_path())
        calc_info.remote_copy_list = [(remote.computer.uuid, str(before / name), name) for name in names]


def settings_validator(model: type[BaseModel]) -> Validator:
    """Return a port validator that reads the parameters as the worker will."""

    def validate(parameters: orm.Dict, _port: object) -> str | None:
        try:
            read_settings(model, parameters.get_dict())
        except InputError as error:
            return str(error)
        return None

    return validate


def refuse_empty_committee(committee: dict[str, Any], _port: object) -> str | None:
    """Port validator: at least one member."""
    return None if committee else "the committee is empty; give at least `member_0`."


def common_worker_input(inputs: AttributeDict) -> dict[str, Any]:
    """Return the content of ``input.json`` for a molecular-dynamics stage."""
    content: dict[str, Any] = {
        "parameters": inputs.parameters.get_dict(),
        "members": len(committee_members(inputs.committee)),
        "seed": inputs.seed.value,
    }
    if "calibration" in inputs:
        content["calibration"] = inputs.calibration.get_dict()
    if limit := inputs.metadata.options.get("max_wallclock_seconds"):
        content["max_wallclock_s"] = limit
    return content
