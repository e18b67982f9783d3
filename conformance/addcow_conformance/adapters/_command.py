"""A program that is run for an answer, or spoken to by lines: what it says, in bytes, and how it ends.

It is the leader of a process group of its own; only that group is ever signalled, and the leader is reaped
after the last signal.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import time
import weakref
from contextlib import suppress
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.adapters._descendants import all_ended, descendants
from addcow_conformance.adapters._last_words import SANITIZER
from addcow_conformance.adapters._process import how_ended
from addcow_conformance.adapters._shell import shell_word
from addcow_spec.errors import (
    AdapterError,
    CannotStart,
    Crashed,
    ProtocolViolation,
    SanitizerReport,
    TimedOut,
)
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_spec.model import Revision

__all__ = ["Child", "Place", "Ran", "Words", "refusal", "run", "shell_line"]

Words = tuple[str | bytes, ...]

# Bytes that are read at once, and that a pipe may hold at most.
_CHUNK, _PIPE = 1 << 16, 1 << 20
# Bytes of standard output where no more is expected than words, and of standard error that are kept.
_OUTPUT, _ERRORS = 8 << 20, 1 << 18
# Lines of standard error that are shown, and bytes of each.
_LINES, _LINE = 20, 400
# Seconds that the processes of a group may take to be gone after SIGKILL.
_GONE = 1.0

# A warning is no reason, whatever it names.
_WARNING = re.compile(rb"\bwarning: ", re.IGNORECASE)
_RULE = re.compile(rb"\bACW-[A-Z]{3}-[0-9]{3}\b")


class Place(NamedTuple):
    """An image as a command line names it.

    Attributes:
        path: its path.
        directory: where the command is run; None where that is no matter.
        revision: revision of the format.
    """

    path: bytes
    directory: bytes | None
    revision: Revision


class Ran(NamedTuple):
    """What a program has said, and its exit status, 0 or more."""

    status: int
    out: bytes
    err: bytes


def refusal(ran: Ran) -> tuple[str, str]:
    """Why a program refused: its last line, fit to be shown, and the first rule that it names, or empty."""
    errors, output = (
        [line for line in text.splitlines() if line.strip() and not _WARNING.search(line)]
        for text in (ran.err, ran.out)
    )
    rule = _RULE.search(b"\n".join(errors + output))
    last = (errors or output or [f"exit status {ran.status}, and not a word".encode()])[-1]
    reason = printable(last[:_LINE].strip())
    return reason, rule[0].decode() if rule else ""


class Child:
    """A process that is started at once, and ends with whoever has it.

    Args:
        words: the words of the command.
        data: all of its standard input; None for a pipe, see `tell`.
        limit: bytes of standard output that it may print before they are taken.
        directory: its working directory; None for that of this process.

    Raises:
        CannotStart: there is no such program.
    """

    def __init__(
        self, words: Words, *, data: bytes | None = None, limit: int = _OUTPUT, directory: bytes | None = None
    ) -> None:
        self._out, self._err, self._last_words = bytearray(), bytearray(), b""
        self._limit = limit
        with TemporaryFile() as file:
            file.write(data or b"")
            file.seek(0)
            try:
                self._process = subprocess.Popen(  # noqa: S603 - to run the user's command is what is asked
                    words,
                    stdin=subprocess.PIPE if data is None else file,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    cwd=directory,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                said = error.strerror if isinstance(error, OSError) else str(error)
                raise CannotStart(f"{printable(os.fsencode(words[0]))}: {said}") from error
        self._watch = selectors.DefaultSelector()
        pidfd = os.pidfd_open(self._process.pid)
        self._watch.register(pidfd, selectors.EVENT_READ)
        for pipe, kept in ((self._process.stdout, self._out), (self._process.stderr, self._err)):
            assert pipe is not None  # noqa: S101 - they are pipes, as asked for above
            os.set_blocking(pipe.fileno(), False)
            self._watch.register(pipe, selectors.EVENT_READ, kept)
        self._finalizer = weakref.finalize(self, _end, self._process, self._watch, pidfd)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def tell(self, line: bytes) -> None:
        """Write to its input. What it does not read stays in the pipe, and is no concern of ours."""
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        os.set_blocking(self._process.stdin.fileno(), False)
        with suppress(OSError):  # its end, or its silence, is seen by who waits for an answer
            os.write(self._process.stdin.fileno(), line)

    def hear(self, until: float, enough: Callable[[bytearray], bool] = lambda _: False) -> bool:
        """Take what it says; whether that was enough before it ended.

        Args:
            until: when to give up, by the monotonic clock.
            enough: given all of standard output since `taken`; whether nothing more is waited for.

        Raises:
            ProtocolViolation: it prints too much; it has been ended, as in what follows.
            TimedOut: it goes on for too long.
        """
        while not enough(self._out):
            events = self._watch.select(max(until - time.monotonic(), 0))
            if not events or time.monotonic() > until:  # who chatters is never silent
                raise self.failed(TimedOut("there was no answer in time"))
            ended = any(key.data is None for key, _ in events)
            for pipe in (self._process.stdout, self._process.stderr):
                self._take(pipe, all_of_it=ended)
            if len(self._out) > self._limit:
                raise self.failed(ProtocolViolation(f"it prints more than {self._limit} bytes"))
            if ended:
                return False
        self._take(self._process.stderr, all_of_it=True)
        return True

    def _take(self, pipe: object, *, all_of_it: bool) -> None:
        """Take a chunk, or all that a pipe may hold; not more, as somebody may go on to fill it."""
        key = next((key for key in self._watch.get_map().values() if key.fileobj is pipe), None)
        for _ in range(_PIPE // _CHUNK if all_of_it else 1):
            chunk = b""
            if key is not None:
                with suppress(BlockingIOError):
                    chunk = os.read(key.fd, _CHUNK)
                    if not chunk:
                        self._watch.unregister(key.fileobj)
                key.data.extend(chunk)
                del self._err[:-_ERRORS]
            if not chunk:
                return

    def taken(self) -> tuple[bytes, bytes]:
        """What it said since this was asked last: standard output, and the end of standard error.

        Raises:
            SanitizerReport: that is a sanitizer's; the process has been ended.
        """
        if self._sanitizer:
            raise self.failed(SanitizerReport(self._sanitizer))
        out, err = bytes(self._out), bytes(self._err)
        self._out.clear()
        self._err.clear()
        self._last_words = err
        return out, err

    @property
    def _sanitizer(self) -> str:
        """The first line of a sanitizer's report, fit to be shown; empty without one."""
        lines = (line for line in self._err.splitlines() if SANITIZER.search(line))
        return printable(bytes(next(lines, b"")[:_LINE]).rstrip())

    def kill(self) -> int | None:
        """SIGKILL to all of its group; the exit status, below 0 a signal, if it had ended before."""
        before = self._finalizer.alive and os.waitid(
            os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT
        )
        self._finalizer()
        return self._process.returncode if before else None

    def failed(self, error: AdapterError) -> AdapterError:
        """End it; the error with its last words, or the report of a sanitizer that is behind it."""
        self.kill()
        if self._sanitizer and not isinstance(error, SanitizerReport):
            error = SanitizerReport(f"{self._sanitizer}; {error}")
        said = bytes(self._err) or self._last_words
        error.said = tuple(printable(line[:_LINE].rstrip()) for line in said.splitlines()[-_LINES:])
        return error

    def status(self, doing: str) -> int:
        """The exit status, 0 or more, of one that has ended.

        Args:
            doing: what it was to do, for errors.

        Raises:
            Crashed: a signal has ended it.
        """
        status = self.kill()
        if status is None or status < 0:
            how = how_ended(status) if status is not None else "it was ended"
            raise self.failed(Crashed(f"{how}, and has not done {doing}"))
        return status


def _end(process: subprocess.Popen[bytes], watch: selectors.BaseSelector, pidfd: int) -> None:
    with descendants(process.pid) as below:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        all_ended(below, _GONE)
    watch.close()
    os.close(pidfd)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def run(
    words: Words,
    *,
    timeout: float,
    doing: str,
    data: bytes = b"",
    limit: int = _OUTPUT,
    directory: bytes | None = None,
) -> Ran:
    """Run a program to its end.

    Args:
        words: the words of the command.
        timeout: seconds that it may take.
        doing: what it is to do, for errors.
        data: all of its standard input.
        limit: bytes that it may print.
        directory: its working directory; None for that of this process.

    Raises:
        AdapterError: it cannot be started, does not end in time, crashes, or prints too much.
    """
    child = Child(words, data=data, limit=limit, directory=directory)
    try:
        child.hear(time.monotonic() + timeout)
        out, err = child.taken()
        return Ran(child.status(doing), out, err)
    finally:
        child.kill()


def shell_line(words: Words, directory: bytes | None = None) -> str:
    """The command as a line of a shell, in that directory or wherever the shell is."""
    line = " ".join(map(shell_word, words))
    return line if directory is None else f"(cd {shell_word(directory)} && exec {line})"
