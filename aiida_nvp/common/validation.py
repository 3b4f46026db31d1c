"""Plain values against a model, and what does not fit in one sentence."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from aiida_nvp.common.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], values: object, what: str, whole: str = "settings") -> Model:
    """Return ``values`` as an instance of ``model``.

    :param what: how the sentence begins, for example ``label settings`` or the name of a file.
    :param whole: name of the values where a fault belongs to none of them alone.
    :raises InputError: naming every value that does not fit.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, each['loc'])) or whole}: {each['msg']}" for each in error.errors())
        raise InputError(f"{what}: {faults}.") from error
