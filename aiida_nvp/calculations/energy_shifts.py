"""Energy shifts of the species as a node, so that all members and all cycles start from the same ones."""

from __future__ import annotations

from aiida import orm
from aiida.engine import ExitCode, calcfunction

from aiida_nvp.common.energy_shifts import fit_energy_shifts
from aiida_nvp.common.errors import InputError
from aiida_nvp.data.dataset import DatasetData

ERROR_INPUT = 210


@calcfunction
def energy_shifts(dataset: DatasetData, definition: orm.Dict) -> orm.Dict | ExitCode:
    """Return ``{symbol: eV}`` for each species of the potential definition.

    Exit status 210 with a sentence if the data set is unlabelled, empty, or holds a species the definition lacks.
    """
    try:
        return orm.Dict(fit_energy_shifts(dataset.frames, definition.get_dict()["species"]))
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))
