"""SIGINT and SIGTERM end a command by an exception, so that workers end and half-written files go."""

from __future__ import annotations

import os
import signal

__all__ = ["SIGNALS", "Interrupted"]

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal ends the command."""


class _Signals:
    """The signals of the process.

    Attributes:
        first: number of the first one that came, 0 while there is none.
    """

    def __init__(self) -> None:
        self.first = 0
        self._owner = 0

    def watch(self) -> None:
        """Obey them from now on; one that the caller of the process had ignored stays ignored."""
        self._owner = os.getpid()
        for number in _WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._obey)

    @property
    def status(self) -> int:
        """The exit status that tells of the signal, as shells have it."""
        return 128 + self.first

    def check(self) -> None:
        """End the command if a signal came, and code that is not ours kept the exception to itself.

        Raises:
            Interrupted: one came.
        """
        if self.first:
            raise Interrupted

    def _obey(self, number: int, _frame: object) -> None:
        if os.getpid() != self._owner:
            os._exit(128 + number)
        if not self.first:
            # The next one would only disturb what is on its way out.
            self.first = number
            raise Interrupted


SIGNALS = _Signals()
