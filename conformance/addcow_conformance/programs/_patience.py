"""What does not end is a finding, and no hang: an alarm around what an implementation is asked to do."""

from __future__ import annotations

import math
import signal
import time
from threading import get_ident, main_thread
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["Endless", "Patience"]

# Seconds; nothing that works comes near it.
_LIMIT = 60.0
# Then it rings each so many seconds: what it raises in a callback of the interpreter is lost.
_AGAIN = 1.0


class Endless(BaseException):
    """An implementation was not done in time. No `Exception`, so that none who catches all keeps it."""


class Patience:
    """Raises `Endless` in the body when the time is up.

    Python has alarms in its main thread alone; elsewhere there is no limit. One within another has the time
    anew, that of the outer one stands still meanwhile, and it costs no call of the system: the alarm that is
    set already is set anew if it rings too early.
    """

    __slots__ = ("_before", "_began", "_handler", "_on", "_until")
    # How many there are, one within the other, in which thread, and when the time of the innermost is up.
    _depth: ClassVar[int] = 0
    _thread: ClassVar[int | None] = None
    _end: ClassVar[float] = math.inf

    def __enter__(self) -> None:
        if not Patience._depth:
            Patience._thread = main_thread().ident
        self._on = get_ident() == Patience._thread
        if self._on:
            self._began = time.monotonic()
            self._until, Patience._end = Patience._end, self._began + _LIMIT
            Patience._depth += 1
            if Patience._depth == 1:
                self._handler = signal.signal(signal.SIGALRM, self._ring)
                self._before = signal.setitimer(signal.ITIMER_REAL, _LIMIT, _AGAIN)

    def __exit__(self, *_: object) -> None:
        if self._on:
            Patience._end = self._until + time.monotonic() - self._began
            Patience._depth -= 1
            if not Patience._depth:
                signal.setitimer(signal.ITIMER_REAL, *self._before)
                signal.signal(signal.SIGALRM, self._handler)

    @staticmethod
    def _ring(_number: int, _frame: FrameType | None) -> None:
        # Another's timer, such as libFuzzer's, may ring just before this one is set, and just after.
        left = Patience._end - time.monotonic()
        if left <= 0:
            raise Endless(f"not done within {_LIMIT:g} seconds")
        if left < math.inf:
            signal.setitimer(signal.ITIMER_REAL, left, _AGAIN)
