"""The logs of a trace, one for each strace that is started, put into one order.

A strace that is killed with its program leaves half a line: another that went on in the same log would be
taken for the rest of it.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.powerloss._strace import UNFINISHED, CannotTrace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Logs"]

# Longer than any string of a call that a program makes for one request.
_LONGEST_STRING = 16 << 20
# Whatever takes a descriptor or a path: a call that nobody has thought of must not go unseen.
_TRACED = "%file,%desc,%process,sync,mprotect,pkey_mprotect,io_submit,io_uring_setup,io_uring_enter"
# Of what is read the number of bytes is enough.
_RAW = "read,readv,pread64,preadv,preadv2"
_OPTIONS = f"-f -q -ttt -xx -y -s {_LONGEST_STRING} -e trace={_TRACED} -e raw={_RAW}"

# Bytes of all logs; those of a workload of a few operations have one or two million.
_LARGEST = 64 << 20


class _Line(NamedTuple):
    """A line, with what it is sorted by: marks before it, and seconds since the epoch."""

    marks: int
    time: float
    said: str


class Logs:
    """Where straces put what they see.

    Args:
        directory: a directory for the logs.

    Attributes:
        under: the words that run a command so that its calls, and those of all its children, are seen.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._marks: list[dict[Path, int]] = []
        # The shell has the number that strace has after it.
        self.under = ("sh", "-c", f'exec strace {_OPTIONS} -o "$0/$$" -- "$@"', str(directory))

    def mark(self) -> None:
        """What is said from now on comes after what has been said.

        Raises:
            CannotTrace: the logs are too long.
        """
        sizes = {path: path.stat().st_size for path in self._directory.iterdir()}
        if sum(sizes.values()) > _LARGEST:
            raise CannotTrace(f"the logs of the trace are longer than {_LARGEST} bytes")
        self._marks.append(sizes)

    def read(self) -> tuple[list[str], list[int]]:
        """All lines, and how many of them came before each mark. All programs must have ended.

        Raises:
            CannotTrace: the logs are too long, or a line is none of strace's.
        """
        self.mark()
        marks = range(len(self._marks) - 1)
        logs = (self._lines(path) for path in self._directory.iterdir())
        lines = sorted(chain.from_iterable(logs), key=lambda line: line[:2])
        return [line.said for line in lines], [sum(line.marks <= mark for line in lines) for mark in marks]

    def _lines(self, path: Path) -> Iterator[_Line]:
        at, marks, latest = 0, 0, 0.0
        said = path.read_bytes()
        for line in said.splitlines(keepends=True):
            while marks < len(self._marks) and self._marks[marks].get(path, 0) <= at:
                marks += 1
            at += len(line)
            process, _, rest = line.decode("latin-1").partition(" ")
            time, _, call = rest.lstrip().partition(" ")
            try:
                # A clock that is set back must not change the order of a log.
                latest = max(latest, float(time))
            except ValueError as error:
                raise CannotTrace(f"strace says what is not understood: {line[:200]!a}") from error
            # The call that a program was killed in is not told to its end.
            whole = call.removesuffix("\n") if line.endswith(b"\n") else call + UNFINISHED
            yield _Line(marks, latest, f"{process} {whole}")
