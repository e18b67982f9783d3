"""Errors as people read them: file, rule, what is wrong, what to do."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from addcow_spec.errors import AddCowError
from addcow_spec.rules import rule
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Failure", "about", "described"]

# Of rules of behaviour the catalogue speaks to who writes programs; this is for who runs them.
_ADVICE = {
    "ACW-BMP-004": "addcow-img stream copies them",
    "ACW-DYN-007": "see the size with addcow-img info",
    "ACW-DYN-010": "choose another name, or remove that file",
    "ACW-DYN-014": "end the program that has it open; info, map and compare can look past it with -U",
}


class Failure(click.ClickException):
    """The command has failed; the message is one line.

    Args:
        message: what is wrong.
        status: the exit status.

    Attributes:
        status: the same.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@contextmanager
def about(path: bytes, *, status: int = 1) -> Iterator[None]:
    """Blame what goes wrong inside on ``path``.

    Args:
        path: the file that the user named.
        status: exit status of the failure.

    Raises:
        Failure: the project or the system raised an error.
    """
    try:
        yield
    except AddCowError as error:
        raise Failure(described(error, path), status) from error
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise Failure(f"{printable(path)}: {reason}", status) from error


def described(error: AddCowError, path: bytes) -> str:
    """An error in one line: ``FILE: RULE: what; what to do``."""
    name = printable(path)
    what = str(error).removeprefix(name).lstrip(": ")
    identifier: str = getattr(error, "rule", "")
    if not identifier:
        return f"{name}: {what}"
    advice = _ADVICE.get(identifier) or _plain(rule(identifier).hint)
    return f"{name}: {identifier}: {what}; {advice}"


def _plain(hint: str) -> str:
    """A sentence as the end of another one."""
    first = hint[:1] if hint[1:2].isupper() else hint[:1].lower()
    return first + hint[1:].rstrip(".")
