"""SIGINT and SIGTERM: noted whenever they come, obeyed only where nothing is half done.

An exception out of a signal handler may appear between any two instructions, and the engine's locks and bits
do not survive that. So the handler takes a note. Commands look at it between requests and pieces of work, and
nothing but waiting for a file of somebody else (a terminal, a pipe) is ended at once.
"""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SIGNALS"]

_WATCHED = (signal.SIGINT, signal.SIGTERM)


class _Signals:
    """The signals of the process.

    Attributes:
        first: number of the first one that came, 0 while there is none.
    """

    def __init__(self) -> None:
        self.first = 0
        self._waiting = False

    def watch(self) -> None:
        """Note them from now on; one that the caller of the process had ignored stays ignored."""
        for number in _WATCHED:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)

    @property
    def status(self) -> int:
        """The exit status that tells of the signal, as shells have it."""
        return 128 + self.first

    def obey(self) -> None:
        """End the command if a signal came; to be called where that loses nothing.

        Raises:
            SystemExit: with the status of the signal.
        """
        if self.first:
            raise SystemExit(self.status)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A signal ends what is done inside at once, so that no code of the engine may run there.

        One that comes in the instant before the kernel begins to wait is obeyed after the wait.

        Raises:
            SystemExit: with the status of the signal.
        """
        self._waiting = True
        try:
            self.obey()
            yield
        finally:
            self._waiting = False

    def _note(self, number: int, _frame: object) -> None:
        self.first = self.first or number
        if self._waiting:
            # The next one may come while this one takes its way out, through the engine.
            self._waiting = False
            self.obey()


SIGNALS = _Signals()
