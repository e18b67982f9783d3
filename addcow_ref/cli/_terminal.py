"""What is said beside the output: errors in one line, and a progress bar on a terminal."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Self

import click

__all__ = ["Progress", "open_closed_streams", "say"]

# Short work shows no bar.
_PATIENCE = 0.7


def say(message: str) -> None:
    """Say something in a line on standard error."""
    click.echo(f"addcow-img: {message}", err=True)


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
