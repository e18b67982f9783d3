"""Disks, operations and violations in words, and as data for JSON."""

from __future__ import annotations

import errno
import json
import shlex
from typing import TYPE_CHECKING, Any

from addcow_conformance.commands._output import TOOL, one_line, title
from addcow_conformance.programs import (
    Disk,
    Fault,
    Flush,
    Kill,
    Operation,
    Program,
    Race,
    Read,
    Reopen,
    Resize,
    Stream,
    Via,
    Write,
    Zeroes,
    dump_program,
)
from addcow_conformance.targets import REFERENCE
from addcow_spec.text import quantity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["disk_words", "numbered", "operation_words", "plain", "replay_command", "replayable", "violation"]

# Operations that are shown of a long program: the last ones.
_SHOWN = 200

_VIA = {Via.PATH: "", Via.SYMLINK: ", by a symbolic link", Via.DIRECTORY: ", from another working directory"}


def disk_words(disk: Disk) -> str:
    """A disk in a line."""
    if disk.backing:
        below = f"{disk.backing.kind} backing file of {_bytes(disk.backing.size)}"
    else:
        below = "no backing file"
    filled = f"filled with 0x{disk.fill:02x}" if disk.fill else "a hole"
    return (
        f"{disk.revision}, {_size(disk.size)}, {below}, image file {filled} beforehand, "
        f"{_bytes(disk.cache_size)} of cache for the bitmap"
    )


def _bytes(number: int) -> str:
    return f"{number} byte{'' if number == 1 else 's'}"


def _size(number: int) -> str:
    return f"{_bytes(number)} ({quantity(number)})" if number >= 1024 else _bytes(number)


def _read(step: Read) -> str:
    return f"read {_bytes(step.length)} at {step.offset}"


def _write(step: Write) -> str:
    fua = ", durable on return" if step.fua else ""
    return f"write {_bytes(step.length)} at {step.offset}, pattern {step.seed}{fua}"


def _zeroes(step: Zeroes) -> str:
    hole = "" if step.unmap else ", not as a hole"
    fua = ", durable on return" if step.fua else ""
    return f"write {_bytes(step.length)} of zeros at {step.offset}{hole}{fua}"


def _reopen(step: Reopen) -> str:
    return f"close, and open again{'' if step.writable else ' for reading'}{_VIA[step.via]}"


def _stream(step: Stream) -> str:
    if step.steps is None:
        return "stream to the end"
    return f"stream, stopped after {step.steps} step{'' if step.steps == 1 else 's'}"


def _fault(step: Fault) -> str:
    code = errno.errorcode.get(step.code, str(step.code))
    part = f", with {_bytes(step.partial)} of a write done" if step.partial else ""
    return f"let the next operation's storage call number {step.after + 1} fail with {code}{part}"


def _race(step: Race) -> str:
    first, second = operation_words(step.first), operation_words(step.second)
    return f"at once: {first}; {second}; the first waits before its storage call number {step.pause + 1}"


_WORDS: dict[type, Callable[[Any], str]] = {
    Read: _read,
    Write: _write,
    Zeroes: _zeroes,
    Flush: lambda _: "flush",
    Reopen: _reopen,
    Kill: lambda _: "kill without a flush, and open again",
    Resize: lambda step: f"resize to {_bytes(step.size)}",
    Stream: _stream,
    Fault: _fault,
    Race: _race,
}


def operation_words(operation: Operation) -> str:
    """An operation in a line."""
    return _WORDS[type(operation)](operation)


def numbered(operations: Sequence[Operation], *, indent: int, failing: int = 0) -> Iterator[str]:
    """The operations, a line each, from 1 up.

    Args:
        operations: the operations; of many the last are shown.
        indent: spaces before each line.
        failing: the one to mark; 0 for none.
    """
    left_out = max(0, len(operations) - _SHOWN)
    if left_out:
        yield f"{' ' * indent}      ({left_out} before)"
    for number, operation in enumerate(operations[left_out:], left_out + 1):
        mark = ">" if number == failing else " "
        yield f"{' ' * indent}{mark} {number:3}  {operation_words(operation)}"


def plain(program: Program) -> dict[str, Any]:
    """A program as its file has it."""
    found: dict[str, Any] = json.loads(dump_program(program))
    return found


def replayable(program: Program) -> Program:
    """The program as it can be loaded again, whatever a target has called its rule."""
    return program if title(program.rule) else program._replace(rule="")


def replay_command(target: str, program: Program, file: str | None) -> str:
    """The command that runs a program again: that of a file, or else the program itself by a pipe."""
    told = "" if target == REFERENCE else f" --target {shlex.quote(one_line(target))}"
    if file is not None:
        name = file if not file.startswith("-") else f"./{file}"
        return f"{TOOL} replay{told} {shlex.quote(name)}"
    text = json.dumps(plain(replayable(program)._replace(note="")))
    return f"printf %s {shlex.quote(text)} | {TOOL} replay{told} -"


def violation(rule: str, detail: str, order: Sequence[str]) -> dict[str, Any]:
    """What an answer in JSON says of a violation."""
    return {
        "rule": one_line(str(rule)),
        "title": title(rule) or None,
        "detail": one_line(detail),
        "order": [one_line(line) for line in order],
    }
