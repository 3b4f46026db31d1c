"""Labels that are finished and still deserve a look: chemistry, or a law of physics, says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from aiida_nvp.common.errors import InputError
from aiida_nvp.labelling.valence import oxidation_counts

NET_FORCE: Final = 0.05
"""eV/angstrom, on a cell; more is left where the grid of the density is coarse or the cycle stopped early."""


def valence_outlier(symbols: Sequence[str], found: Mapping[int, int | None]) -> str:
    """Return a sentence if the oxidation states of a label do not balance the charges of its cell, or an empty string.

    Nothing is said of an element of which a site is undecided or was not read: a sum that lacks a site proves nothing.

    :param symbols: of the N atoms.
    :param found: atom, from 0, to the oxidation state that its occupations show, None where they do not decide.
    """
    try:
        expected = oxidation_counts(symbols)
    except InputError:
        # A composition without a balance has nothing that a sum could be compared with.
        return ""
    faults = []
    for symbol, counts in expected.items():
        sites = [index for index, name in enumerate(symbols) if name == symbol]
        states = [state for index in sites if (state := found.get(index)) is not None]
        total, balanced = sum(states), sum(state * count for state, count in counts.items())
        if len(states) == len(sites) and total != balanced:
            shown = ", ".join(f"{symbol}{index} {found[index]:+d}" for index in sites)
            faults.append(
                f"oxidation states of {symbol} add up to {total:+d}, charge balance asks {balanced:+d} ({shown})"
            )
    return "; ".join(faults)


def unbalanced_forces(net: float | None) -> str:
    """Return a sentence if the forces of a label do not cancel, or an empty string.

    :param net: length of their sum before pw.x takes it off, eV/angstrom; None where nobody knows.
    """
    if net is None or net <= NET_FORCE:
        return ""
    return (
        f"forces add up to {net:.3f} eV/angstrom before pw.x takes the sum off, above {NET_FORCE:g}: the density needs "
        "a higher cutoff or the cycle a lower threshold"
    )
