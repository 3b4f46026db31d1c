"""Plain values against a model, and what does not fit in one sentence."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from aiida_nvp.common.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def told(error: ValidationError) -> list[ErrorDetails]:
    """Return what is wrong, without the fields that have no value only because others have none."""
    return [details for details in error.errors() if details["type"] != "default_factory_not_called"]


def validated(model: type[Model], values: object, what: str, whole: str = "settings") -> Model:
    """Return ``values`` as an instance of ``model``.

    :param what: how the sentence begins, for example ``label settings`` or the name of a file.
    :param whole: name of the values where a fault belongs to none of them alone.
    :raises InputError: naming every value that does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc'])) or whole}: {each['msg']}" for each in told(error))
        raise InputError(f"{what}: {faults}.") from error
