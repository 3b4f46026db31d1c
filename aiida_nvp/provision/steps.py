"""How provisioning speaks: one line a step, with what was done and how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """Result of one step.

    :param value: what later steps need.
    :param sentence: what the step did or found, for the user.
    :param changed: whether anything was made or altered; a repeated setup changes nothing.
    """

    value: T
    sentence: str
    changed: bool


class Steps:
    """Run steps in order and tell of each.

    :param write: receives one line a step.
    """

    def __init__(self, write: Callable[[str], None] = print) -> None:
        """Start with nothing done."""
        self._write = write
        self.changed: list[str] = []

    def do(self, name: str, step: Callable[..., Outcome[T]], *arguments: Any) -> T:
        """Run ``step(*arguments)``, print its sentence and return its value."""
        start = time.monotonic()
        outcome = step(*arguments)
        seconds = time.monotonic() - start
        if outcome.changed:
            self.changed.append(name)
        mark = "+" if outcome.changed else "="
        self._write(f"{mark} {name:<18} {outcome.sentence} ({seconds:.1f} s)")
        return outcome.value
