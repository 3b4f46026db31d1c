"""The one node that a user names on the command line."""

from __future__ import annotations

from typing import TypeVar

from aiida import orm
from aiida.common.exceptions import MultipleObjectsError, NotExistent

from aiida_nvp.common.errors import InputError

AnyNode = TypeVar("AnyNode", bound=orm.Node)


def one_node(identifier: str, kind: type[AnyNode], words: str) -> AnyNode:
    """Return the node with this pk or uuid.

    :param words: what it has to be, as in ``a data set of frames``.
    :raises InputError: if there is none, several, or one of another kind.
    """
    try:
        node = orm.load_node(int(identifier) if identifier.isdigit() else identifier)
    except (NotExistent, MultipleObjectsError, ValueError) as error:
        raise InputError(f"no single node `{identifier}` in this profile.") from error
    if not isinstance(node, kind):
        raise InputError(f"node {identifier} is a {type(node).__name__}, not {words}.")
    return node
