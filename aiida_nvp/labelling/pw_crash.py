"""The last words of a pw.x that gave up."""

from __future__ import annotations

import re
from typing import Final

_ERROR: Final = re.compile(
    r"^\s*Error in routine\s+(?P<routine>\S+)\s+\((?P<code>-?\d+)\):\s*\n(?P<words>.*)$", re.MULTILINE
)
_WRITING: Final = re.compile(r"error (writing|opening)|no space left|davcio", re.IGNORECASE)


def last_words(stdout: str) -> str:
    """Return the last error that pw.x wrote to its standard output, as one sentence, or an empty string.

    Where a file could not be written the sentence adds what is to be looked at.
    """
    found = list(_ERROR.finditer(stdout))
    if not found:
        return ""
    routine, code, words = found[-1]["routine"], found[-1]["code"], found[-1]["words"].strip()
    hint = "; is the disk of the job's folder full?" if _WRITING.search(f"{routine} {words}") else "."
    return f"pw.x gave up in {routine} ({code}): {words}{hint}"
