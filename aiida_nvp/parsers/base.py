"""What all parsers of worker programs share: a failure becomes an exit code, never an exception."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aiida.common.exceptions import NotExistent
from aiida.engine import ExitCode
from aiida.parsers import Parser

from aiida_nvp.common.errors import InputError
from aiida_nvp.worker.job import ERROR_FILE, OUTPUT_FILE


class WorkerParser(Parser):
    """Read ``error.json`` or ``output.json``; a subclass turns the latter into nodes in :meth:`parse_output`."""

    def parse(self, **kwargs: Any) -> ExitCode | None:
        """Return the exit code of the job, or None after the outputs were attached."""
        try:
            names = self.retrieved.base.repository.list_object_names()
        except NotExistent:
            return self._exit("ERROR_NO_RETRIEVED")
        if ERROR_FILE in names:
            return self._reported_error()
        if OUTPUT_FILE not in names:
            return self._exit("ERROR_WORKER_KILLED", message=self._last_words(names))
        try:
            output = json.loads(self.retrieved.base.repository.get_object_content(OUTPUT_FILE, mode="r"))
            return self.parse_output(output, Path(kwargs.get("retrieved_temporary_folder", ".")))
        except (InputError, ValueError, KeyError, OSError) as error:
            return self._exit("ERROR_OUTPUT_INVALID", message=f"{type(error).__name__}: {error}")

    def parse_output(self, output: dict[str, Any], folder: Path) -> ExitCode | None:
        """Attach outputs made from ``output.json`` and from the files in ``folder``."""
        raise NotImplementedError

    def _reported_error(self) -> ExitCode:
        try:
            error = json.loads(self.retrieved.base.repository.get_object_content(ERROR_FILE, mode="r"))
            label, message = str(error["code"]), str(error["message"])
        except (ValueError, KeyError) as fault:
            return self._exit("ERROR_WORKER_FAILED", message=f"{ERROR_FILE} is unreadable ({fault})")
        if not hasattr(self.exit_codes, label):
            return self._exit("ERROR_WORKER_FAILED", message=f"{label}: {message}")
        return self._exit(label, message=message)

    def _exit(self, label: str, **values: str) -> ExitCode:
        # The scheduler may already have said more (out of memory, out of walltime): its word stands.
        if label == "ERROR_WORKER_KILLED" and self.node.exit_status:
            return ExitCode(self.node.exit_status, self.node.exit_message)
        code: ExitCode = getattr(self.exit_codes, label)
        return code.format(**values) if values else code

    def _last_words(self, names: list[str]) -> str:
        # A program that could not even start, or that was killed, leaves its shell's word in the scheduler's file.
        for option in ("output_filename", "scheduler_stderr"):
            name = self.node.get_option(option) or ""
            lines = self._lines(name) if name in names else []
            if lines:
                return f"Its last line: {lines[-1]}"
        return ""

    def _lines(self, name: str) -> list[str]:
        content: str = self.retrieved.base.repository.get_object_content(name, mode="r")
        return content.strip().splitlines()
