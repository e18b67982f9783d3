"""What was done to a target, as lines of a shell script that does it again without the suite."""

from __future__ import annotations

import base64
import os
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["HereDocument", "Transcript"]

# Bytes that the longest header has.
_HEADER = 4096

# What feeds a command that is to be killed, tells its process id first, and kills it after so many lines.
_FEED = '{ cat; while [ -e "$GO_ON" ]; do sleep 0.1; done; }'
_TELL = "sh -c 'echo $$; exec \"$@\"' sh"
_KILL = '{ read -r PID; head -n %d; kill -s KILL "$PID"; rm "$GO_ON"; }'


class HereDocument:
    """A command of a script, and what it reads from its standard input; its lines come one by one.

    Args:
        command: the command, as a shell has it.
        lines: the first lines; none of them is ``EOF``.
        answered: whether each line is answered by a line. A kill comes after the last answer then, else after
            a second.

    Attributes:
        killed: whether the command gets SIGKILL in place of the end of its input.
    """

    def __init__(self, command: str, lines: Iterable[str] = (), *, answered: bool = False) -> None:
        self._command = command
        self._answered = answered
        self._lines = list(lines)
        self.killed = False

    def add(self, line: str) -> None:
        """Add a line of its input."""
        self._lines.append(line)

    def __str__(self) -> str:
        body = "\n".join([*self._lines, "EOF"])
        if not self.killed:
            return f"{self._command} <<'EOF'\n{body}"
        if not self._answered:  # `$!` is the last process of the pipe
            return f"(cat; sleep 2) <<'EOF' | {self._command} &\n{body}\nsleep 1; kill -KILL $!; wait"
        return (
            f"GO_ON=$(mktemp)\n{_FEED} <<'EOF' | {_TELL} {self._command} | {_KILL % len(self._lines)}\n{body}"
        )


class Transcript:
    """Lines of a POSIX shell script, in the order in which things were done.

    Adapters add lines as they do what the lines say. Nothing is kept before the first `start`: a target may
    live long, and few want a script of it.
    """

    def __init__(self) -> None:
        self._pieces: list[str | HereDocument] = []
        self._prologue: Callable[[], Iterable[str]] | None = None

    def start(self, prologue: Callable[[], Iterable[str]] = tuple) -> None:
        """Forget what was done, and keep what is done from now on.

        Args:
            prologue: the lines that go before the first one, such as those that make the files; it is called
                when the first line is added, before that is done.
        """
        self._pieces, self._prologue = [], prologue

    @property
    def kept(self) -> bool:
        """Whether lines are kept."""
        return self._prologue is not None

    def add(self, piece: str | HereDocument) -> None:
        """Add what is about to be done; it may span lines, and a here-document may grow later."""
        if self._prologue is None:
            return
        if not self._pieces:
            self._pieces.extend(self._prologue())
        self._pieces.append(piece)

    @contextmanager
    def making(self, path: bytes) -> Iterator[None]:
        """In the body a new image is made at a path, with no bit set: a header, and zeros."""
        name = shlex.quote(os.fsdecode(path))
        header = HereDocument(f"base64 -d > {name}")
        self.add(header)
        yield
        if header in self:
            with open(path, "rb") as file:
                header.add(base64.b64encode(file.read(_HEADER).rstrip(b"\0")).decode())
            self.add(f"truncate -s {os.path.getsize(path)} {name}")

    def __contains__(self, piece: object) -> bool:
        return any(piece is held for held in self._pieces)

    @property
    def lines(self) -> tuple[str, ...]:
        """What was done so far."""
        return tuple(map(str, self._pieces))
