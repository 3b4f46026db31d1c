"""Cells to begin with, as a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aiida import orm
from aiida.engine import ExitCode, calcfunction
from ase import Atoms

from aiida_nvp.common.errors import InputError
from aiida_nvp.common.frameset import FrameSet
from aiida_nvp.common.seeds import derive_seed
from aiida_nvp.data.dataset import DatasetData
from aiida_nvp.structures.composition import compose
from aiida_nvp.structures.crystals import Variation, read_cif, vary
from aiida_nvp.structures.density import estimate_density_g_cm3
from aiida_nvp.structures.grid import grid_cells
from aiida_nvp.structures.packing import pack

ERROR_INPUT = 210

Frame = tuple[Atoms, dict[str, Any]]


@calcfunction
def generate(parameters: orm.Dict, seed: orm.Int) -> DatasetData | ExitCode:
    """Return unlabelled frames: packed ``cells`` and varied ``crystals``, in the order in which they are listed.

    A cell is ``{"name", "oxides": {formula: moles}, "reduced": {element: share}, "atoms", "density_g_cm3": or None,
    "copies", "rattle": angstrom, "minimum": {"P-O": angstrom}}``; a crystal is ``{"name", "cif": text, "repeat",
    "remove": {element: atoms}, "rattle", "strain", "copies"}``. An entry of ``grids`` is a cell with lists of moles and
    reduced shares, a cell for each combination, which come after the ``cells``. Each copy has a seed of its own.

    Exit status 210 with a sentence for a composition, density or crystal that cannot be made.
    """
    wanted = parameters.get_dict()
    try:
        cells = [*wanted.get("cells", []), *_from_grids(wanted.get("grids", []))]
        frames = [*_packed(cells, seed.value), *_crystals(wanted.get("crystals", []), seed.value)]
        if not frames:
            raise InputError("nothing to generate: give `cells`, `grids` or `crystals`.")
        return DatasetData(FrameSet.from_atoms([atoms for atoms, _ in frames], [{"origin": o} for _, o in frames]))
    except InputError as error:
        return ExitCode(ERROR_INPUT, str(error))


def _from_grids(grids: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for index, grid in enumerate(grids):
        place = _place("grids", index, grid, ("name", "oxides", "atoms"))
        try:
            yield from grid_cells(grid)
        except InputError as error:
            raise InputError(f"{place}: {error}") from error


def _packed(cells: list[Mapping[str, Any]], seed: int) -> Iterator[Frame]:
    for index, cell in enumerate(cells):
        place = _place("cells", index, cell, ("name", "oxides", "atoms"))
        try:
            composition = compose(cell["oxides"], cell.get("reduced") or {}, int(cell["atoms"]))
            density = cell.get("density_g_cm3")
            density = estimate_density_g_cm3(composition) if density is None else float(density)
            for copy in range(int(cell.get("copies", 1))):
                packed = pack(composition, density, derive_seed(seed, "packed", index, copy), cell.get("minimum"))
                rattle = Variation(rattle=float(cell.get("rattle", 0.0)))
                yield (
                    vary(packed, rattle, derive_seed(seed, "rattled", index, copy)),
                    {
                        "kind": "packed",
                        "name": cell["name"],
                        "copy": copy,
                        "density_g_cm3": density,
                        "rattle": rattle.rattle,
                        "reduced_atoms": dict(composition.reduced),
                        "unpaired_electrons": composition.unpaired_electrons,
                    },
                )
        except InputError as error:
            raise InputError(f"{place}: {error}") from error


def _crystals(crystals: list[Mapping[str, Any]], seed: int) -> Iterator[Frame]:
    for index, crystal in enumerate(crystals):
        place = _place("crystals", index, crystal, ("name", "cif"))
        try:
            ideal = read_cif(crystal["cif"])
            first, second, third = (int(number) for number in crystal.get("repeat", (1, 1, 1)))
            variation = Variation(
                repeat=(first, second, third),
                remove={symbol: int(number) for symbol, number in (crystal.get("remove") or {}).items()},
                rattle=float(crystal.get("rattle", 0.0)),
                strain=float(crystal.get("strain", 0.0)),
            )
            for copy in range(int(crystal.get("copies", 1))):
                varied = vary(ideal, variation, derive_seed(seed, "crystal", index, copy))
                origin = {"kind": "crystal", "name": crystal["name"], "copy": copy}
                yield varied, {**origin, "rattle": variation.rattle, "strain": variation.strain}
        except InputError as error:
            raise InputError(f"{place}: {error}") from error


def _place(section: str, index: int, entry: Mapping[str, Any], needed: tuple[str, ...]) -> str:
    """Return where an entry stands, for messages, once it is known to have what is needed."""
    place = f"{section}[{index}] ({entry.get('name', 'no name')})"
    for key in needed:
        if key not in entry:
            raise InputError(f"{place}: `{key}` is missing.")
    return place
