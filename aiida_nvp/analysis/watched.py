"""What is watched of the replicas of an exploration; light, because the daemon checks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiida_nvp.common.errors import InputError

BIN_WIDTH = 0.25
"""Of a partial g(r), angstrom: a short run fills no finer bins."""


@dataclass(frozen=True)
class Watched:
    """What is measured.

    :param pairs: ``centre-ligand`` to the longest bond in angstrom: coordination of the centre, and partial g(r).
    :param formers: species whose Q^n are counted; each needs its pair.
    :param mobile: species whose mean square displacement is followed.
    :raises InputError: if a former has no pair, or not exactly one.
    """

    pairs: Mapping[str, float] = field(default_factory=dict)
    formers: tuple[str, ...] = ()
    mobile: str | None = None

    def __post_init__(self) -> None:
        """Check the formers."""
        for former in self.formers:
            self.pair_of(former)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Watched:
        """Return what plain values ask for.

        :raises InputError: for values of another kind.
        """
        try:
            pairs = {str(pair): float(length) for pair, length in dict(values.get("pairs") or {}).items()}
            return cls(pairs, tuple(values.get("formers") or ()), values.get("mobile"))
        except (TypeError, ValueError) as error:
            raise InputError(f"observables: pairs are `P-O: 2.2`, formers a list of species ({error}).") from error

    def pair_of(self, former: str) -> str:
        """Return the pair in which the former is the centre.

        :raises InputError: if there is none, or more than one.
        """
        found = [pair for pair in self.pairs if pair.split("-")[0] == former]
        if len(found) != 1:
            raise InputError(f"observables: to count Q^n of {former}, give one pair `{former}-O: longest bond`.")
        return found[0]
