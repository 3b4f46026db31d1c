"""What is known about each element of an oxide glass: charges, spins, bond lengths. Another element is another line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from aiida_nvp.common.errors import InputError

ANION: Final = "O"
ANION_CHARGE: Final = -2
BOND_VALENCE_SOFTNESS: Final = 0.37
"""The b of the bond valence exp((R0 - r) / b), angstrom, the same for all pairs (10.1107/S0108768185002063)."""


@dataclass(frozen=True)
class OxideElement:
    """One cation.

    :param charge: full oxidation state, that of its common oxide.
    :param bond: usual cation-oxygen distance in glasses, angstrom (from the radii of Shannon 1976,
        10.1107/S0567739476001551, with oxygen at 1.36).
    :param coordination: usual number of oxygens around it.
    :param rigid: whether that number is nearly always kept, as in PO4 and SiO4.
    :param spins: unpaired electrons in high spin of every oxidation state that oxides show, from ``charge`` downwards
        in steps of one electron.
    :param potentials: standard potential in water of each of these steps, volts to a tenth (Bard, Parsons and Jordan,
        Standard Potentials in Aqueous Solution, 1985). Only their order counts: it says which element of several takes
        an electron first, and in glass melts it is nearly the same (Schreiber et al., J. Am. Ceram. Soc. 67, C-106,
        1984).
    :param r0: length in angstrom of a cation-oxygen bond of valence one, by state as in ``spins``: Brown and Altermatt
        1985 (10.1107/S0108768185002063), for Si4+ and Ti3+ Brese and O'Keeffe 1991 (10.1107/S0108768190011041); None
        or left out where neither gives one.
    """

    charge: int
    bond: float
    coordination: int
    rigid: bool = False
    spins: tuple[int, ...] = (0,)
    potentials: tuple[float, ...] = ()
    r0: tuple[float | None, ...] = ()

    @property
    def bond_valence(self) -> float:
        """Charge that each of the usual bonds carries (Pauling 1929, 10.1021/ja01379a006)."""
        return self.charge / self.coordination

    @property
    def unit_length(self) -> float:
        """Length in angstrom of a bond of valence one in the full state; from the usual bonds where no R0 is known."""
        known = self.r0[0] if self.r0 else None
        return self.bond + BOND_VALENCE_SOFTNESS * math.log(self.bond_valence) if known is None else known

    @property
    def states(self) -> tuple[int, ...]:
        """Oxidation states, highest first."""
        return tuple(range(self.charge, self.charge - len(self.spins), -1))

    @property
    def reduced(self) -> int | None:
        """The oxidation state one electron below ``charge``, or None where glasses do not show it."""
        return self.states[1] if len(self.states) > 1 else None

    @property
    def unpaired(self) -> tuple[int, int]:
        """Unpaired electrons of the (full, reduced) state in high spin."""
        return self.spins[0], self.spins[1] if len(self.spins) > 1 else 0

    @property
    def open_shell(self) -> bool:
        """Whether any of its states has unpaired electrons."""
        return any(self.spins)

    def unpaired_in(self, state: int) -> int:
        """Return the unpaired electrons of one of its :attr:`states` in high spin."""
        return self.spins[self.charge - state]


CATIONS: Final[dict[str, OxideElement]] = {
    "H": OxideElement(1, 0.98, 1, rigid=True),
    "Li": OxideElement(1, 1.98, 4, r0=(1.466,)),
    "Na": OxideElement(1, 2.35, 5, r0=(1.803,)),
    "K": OxideElement(1, 2.72, 6, r0=(2.132,)),
    "Rb": OxideElement(1, 2.88, 7, r0=(2.263,)),
    "Cs": OxideElement(1, 3.05, 8, r0=(2.417,)),
    "Mg": OxideElement(2, 2.03, 5, r0=(1.693,)),
    "Ca": OxideElement(2, 2.36, 6, r0=(1.967,)),
    "Sr": OxideElement(2, 2.54, 7, r0=(2.118,)),
    "Ba": OxideElement(2, 2.74, 8, r0=(2.285,)),
    "Zn": OxideElement(2, 1.96, 4, r0=(1.704,)),
    "Pb": OxideElement(2, 2.33, 4, r0=(2.112,)),
    "Cu": OxideElement(2, 1.96, 4, spins=(1, 0), potentials=(0.2,), r0=(1.679, None)),
    "Mn": OxideElement(3, 2.00, 6, spins=(4, 5), potentials=(1.5,), r0=(1.760, 1.790)),
    "Fe": OxideElement(3, 1.92, 5, spins=(5, 4), potentials=(0.8,), r0=(1.759, 1.734)),
    "B": OxideElement(3, 1.38, 3, rigid=True, r0=(1.371,)),
    "Al": OxideElement(3, 1.76, 4, rigid=True, r0=(1.651,)),
    "Bi": OxideElement(3, 2.30, 5, r0=(2.094,)),
    "La": OxideElement(3, 2.50, 7, r0=(2.172,)),
    "Si": OxideElement(4, 1.62, 4, rigid=True, r0=(1.624,)),
    "Ge": OxideElement(4, 1.75, 4, rigid=True, r0=(1.748,)),
    "Ti": OxideElement(4, 1.92, 5, spins=(0, 1), potentials=(0.1,), r0=(1.815, 1.791)),
    "Zr": OxideElement(4, 2.08, 6, r0=(1.928,)),
    "Te": OxideElement(4, 1.95, 4, r0=(1.977,)),
    "P": OxideElement(5, 1.54, 4, rigid=True, r0=(1.617,)),
    "V": OxideElement(5, 1.85, 5, spins=(0, 1, 2), potentials=(1.0, 0.3), r0=(1.803, 1.784, 1.743)),
    "Nb": OxideElement(5, 1.97, 6, spins=(0, 1), potentials=(-0.3,), r0=(1.911, None)),
    "Mo": OxideElement(6, 1.85, 5, spins=(0, 1), potentials=(0.5,), r0=(1.907, None)),
    "W": OxideElement(6, 1.86, 5, spins=(0, 1), potentials=(0.0,), r0=(1.917, None)),
}


def cation(symbol: str) -> OxideElement:
    """Return the entry of ``symbol``.

    :raises InputError: if the table has no such cation.
    """
    if symbol not in CATIONS:
        raise InputError(f"no oxide of `{symbol}` is known here; known cations: {', '.join(sorted(CATIONS))}.")
    return CATIONS[symbol]
