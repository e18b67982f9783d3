"""Storage calls that fail, and what holds afterwards; a process is not made to fail."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from addcow_conformance.programs import Fault, Flush, Kill, Reopen, Resize, Stream, Write
from addcow_conformance.suite.cases._rows import Row, cases_of, units, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_conformance.suite._case import Bench, Case
    from addcow_conformance.suite.cases._rows import Operations

__all__ = ["cases"]

# Bits of a page of the bitmap.
_PAGE = 8 * 4096
_MANY = 2 * _PAGE + 1


def _flush(after: int) -> Operations:
    return lambda u: (Write(5, u), Fault(after), Flush(), Flush(), Kill(), whole(u, 9), Flush())


def _write(after: int) -> Operations:
    return lambda u: (
        Fault(after),
        Write(u + 5, u),
        whole(u, 9),
        Write(u + 7, 3),
        Flush(),
        Reopen(),
        whole(u, 9),
    )


def _resize(after: int) -> Operations:
    return lambda u: (
        Write(8 * u, u),
        Flush(),
        Fault(after),
        Resize(18 * u),
        Reopen(),
        Write(0, 5),
        Fault(after),
        Resize(4 * u),
        Flush(),
        Reopen(),
        Flush(),
    )


def _stream(after: int) -> Operations:
    return lambda u: (Fault(after), Stream(), whole(u, 9), Stream(), Flush(), Reopen(), whole(u, 9))


def _evict(after: int) -> Operations:
    return lambda u: (
        Write(5, 9),
        Fault(after),
        Write(_PAGE * u, 9),
        Write(2 * _PAGE * u, 9),
        Flush(),
        Kill(),
        whole(u, 2),
        Flush(),
    )


# The rule, a name, what is to hold, the size of the disk in units, how many calls may fail, and what is done.
_TABLE = (
    ("ACW-DYN-005", "flush", "a flush that fails is told, and the next one does not hide it", 9, 6, _flush),
    ("ACW-DYN-007", "write", "a write that fails is told, and the disk reads old or new", 9, 6, _write),
    ("ACW-DYN-011", "resize", "a resize that fails leaves the old size", 9, 10, _resize),
    ("ACW-DYN-012", "stream", "a stream that fails can go on", 9, 6, _stream),
    ("ACW-DYN-005", "eviction", "bits that cannot leave the cache are not forgotten", _MANY, 6, _evict),
)

_ROWS = tuple(
    Row(
        rule,
        f"failed-{name}-{after}",
        f"{title}: its storage call {after + 1}",
        units(size),
        units(9),
        operations(after),
    )
    for rule, name, title, size, calls, operations in _TABLE
    for after in range(calls)
)


def cases() -> Iterator[Case]:
    """A case for each row and revision."""
    for case in cases_of(_ROWS):
        yield case._replace(check=partial(_check, case.check))


def _check(program: Callable[[Bench], None], bench: Bench) -> None:
    bench.need("storage")  # else all of it would be done for nothing
    program(bench)
