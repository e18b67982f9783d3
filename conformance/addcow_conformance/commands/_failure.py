"""Exit statuses, and the error that carries one."""

from __future__ import annotations

import click

__all__ = ["DONE", "FAILED", "INTERNAL", "UNAVAILABLE", "USAGE", "VIOLATED", "Failure"]

DONE = 0
FAILED = 1
USAGE = 64
UNAVAILABLE = 69
INTERNAL = 70
VIOLATED = 77


class Failure(click.ClickException):
    """The command has failed; the message is one line.

    Args:
        message: what is wrong.
        status: the exit status.

    Attributes:
        status: the same.
    """

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status
