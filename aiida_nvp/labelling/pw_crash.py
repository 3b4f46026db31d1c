"""The last words of a pw.x that gave up."""

from __future__ import annotations

import re
from typing import Final

_ERROR: Final = re.compile(
    r"^\s*Error in routine\s+(?P<routine>\S+)\s+\((?P<code>-?\d+)\):\s*\n(?P<words>.*)$", re.MULTILINE
)
_MANIFOLD: Final = re.compile(
    r"^\s*(?P<element>\S+) pseudopotential contains the orbitals:(?P<there>.*)\n"
    r"\s*Requested Hubbard manifold.*:(?P<asked>.*)$",
    re.MULTILINE,
)
_WRITING: Final = re.compile(r"error (writing|opening)|no space left|davcio", re.IGNORECASE)


def last_words(stdout: str) -> str:
    """Return the last error that pw.x wrote to its standard output, as one sentence, or an empty string.

    Where a file could not be written, or U was asked for on a shell that is not there, the sentence adds what is to be
    looked at.
    """
    found = list(_ERROR.finditer(stdout))
    if not found:
        return ""
    routine, code, words = found[-1]["routine"], found[-1]["code"], found[-1]["words"].strip()
    return f"pw.x gave up in {routine} ({code}): {words}{_hint(stdout, routine, words)}"


def _hint(stdout: str, routine: str, words: str) -> str:
    if _WRITING.search(f"{routine} {words}"):
        return "; is the disk of the job's folder full?"
    shells = list(_MANIFOLD.finditer(stdout)) if "hubbard" in routine else []
    if not shells:
        return "" if words.endswith((".", "!")) else "."
    element, there, asked = (shells[-1][name].strip() for name in ("element", "there", "asked"))
    return f": U was asked for on {asked.lower()} of {element}, whose pseudopotential has {there.lower()}."
