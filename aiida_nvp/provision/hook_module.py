"""Add ``submit`` to ``verdi process``; copied beside a ``.pth`` file that imports it when the program is verdi.

This file stands alone: it must do no harm when aiida-nvp has been uninstalled or AiiDA has changed.
``aiida-nvp verdi-hook remove`` deletes it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_TARGET = "aiida.cmdline.commands.cmd_process"


class _Finder:
    """Let the usual machinery find the one module, then add to it what it lacks."""

    @classmethod
    def find_spec(
        cls, name: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _TARGET:
            return None
        sys.meta_path.remove(cls)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                _add_submit(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _add_submit(module: ModuleType) -> None:
    try:
        # A future AiiDA that has the command itself wins.
        if "submit" not in module.verdi_process.commands:
            command = importlib.import_module("aiida_nvp.cli.submit").submit
            module.verdi_process.add_command(command, "submit")
    except Exception as error:  # noqa: BLE001 - whatever is wrong with us, verdi has to work
        print(f"aiida-nvp: `verdi process submit` is not available: {error}", file=sys.stderr)


sys.meta_path.insert(0, _Finder)
