"""What is said: the output, errors and warnings in one line each, and a progress bar on a terminal."""

from __future__ import annotations

import errno
import os
import sys
import time
from contextlib import suppress
from typing import Any, Self, TextIO

import click

from addcow_ref.cli._errors import Failure
from addcow_ref.cli._signals import SIGNALS
from addcow_spec.text import printable

__all__ = ["Progress", "complain", "drop_output", "open_closed_streams", "say", "shown", "tell", "warn"]

# Short work shows no bar.
_PATIENCE = 0.7


def tell(text: str, *, newline: bool = True, status: int = 1) -> None:
    """Write to standard output, at once.

    Args:
        text: what to write.
        newline: whether a line ends there.
        status: exit status where it fails.

    Raises:
        Failure: it failed, through no fault of any image.
        SystemExit: the reader has gone, and nothing more can be said; or a signal ended the wait for it.
    """
    try:
        with SIGNALS.waiting():
            click.echo(text, nl=newline)
    except OSError as error:
        drop_output()
        if error.errno == errno.EPIPE:
            raise SystemExit(status) from error
        raise Failure(f"standard output: {os.strerror(error.errno or 0)}", status) from error
    except SystemExit:
        drop_output()
        raise


def drop_output() -> None:
    """Send standard output nowhere: what it still holds must not fail, or wait, a second time on exit."""
    _drop(sys.stdout)


def _drop(stream: TextIO) -> None:
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def complain(line: str) -> None:
    """Say something in a line on standard error; where even that fails, nobody is there to be told."""
    try:
        click.echo(shown(line), err=True)
    except OSError:
        _drop(sys.stderr)


def say(message: str) -> None:
    """Say something about the command in a line on standard error."""
    complain(f"addcow-img: {message}")


def warn(message: str) -> None:
    """Say in a line on standard error what is odd, and does not keep the command from its work."""
    say(f"warning: {message}")


def shown(text: str) -> str:
    """The text without what a terminal would obey; what is made printable already stays as it is."""
    return "".join(
        char if char.isprintable() else printable(char.encode("utf-8", "surrogateescape")) for char in text
    )


class Progress:
    """A progress bar on standard error, if that is a terminal and the work takes longer than a moment.

    Args:
        label: what is going on.
        at_once: whether to show it without waiting.
        quiet: whether to show nothing.
    """

    def __init__(self, label: str, *, at_once: bool, quiet: bool) -> None:
        self._label = label
        self._enabled = not quiet and sys.stderr.isatty()
        self._from = time.monotonic() + (0 if at_once else _PATIENCE)
        self._bar: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` is done."""
        if not self._enabled or not total or time.monotonic() < self._from:
            return
        if self._bar is None:
            self._bar = click.progressbar(length=total, label=self._label, file=sys.stderr)
        self._bar.update(done - self._bar.pos)


def open_closed_streams() -> None:
    """Give the standard streams a place to go where the caller closed them.

    Else the first file to be opened would take their number, and what is said would go into it.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+", encoding="utf-8"))  # noqa: SIM115 - open until the end
