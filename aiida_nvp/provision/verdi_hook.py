"""Install, remove and inspect the hook that gives ``verdi process`` its ``submit``.

AiiDA has neither such a sub-command nor an extension point for one; docs/decisions/0001-verdi-process-submit.md says
what follows from that.
"""

from __future__ import annotations

import sysconfig
from importlib.resources import files
from pathlib import Path

from aiida_nvp.common.errors import InputError
from aiida_nvp.provision.steps import Outcome

MODULE = "_aiida_nvp_verdi"
# Python runs the line at every start of this environment: it must cost nothing unless the program is verdi.
# `python -m aiida` shows itself in orig_argv only.
PTH_LINE = (
    "import sys, os; "
    "(os.path.splitext(os.path.basename((getattr(sys, 'argv', None) or [''])[0]))[0] == 'verdi' "
    "or sys.orig_argv[1:3] == ['-m', 'aiida']) "
    f"and __import__('{MODULE}')\n"
)


def site_folder() -> Path:
    """Return the site-packages of the running environment."""
    return Path(sysconfig.get_path("purelib"))


def hook_files(site: Path) -> dict[Path, str]:
    """Return the files of the hook with their text."""
    module = (files("aiida_nvp.provision") / "hook_module.py").read_text(encoding="utf-8")
    return {site / f"{MODULE}.py": module, site / f"{MODULE}.pth": PTH_LINE}


def is_installed(site: Path) -> bool:
    """Return whether both files are there in this version's wording."""
    return all(path.is_file() and path.read_text(encoding="utf-8") == text for path, text in hook_files(site).items())


def install(site: Path) -> Outcome[None]:
    """Write the hook into ``site``.

    :raises InputError: if the folder cannot be written.
    """
    if is_installed(site):
        return Outcome(None, "`verdi process submit` is there", changed=False)
    try:
        for path, text in hook_files(site).items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"the hook cannot be written to {site} ({error.strerror}); use a virtual environment of your own, "
            "or leave it out with `aiida-nvp setup --no-verdi-hook`."
        ) from error
    return Outcome(None, f"`verdi process submit` added in {site}", changed=True)


def remove(site: Path) -> Outcome[None]:
    """Delete the hook from ``site``."""
    present = [path for path in hook_files(site) if path.exists()]
    # The .pth file goes first: without its module it would make every start of verdi complain.
    for path in sorted(present, key=lambda path: path.suffix != ".pth"):
        path.unlink()
    sentence = f"`verdi process submit` removed from {site}" if present else "no hook is installed"
    return Outcome(None, sentence, changed=bool(present))
