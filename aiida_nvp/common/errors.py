"""Errors that speak to the user in one sentence."""

from __future__ import annotations


class InputError(ValueError):
    """Raised for input that a user can correct; the message says what is wrong, where, and what would be right."""


class WorkerError(RuntimeError):
    """Raised inside a worker program for a failure that has a documented exit code.

    :param code: label of the exit code, for example ``ERROR_TRAINING_DIVERGED``.
    :param message: one sentence for the user.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
