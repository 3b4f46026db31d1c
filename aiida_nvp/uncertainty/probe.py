"""Whether a package is a model that works here: loads it and asks it about the frame that it carries."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
from ase import Atoms
from nequip.model.saved_models.package import data_dict_from_package

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.uncertainty.committee import AllegroMember, Committee

_UNUSABLE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    NameError,
    SyntaxError,
    AttributeError,
    ImportError,
    AssertionError,
    RuntimeError,
    EOFError,
    UnpicklingError,
)
"""What code and pickles of another version may raise when they meet the libraries here."""


@dataclass(frozen=True)
class Probe:
    """A model that answered.

    :param types: chemical symbols in model order.
    :param cutoff: angstrom.
    :param has_features: whether it has an Allegro read-out, whose features tell distance and last-layer sigma.
    """

    types: tuple[str, ...]
    cutoff: float
    has_features: bool


def probe_package(path: str | Path) -> Probe:
    """Load a package, which runs its code, and let it predict the frame that nequip packaged with it.

    :raises InputError: if it cannot be loaded, does not run, or gives no finite energy and forces.
    """
    try:
        member = AllegroMember(path)
        answer = Committee([member], member.cutoff, member.types).drive(example_frame(path))
    except InputError:
        raise
    except _UNUSABLE as error:
        raise InputError(f"{Path(path).name} loads but does not run here: {_first_line(error)}.") from error
    if not (np.isfinite(answer.energy).all() and np.isfinite(answer.forces).all()):
        raise InputError(f"{Path(path).name} loads but gives no finite energy and forces for its own example frame.")
    return Probe(member.types, member.cutoff, answer.features is not None)


def example_frame(path: str | Path) -> FrameSet:
    """Return the one frame that nequip packages with each model, without labels.

    :raises InputError: if there is none or it is no periodic cell.
    """
    member_types = AllegroMember(path).types
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = data_dict_from_package(str(path))
        symbols = [member_types[index] for index in data["atom_types"].flatten().tolist()]
        atoms = Atoms(symbols, positions=data["pos"].numpy(), cell=data["cell"].numpy().reshape(3, 3), pbc=True)
    except _UNUSABLE as error:
        raise InputError(f"{Path(path).name} carries no periodic example frame: {_first_line(error)}.") from error
    return FrameSet.from_atoms([atoms])


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
