"""How every page is made: one environment of templates, and files that are whole or not there."""

from __future__ import annotations

import os
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_environment(*, escape: bool = True) -> Environment:
    """Return the environment of the templates; a name that a template misspells is an error, not a gap.

    :param escape: for HTML; a page in Markdown takes values as they are.
    """
    return Environment(
        loader=PackageLoader("aiida_nvp.report"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under another name first, so that a reader never meets half of it; return its full path."""
    target = path.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{target.name}.part")
    temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(temporary, target)
    return target
