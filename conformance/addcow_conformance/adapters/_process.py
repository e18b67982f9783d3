"""A program that is tried, as a process: its lines, its last words, and its end.

It is the leader of a process group of its own, and only that group is ever signalled. The leader is reaped
after the last signal, so that its number cannot be somebody else's by then.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from contextlib import nullcontext, suppress
from threading import Lock, Thread
from typing import IO, TYPE_CHECKING

from addcow_conformance.adapters._descendants import all_ended, descendants
from addcow_conformance.adapters._last_words import LastWords
from addcow_conformance.protocol import LONGEST_LINE
from addcow_spec.errors import CannotStart
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Process", "how_ended"]

# Seconds to end in, after the end of its input and after SIGTERM, and to say last words in.
_GRACE, _LAST_WORDS = 2.0, 1.0
_LOOK = 0.005


class Process:
    """A process that is started at once.

    Args:
        command: its words.
        heard: given each line of standard output, in a thread of its own; and None, once, at the end. Of a
            line that is too long as much as shows that it is.
        directory: its working directory; None for that of this process.

    Raises:
        CannotStart: there is no such program.
    """

    def __init__(
        self,
        command: Sequence[str],
        heard: Callable[[bytes | None], None],
        directory: str | bytes | None = None,
    ) -> None:
        self._status: int | None = None
        self._writing = Lock()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - to run the user's command is what is asked
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=directory,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else str(error)
            raise CannotStart(f"{printable(os.fsencode(command[0]))}: {said}") from error
        input_, output, errors = self._process.stdin, self._process.stdout, self._process.stderr
        assert input_ is not None  # noqa: S101 - they are pipes, as asked for above
        assert output is not None  # noqa: S101
        assert errors is not None  # noqa: S101
        self._input: IO[bytes] = input_
        self._words = LastWords(errors)
        os.set_blocking(input_.fileno(), False)
        self._readers = (
            Thread(target=_read_lines, args=(output, heard), daemon=True),
            Thread(target=self._words.listen, daemon=True),
        )
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def said(self) -> tuple[str, ...]:
        """The last lines of standard error, fit to be shown."""
        return self._words.said

    @property
    def sanitizer(self) -> str:
        """The first line of a sanitizer's report, fit to be shown; empty without one.

        What was reported before an answer is known with it.
        """
        self._words.take()
        return self._words.sanitizer

    def write(self, line: bytes, until: float) -> bool:
        """Write a line to its input; whether it was taken.

        Args:
            line: the line.
            until: when to give up, by the monotonic clock. A process that reads nothing must not stop us.

        Raises:
            TimeoutError: it was not taken in time.
        """
        view = memoryview(line)
        with self._writing:
            while view:
                try:
                    view = view[os.write(self._input.fileno(), view) :]
                except BlockingIOError:
                    left = until - time.monotonic()
                    if left <= 0:
                        raise TimeoutError from None
                    poll = select.poll()  # which takes any descriptor, however many are open
                    poll.register(self._input, select.POLLOUT)
                    poll.poll(left * 1000)
                except (OSError, ValueError):  # the pipe is broken, or closed
                    return False
        return True

    def has_ended(self) -> bool:
        """Whether the leader has ended; it need not have been reaped."""
        if self._status is not None:
            return True
        try:
            found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # another thread is reaping it
            return True
        return found is not None

    def ends_within(self, seconds: float) -> bool:
        """Whether the leader has ended, or does so within so many seconds."""
        until = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK)
        return True

    def _signal(self, number: int) -> None:
        if self._status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def kill(self) -> str:
        """SIGKILL to all of its group; how it ended, in words, if it had ended before.

        What the group had open is closed on return.
        """
        before = self.has_ended()
        self._kill_group()
        return self.how if before else ""

    def _kill_group(self) -> None:
        with descendants(self._process.pid) if self._status is None else nullcontext(()) as below:
            self._signal(signal.SIGKILL)
            self._reap()
            all_ended(below, _LAST_WORDS)

    def terminate(self, seconds: float) -> bool:
        """SIGTERM to all of its group, and SIGKILL to who goes on after that; whether nobody did.

        Args:
            seconds: how long to wait between the two, 0 or more.
        """
        until = time.monotonic() + seconds
        with descendants(self._process.pid) if self._status is None else nullcontext(()) as below:
            self._signal(signal.SIGTERM)
            ended = self.ends_within(seconds) and all_ended(below, max(until - time.monotonic(), 0))
            self._kill_group()
        return ended

    @property
    def status(self) -> int:
        """The exit status of one that has been ended; below 0, the signal."""
        assert self._status is not None  # noqa: S101 - it has been reaped
        return self._status

    @property
    def how(self) -> str:
        """How one that has been ended has ended, in words."""
        return how_ended(self.status)

    def end(self) -> str:
        """End it as the protocol has it, by the end of its input; what was wrong with that, in words.

        One that goes on gets SIGTERM, and then SIGKILL.
        """
        self._close_input()
        wrong = ""
        if not self.ends_within(_GRACE):
            wrong = "it goes on when its input has ended"
            self._signal(signal.SIGTERM)
            if not self.ends_within(_GRACE):
                wrong += ", and after SIGTERM"
        self._kill_group()
        return wrong or (self.how if self.status else "")

    def ended(self) -> str:
        """How it ended, in words; empty if it runs on. Its output ends before it does, so it has a moment."""
        return self.kill() if self.ends_within(_LAST_WORDS) else ""

    def _close_input(self) -> None:
        with self._writing, suppress(OSError):
            self._input.close()

    def _reap(self) -> None:
        if self._status is None:
            self._status = self._process.wait()
            self._close_input()
            for reader in self._readers:
                # What has left the group may hold the pipes open; it is not waited for.
                reader.join(_LAST_WORDS)


def how_ended(status: int) -> str:
    """How a process ended, in words."""
    if status >= 0:
        return f"it ended with exit status {status}"
    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was ended by signal {-status}"


def _read_lines(output: IO[bytes], heard: Callable[[bytes | None], None]) -> None:
    with output:
        while line := output.readline(LONGEST_LINE + 1):
            heard(line)
            if len(line) > LONGEST_LINE:
                break
    heard(None)
