"""A process that a slice starts: its lines, as they come, and its end.

It leads a process group of its own, and only that group is ever signalled. The leader is reaped after the
last signal, so that its number cannot be somebody else's by then.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from addcow_fuzz._environment import PARENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

__all__ = ["Child"]

_LONGEST_LINE = 1 << 16
# Seconds between two looks at the clock, and those that a process has to end in after SIGTERM.
_LOOK, _GRACE = 0.1, 2.0


class Child:
    """A process that is started at once, and gone when the block is left.

    Args:
        command: its words.
        environment: variables besides those of this process.
        heard: whether its output is read here, by `lines`; else it goes where that of this process goes.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, *, heard: bool = True
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if heard else None,
            stderr=subprocess.STDOUT if heard else None,
            env={**os.environ, **(environment or {}), PARENT: str(os.getpid())},
            start_new_session=True,
        )
        self._output = self._process.stdout
        self._status: int | None = None
        if self._output is not None:
            os.set_blocking(self._output.fileno(), False)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def lines(self) -> Iterator[str]:
        """The lines that it writes, each cut at 64 KiB, until it ends.

        An empty one comes at least ten times a second, so that who reads can look at the clock.
        """
        output = self._output
        assert output is not None  # noqa: S101 - it is heard
        held = b""
        while True:
            ready, _, _ = select.select([output], [], [], _LOOK)
            piece = output.read(_LONGEST_LINE) if ready else None
            if piece:
                *whole, held = (held + piece).split(b"\n")
                held = held[:_LONGEST_LINE]
                yield from (line[:_LONGEST_LINE].decode("utf-8", "replace") for line in whole)
            elif piece is not None or self._has_ended():  # what it has started may hold the pipe open
                break
            yield ""
        if held:
            yield held.decode("utf-8", "replace")

    def wait(self) -> int:
        """Wait until it ends by itself; the exit status, below 0 a signal."""
        while not self._ends_within(_GRACE):
            pass
        return self.end()

    def end(self) -> int:
        """End all of its group, if it has not ended; the exit status, below 0 a signal."""
        if self._status is None:
            if not self._ends_within(0):
                self._signal(signal.SIGTERM)
                self._ends_within(_GRACE)
            self._signal(signal.SIGKILL)
            self._status = self._process.wait()
            if self._output is not None:
                self._output.close()
        return self._status

    def _ends_within(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self._has_ended():
            if time.monotonic() >= until:
                return False
            time.sleep(0.01)
        return True

    def _has_ended(self) -> bool:
        """Whether the leader has ended; it is not reaped here."""
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
