r"""What strace says, taken apart: a line for each system call, or two where another thread came between.

Strings are asked for in hexadecimal throughout (``-xx``), so that no name and no data can look like
anything else: ``4242 pwrite64(3<\x2f\x61>, "\x62\x0a", 2, 512) = 2``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.programs import Unsupported
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["UNFINISHED", "Call", "CannotTrace", "descriptor", "number", "parse", "text"]

# How a line ends whose call goes on.
UNFINISHED = " <unfinished ...>"

_LINE = re.compile(r"(\d+) +(.+)", re.DOTALL)
_RESULT = r"(\?|-?\d+|0x[0-9a-f]+)(?:<([^<>]*)>)?(?:\(deleted\))?(?: (.*))?"
_CALL = re.compile(rf"(\w+)\((.*)\) += {_RESULT}", re.DOTALL)
_RESUMED = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_ERROR = re.compile(r"E[A-Z0-9_]+\b")
_BRACKET = re.compile(r"[][{}(),]")
_HEX = re.compile(r"(?:\\x[0-9a-f]{2})*")
_DESCRIPTOR = re.compile(r"(-?\d+|0x[0-9a-f]+|AT_FDCWD)(?:<([^<>]*)>(?:\(deleted\))?)?")


class CannotTrace(Unsupported):
    """What a program does to its files cannot be seen, or not be understood: it cannot be judged."""


class Call(NamedTuple):
    """A system call.

    Attributes:
        process: the thread that made it.
        name: its name.
        inside: its arguments, as they are printed.
        result: what it returned; None where it did not, as the process has ended.
        error: name of the error that it failed with, empty without one.
        path: path of the descriptor that it returned, empty without one.
        entered: number of the line on which it began.
        returned: number of the line on which it had returned; None where it did not.
    """

    process: int
    name: str
    inside: str
    result: int | None
    error: str
    path: bytes
    entered: int
    returned: int | None

    @property
    def arguments(self) -> list[str]:
        """Its arguments, each as it is printed."""
        found, start, depth = [], 0, 0
        for match in _BRACKET.finditer(self.inside):
            sign, at = match[0], match.start()
            if sign != ",":
                depth += 1 if sign in "[{(" else -1
            elif not depth:
                found.append(self.inside[start:at])
                start = at + 1
        return [part.strip() for part in (*found, self.inside[start:])]


def parse(lines: Iterable[str]) -> list[Call]:
    """The calls of a log in the order in which they began.

    Args:
        lines: its lines, without their ends.

    Raises:
        CannotTrace: a line is none of strace's.
    """
    found: list[Call] = []
    # By thread: where the call is in what was found, and its beginning.
    open_: dict[int, tuple[int, str]] = {}
    for number_, line in enumerate(lines):
        thread, said = _thread(line)
        if said.startswith(("--- ", "+++ ")):
            continue
        resumed = _RESUMED.fullmatch(said)
        if resumed:
            if thread not in open_:
                raise _strange(line)
            at, begun = open_.pop(thread)
            if found[at].name != resumed[1]:
                raise _strange(line)
            found[at] = _call(thread, begun + resumed[2], found[at].entered, number_)
        elif said.endswith(UNFINISHED):
            begun = said.removesuffix(UNFINISHED)
            name, bracket, inside = begun.partition("(")
            if not bracket:
                raise _strange(line)
            # One that another line of the same thread has followed was ended with its process.
            open_[thread] = len(found), begun
            found.append(Call(thread, name, inside, None, "", b"", number_, None))
        else:
            open_.pop(thread, None)
            found.append(_call(thread, said, number_, number_))
    return found


def _thread(line: str) -> tuple[int, str]:
    match = _LINE.fullmatch(line)
    if match is None:
        raise _strange(line)
    return int(match[1]), match[2]


def _call(thread: int, said: str, entered: int, returned: int) -> Call:
    match = _CALL.fullmatch(said.replace(UNFINISHED + ")", ")"))
    if match is None:
        raise _strange(said)
    name, inside, result, path, tail = match.groups()
    error = _ERROR.match(tail or "")
    ended = result == "?" and not error
    return Call(
        thread,
        name,
        inside,
        None if result == "?" else int(result, 0),
        error[0] if error else "",
        _bytes(path or ""),
        entered,
        None if ended else returned,
    )


def _strange(line: str) -> CannotTrace:
    return CannotTrace(f"strace says what is not understood: {printable(line[:200].encode())}")


def _bytes(hexadecimal: str) -> bytes:
    if not _HEX.fullmatch(hexadecimal):
        raise _strange(hexadecimal)
    return bytes.fromhex(hexadecimal.replace("\\x", ""))


def text(argument: str) -> bytes:
    """The bytes of a string.

    Raises:
        CannotTrace: it is none, or is not all of it.
    """
    if len(argument) < 2 or argument[0] + argument[-1] != '""':
        raise _strange(argument)
    return _bytes(argument[1:-1])


def descriptor(argument: str) -> tuple[int | None, bytes]:
    """A descriptor, and the path of its file; None for the working directory, empty for no path.

    Raises:
        CannotTrace: it is none.
    """
    match = _DESCRIPTOR.fullmatch(argument)
    if match is None:
        raise _strange(argument)
    return None if match[1] == "AT_FDCWD" else int(match[1], 0), _bytes(match[2] or "")


def number(argument: str) -> int:
    """A number.

    Raises:
        CannotTrace: it is none.
    """
    try:
        return int(argument, 0)
    except ValueError as error:
        raise _strange(argument) from error
