"""What a pseudopotential in the UPF format says of itself."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_SHORT_NAMES = {
    "SLA PW PBX PBC": "PBE",
    "SLA PW PBE PBE": "PBE",
    "SLA PW PSX PSC": "PBESOL",
    "SLA PW REVX PBC": "REVPBE",
    "SLA PZ NOGX NOGC": "PZ",
    "SLA PW NOGX NOGC": "PW",
}


@dataclass(frozen=True)
class Pseudo:
    """What of a pseudopotential matters here.

    :param sha256: of its content.
    :param functional: as it names it, in capitals.
    :param z_valence: number of valence electrons; 0 where it does not say.
    """

    sha256: str
    functional: str
    z_valence: float


def read_upf(content: bytes) -> Pseudo:
    """Return what the text of a UPF file, of either version, says of itself."""
    text = content.decode(errors="replace")
    named = re.search(r'\bfunctional="([^"]*)"', text) or re.search(
        r"^(.*?)\s*Exchange-Correlation", text, re.MULTILINE
    )
    valence = re.search(r'\bz_valence="\s*([^"\s]+)', text) or re.search(r"^\s*(\S+)\s+Z valence", text, re.MULTILINE)
    return Pseudo(
        sha256=hashlib.sha256(content).hexdigest(),
        functional=short_name(named.group(1)) if named else "",
        z_valence=float(valence.group(1).lower().replace("d", "e")) if valence else 0.0,
    )


def short_name(name: str) -> str:
    """Return the name of a functional in capitals, the usual combinations of its parts by their short name."""
    parts = tuple(part for part in re.split(r"[\s+-]+", name.strip().upper()) if part)
    return _SHORT_NAMES.get(" ".join(parts[:4]), "-".join(parts))
