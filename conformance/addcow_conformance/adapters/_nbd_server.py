"""The program of `nbd:` while it serves an image: a process, and what its end says."""

from __future__ import annotations

import os
import re
import signal
import time
import weakref
from typing import TYPE_CHECKING, NoReturn

from addcow_conformance.adapters._process import Process
from addcow_spec.errors import (
    AdapterError,
    CannotStart,
    Crashed,
    InvalidImage,
    ProtocolViolation,
    SanitizerReport,
    TimedOut,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Server"]

# Seconds between two looks whether it listens, and until a connection that was lost is followed by its end.
_LOOK, _LAST_WORDS = 0.002, 1.0
_RULE = re.compile("ACW-[A-Z][A-Z0-9]{2}-[0-9]{3}")
# What a shell says of a command that it cannot run, and what it adds to the number of a signal.
_NOT_FOUND, _SIGNAL, _SIGNALS = {126, 127}, 128, 64
_BACKGROUND = "it goes into the background, and has to stay in the foreground"
# To be ended by SIGTERM is as good as to obey it: everything was flushed before.
_ORDERLY = {0, -signal.SIGTERM}


class Server:
    """A program that is started to serve one image.

    Args:
        command: its words.
        directory: its working directory.
        socket: where it is to listen; nothing is there yet.

    Raises:
        CannotStart: there is no such program.
    """

    def __init__(self, command: Sequence[str], directory: bytes, socket: str) -> None:
        self.socket = socket
        self._process = Process(command, lambda _: None, directory)
        # It ends with whoever has the server, however that comes about.
        self._finalizer = weakref.finalize(self, self._process.kill)

    def await_socket(self, until: float) -> None:
        """Return when its socket is there.

        Args:
            until: when to give up, by the monotonic clock.

        Raises:
            InvalidImage: it has ended, with a status that says that it serves no such image.
            AdapterError: it has ended otherwise, or has not come so far in time.
        """
        while not os.path.exists(self.socket):
            self.pause(until)

    def pause(self, until: float) -> None:
        """Wait a moment for it to come further; see `await_socket`."""
        if self._process.has_ended():
            self.refuse()
        if time.monotonic() >= until:
            self._process.kill()
            self._fail(TimedOut("it does not listen in time"))
        time.sleep(_LOOK)

    def refuse(self) -> NoReturn:
        """Say why nothing is served; it has ended, or is about to.

        Raises:
            InvalidImage: it has ended, with a status that says that it serves no such image.
            AdapterError: anything else.
        """
        ended = self._process.ends_within(_LAST_WORDS)
        self._process.kill()
        if not ended:
            self._fail(ProtocolViolation("it listens, and does not offer a disk"))
        status = self._process.status
        if status == 0 and os.path.exists(self.socket):
            self._fail(CannotStart(_BACKGROUND))
        if status in _NOT_FOUND:
            self._fail(CannotStart(self._process.how))
        if status <= 0 or _SIGNAL < status <= _SIGNAL + _SIGNALS:
            self._fail(Crashed(f"{self._process.how}, and has served nothing"))
        self._check_sanitizer()
        said = self._process.said
        rule = next((found[0] for line in said if (found := _RULE.search(line))), "")
        raise InvalidImage(said[-1] if said else self._process.how, rule=rule)

    def _check_sanitizer(self) -> None:
        """Raise what a sanitizer has said, if it has: a SanitizerReport; the program is ended then."""
        if self._process.sanitizer:
            self._process.kill()
            self._fail(SanitizerReport(self._process.sanitizer))

    def check_running(self, *, lost: bool) -> None:
        """Check that it runs.

        Args:
            lost: whether the connection was lost, so that its end is near.

        Raises:
            AdapterError: it has ended, or is lost and runs on.
        """
        if self._process.ends_within(_LAST_WORDS if lost else 0):
            self._process.kill()
            away = self._process.status == 0 and not lost
            self._fail(CannotStart(_BACKGROUND) if away else Crashed(self._process.how))
        if lost:
            self._process.kill()
            self._fail(ProtocolViolation("it has hung up, and runs on"))
        self._check_sanitizer()

    def _fail(self, error: AdapterError) -> NoReturn:
        if self._process.sanitizer and not isinstance(error, SanitizerReport):
            error = SanitizerReport(f"{self._process.sanitizer}; {error}")
        error.said = self._process.said
        raise error

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    # --- the end

    def kill(self) -> None:
        """End it by SIGKILL.

        Raises:
            AdapterError: it had ended before, or a sanitizer has said something.
        """
        how = self._process.kill()
        self._finalizer.detach()
        if how:
            self._fail(Crashed(how))
        self._check_sanitizer()

    def end(self, seconds: float) -> None:
        """End it by SIGTERM.

        Args:
            seconds: how long it may take.

        Raises:
            AdapterError: it does not end, or not as it should.
        """
        ended = self._process.terminate(seconds)
        self._finalizer.detach()
        if not ended:
            self._fail(TimedOut(f"it goes on for {seconds:g} seconds after SIGTERM"))
        if self._process.status not in _ORDERLY:
            self._fail(Crashed(f"{self._process.how}, when it was told to end"))
        self._check_sanitizer()

    def drop(self) -> tuple[str, ...]:
        """End it by SIGKILL, whatever it did; its last words."""
        self._process.kill()
        self._finalizer.detach()
        return self._process.said
