"""What a program says on its standard error: the last lines, and whether a sanitizer has reported."""

from __future__ import annotations

import os
import re
import select
from collections import deque
from threading import Lock
from typing import IO

from addcow_spec.text import printable

__all__ = ["SANITIZER", "LastWords"]

# Lines that are kept, and bytes of each.
_LINES, _LINE = 20, 400
# Bytes that are read at once, or taken for a line; and so many times that a pipe of any size is empty then.
_PIECE, _PIECES = 64 << 10, 16

# A line that a sanitizer's report begins with, or has in it.
SANITIZER = re.compile(
    rb"(==\d+==\s*|^)(ERROR|WARNING): \w*Sanitizer|SUMMARY: \w+Sanitizer|: runtime error: "
)


class LastWords:
    """The standard error of a process. It is read by a thread, and by whoever must know what is there by now.

    Args:
        errors: the pipe's end; `listen` closes it.

    Attributes:
        sanitizer: the first line of a sanitizer's report, fit to be shown; empty without one.
    """

    def __init__(self, errors: IO[bytes]) -> None:
        self.sanitizer = ""
        self._errors = errors
        self._said: deque[bytes] = deque(maxlen=_LINES)
        self._rest = b""
        self._ended = False
        self._lock = Lock()
        os.set_blocking(errors.fileno(), False)

    @property
    def said(self) -> tuple[str, ...]:
        """The last lines, fit to be shown."""
        return tuple(map(printable, self._said.copy()))

    def listen(self) -> None:
        """Take all until its end, in a thread of its own."""
        ready = select.poll()  # which takes any descriptor, however many are open
        ready.register(self._errors, select.POLLIN)
        with self._errors:
            while self.take():
                ready.poll()

    def take(self) -> bool:
        """Take what is there; whether more may come."""
        with self._lock:
            for _ in range(_PIECES):
                if self._ended:
                    break
                try:
                    data = os.read(self._errors.fileno(), _PIECE)
                except BlockingIOError:
                    break
                self._hear(data)
                self._ended = not data
            return not self._ended

    def _hear(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        if rest and not (data and len(rest) < _PIECE):
            lines, rest = [*lines, rest], b""
        self._rest = rest
        for line in lines:
            if not self.sanitizer and SANITIZER.search(line):
                self.sanitizer = printable(line[:_LINE].rstrip())
            self._said.append(line[:_LINE].rstrip())
