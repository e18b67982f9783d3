"""Streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs import Flush, Read, Reopen, Stream, Write, Zeroes
from addcow_conformance.suite.cases._rows import Row, cases_of, none, units, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite._case import Case
    from addcow_conformance.suite.cases._rows import Operations

__all__ = ["cases"]


def _streamed(more: int, before: Operations) -> Operations:
    return lambda u: (*before(u), Stream(), Read(0, 9 * u + more), Flush(), Reopen())


_ROWS = (
    *(
        Row(
            "ACW-DYN-012",
            slug,
            title,
            units(9, more),
            below,
            _streamed(more, before),
        )
        for slug, title, more, below, before in (
            ("all", "a stream copies all that is below", 0, units(9), lambda _u: ()),
            (
                "last-short-unit",
                "a stream copies the last unit, which is short",
                512,
                units(10),
                lambda _u: (),
            ),
            (
                "short-backing-file",
                "a stream over the end of the backing file",
                0,
                units(4, 99),
                lambda _u: (),
            ),
            ("without-a-backing-file", "a stream of a disk with nothing below", 0, none, lambda _u: ()),
            (
                "keeps-what-is-written",
                "a stream leaves what the guest has written",
                0,
                units(9),
                lambda u: (Write(u + 5, u), Zeroes(4 * u, u), Write(8 * u + 3, 3)),
            ),
            (
                "in-parts",
                "a stream that is stopped goes on where it was",
                0,
                units(9),
                lambda u: (Stream(1), Read(0, 9 * u), Write(8 * u, 9), Flush(), Reopen(), Stream(2)),
            ),
        )
    ),
    Row(
        "ACW-DYN-012",
        "read-only",
        "a stream of an image that is open for reading is refused",
        units(3),
        units(3),
        lambda u: (Reopen(writable=False), Stream(0), Stream(), whole(u, 3)),
    ),
)


def cases() -> Iterator[Case]:
    """A case for each row and revision."""
    return cases_of(_ROWS)
