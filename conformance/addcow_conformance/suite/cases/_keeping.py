"""What is durable, and requests at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs import Flush, Kill, Race, Read, Reopen, Stream, Write, Zeroes
from addcow_conformance.suite.cases._rows import Row, cases_of, units, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_conformance.programs import Request
    from addcow_conformance.suite._case import Case
    from addcow_conformance.suite.cases._rows import Operations

__all__ = ["cases"]

# Bytes of the bitmap that a cache of the least size holds.
_PAGE = 4096


def _raced(pair: Callable[[int], tuple[Request, Request]], pause: int) -> Operations:
    return lambda u: (Race(*pair(u), pause), whole(u, 9), Flush(), Reopen(), whole(u, 9))


_ROWS = (
    Row(
        "ACW-DYN-005",
        "flush-then-kill",
        "what was flushed is there when the process is killed",
        units(20),
        units(20),
        lambda u: (Write(5, 2 * u), Write(9 * u, u), Flush(), Kill(), whole(u, 20)),
    ),
    Row(
        "ACW-DYN-005",
        "kill-without-flush",
        "what was not flushed is old or new when the process is killed, and flushed things are there",
        units(20),
        units(20),
        lambda u: (
            Write(u, u, 1),
            Flush(),
            Write(u + 9, u, 2),
            Write(9 * u, 9),
            Kill(),
            whole(u, 20),
            Flush(),
        ),
    ),
    Row(
        "ACW-DYN-005",
        "fua-then-kill",
        "a write with FUA is there when the process is killed right after",
        units(4),
        units(4),
        lambda u: (Write(u + 5, 100, fua=True), Kill(), whole(u, 4), Zeroes(2 * u, 9, fua=True), Kill()),
    ),
    Row(
        "ACW-DYN-005",
        "close-flushes",
        "what was written is there when the image was closed and is opened anew",
        units(20),
        units(20),
        lambda u: (Write(3, 2 * u), Reopen(), whole(u, 20), Write(8 * u, u), Reopen(writable=False)),
    ),
    Row(
        "ACW-DYN-005",
        "many-pages-of-bits",
        "bits so far apart that no small cache holds all, killed after a flush",
        units(5 * 8 * _PAGE, 512),
        units(3),
        lambda u: (
            *(Write(page * 8 * _PAGE * u + 5, 20, page) for page in (0, 1, 2, 3, 4)),
            Write(5 * 8 * _PAGE * u, 512),
            Flush(),
            Kill(),
            *(Read(page * 8 * _PAGE * u, 512) for page in (0, 1, 2, 3, 4)),
        ),
    ),
    *(
        Row(
            "ACW-DYN-006",
            f"{slug}-pause-{pause}",
            title,
            units(9),
            units(9),
            _raced(pair, pause),
        )
        for slug, title, pair in (
            (
                "one-unit",
                "two writes at once into one unit lose no byte",
                lambda u: (Write(u + 5, 100, 1), Write(u + 300, 100, 2)),
            ),
            (
                "one-byte-of-bits",
                "two writes at once whose bits share a byte lose no bit",
                lambda u: (Write(u, u, 1), Write(2 * u, u, 2)),
            ),
            (
                "stream",
                "a write beside a stream is not copied over",
                lambda u: (Stream(), Write(u + 5, 100, 2)),
            ),
        )
        for pause in range(4)
    ),
)


def cases() -> Iterator[Case]:
    """A case for each row and revision."""
    return cases_of(_ROWS)
