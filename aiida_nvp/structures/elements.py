"""What is known about each element of an oxide glass: charges, spins, bond lengths. Another element is another line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aiida_nvp.common.errors import InputError

ANION: Final = "O"
ANION_CHARGE: Final = -2


@dataclass(frozen=True)
class OxideElement:
    """One cation.

    :param charge: full oxidation state, that of its common oxide.
    :param bond: usual cation-oxygen distance in glasses, angstrom (from the radii of Shannon 1976,
        10.1107/S0567739476001551, with oxygen at 1.36).
    :param coordination: usual number of oxygens around it.
    :param rigid: whether that number is nearly always kept, as in PO4 and SiO4.
    :param reduced: the oxidation state one electron below ``charge``, or None where glasses do not show it.
    :param unpaired: unpaired electrons of the (full, reduced) state in high spin.
    """

    charge: int
    bond: float
    coordination: int
    rigid: bool = False
    reduced: int | None = None
    unpaired: tuple[int, int] = (0, 0)

    @property
    def bond_valence(self) -> float:
        """Charge that each of the usual bonds carries (Pauling 1929, 10.1021/ja01379a006)."""
        return self.charge / self.coordination


CATIONS: Final[dict[str, OxideElement]] = {
    "H": OxideElement(1, 0.98, 1, rigid=True),
    "Li": OxideElement(1, 1.98, 4),
    "Na": OxideElement(1, 2.35, 5),
    "K": OxideElement(1, 2.72, 6),
    "Rb": OxideElement(1, 2.88, 7),
    "Cs": OxideElement(1, 3.05, 8),
    "Mg": OxideElement(2, 2.03, 5),
    "Ca": OxideElement(2, 2.36, 6),
    "Sr": OxideElement(2, 2.54, 7),
    "Ba": OxideElement(2, 2.74, 8),
    "Zn": OxideElement(2, 1.96, 4),
    "Pb": OxideElement(2, 2.33, 4),
    "Cu": OxideElement(2, 1.96, 4, reduced=1, unpaired=(1, 0)),
    "Mn": OxideElement(3, 2.00, 6, reduced=2, unpaired=(4, 5)),
    "Fe": OxideElement(3, 1.92, 5, reduced=2, unpaired=(5, 4)),
    "B": OxideElement(3, 1.38, 3, rigid=True),
    "Al": OxideElement(3, 1.76, 4, rigid=True),
    "Bi": OxideElement(3, 2.30, 5),
    "La": OxideElement(3, 2.50, 7),
    "Si": OxideElement(4, 1.62, 4, rigid=True),
    "Ge": OxideElement(4, 1.75, 4, rigid=True),
    "Ti": OxideElement(4, 1.92, 5, reduced=3, unpaired=(0, 1)),
    "Zr": OxideElement(4, 2.08, 6),
    "Te": OxideElement(4, 1.95, 4),
    "P": OxideElement(5, 1.54, 4, rigid=True),
    "V": OxideElement(5, 1.85, 5, reduced=4, unpaired=(0, 1)),
    "Nb": OxideElement(5, 1.97, 6, reduced=4, unpaired=(0, 1)),
    "Mo": OxideElement(6, 1.85, 5, reduced=5, unpaired=(0, 1)),
    "W": OxideElement(6, 1.86, 5, reduced=5, unpaired=(0, 1)),
}


def cation(symbol: str) -> OxideElement:
    """Return the entry of ``symbol``.

    :raises InputError: if the table has no such cation.
    """
    if symbol not in CATIONS:
        raise InputError(f"no oxide of `{symbol}` is known here; known cations: {', '.join(sorted(CATIONS))}.")
    return CATIONS[symbol]
