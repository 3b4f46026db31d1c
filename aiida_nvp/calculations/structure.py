"""A frame as AiiDA's structure, with the kinds and Hubbard terms that its label needs."""

from __future__ import annotations

from aiida import orm
from aiida_quantumespresso.common.hubbard import Hubbard, HubbardParameters
from aiida_quantumespresso.data.hubbard_structure import HubbardStructureData
from ase import Atoms

from aiida_nvp.common.vocabulary import StartRecipe
from aiida_nvp.labelling.settings import HubbardSettings, LabelSettings
from aiida_nvp.labelling.valence import starting_state


def to_structure(
    atoms: Atoms, settings: LabelSettings | None = None, recipe: StartRecipe | None = None
) -> orm.StructureData:
    """Return the structure of a canonical frame; its sites are in the order of the atoms.

    :param settings: where spins start from valences, atoms of one element in different states are different kinds;
        with Hubbard terms the result is a ``HubbardStructureData``, each atom of an element with the same value.
    :param recipe: another start of the spins, from valences whatever the settings say.
    :raises InputError: if valences are asked for and the composition has none that balance.
    """
    symbols = list(atoms.get_chemical_symbols())
    kinds = symbols
    if recipe is None and settings is not None and settings.start == "valence":
        recipe = StartRecipe.FERROMAGNETIC
    if recipe is not None:
        kinds = list(starting_state(atoms, recipe).kinds)
    hubbard = _hubbard(symbols, settings.hubbard) if settings is not None and settings.hubbard else None
    if hubbard is None and kinds == symbols:
        return orm.StructureData(ase=atoms)
    sites = list(zip(symbols, kinds, (tuple(map(float, xyz)) for xyz in atoms.positions), strict=True))
    cell, pbc = atoms.cell.array.tolist(), tuple(bool(axis) for axis in atoms.pbc)
    if hubbard is not None:
        corrected: orm.StructureData = HubbardStructureData(cell=cell, sites=sites, pbc=pbc, hubbard=hubbard)
        return corrected
    structure = orm.StructureData(cell=cell, pbc=pbc)
    for symbol, kind, position in sites:
        structure.append_atom(symbols=symbol, name=kind, position=position)
    return structure


def _hubbard(symbols: list[str], settings: HubbardSettings) -> Hubbard | None:
    parameters = [
        HubbardParameters(
            atom_index=index,
            atom_manifold=settings.terms[symbol].manifold,
            neighbour_index=index,
            neighbour_manifold=settings.terms[symbol].manifold,
            translation=(0, 0, 0),
            value=settings.terms[symbol].u_ev,
            hubbard_type="Ueff",
        )
        for index, symbol in enumerate(symbols)
        if symbol in settings.terms
    ]
    return Hubbard(parameters=parameters, projectors=settings.projectors) if parameters else None
