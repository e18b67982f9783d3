"""What is not written: files below, images that are open for reading, and requests outside the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs import Flush, Read, Reopen, Stream, Write, Zeroes
from addcow_conformance.suite.cases._rows import Row, cases_of, none, units, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite._case import Case

__all__ = ["cases"]


_ROWS = (
    Row(
        "ACW-DYN-004",
        "backing-file",
        "writes, zeros, flushes and streams leave the backing file as it is",
        units(4),
        units(4),
        lambda u: (Write(5, u), Zeroes(u + 7, u), Flush(), Stream(), Flush(), Reopen(), whole(u, 4)),
    ),
    Row(
        "ACW-DYN-004",
        "read-only",
        "an image that is open for reading takes no writes, and no byte of a file changes",
        units(3),
        units(2),
        lambda u: (
            Write(5, 5),
            Reopen(writable=False),
            whole(u, 3),
            Write(0, 512),
            Zeroes(0, 512),
            Flush(),
            Reopen(),
            whole(u, 3),
        ),
    ),
    Row(
        "ACW-DYN-004",
        "read-only-stream",
        "an image that is open for reading is not streamed, however little of it",
        units(3),
        units(2),
        lambda u: (Reopen(writable=False), Stream(0), Stream(1), Stream(), Flush(), Reopen(), whole(u, 3)),
    ),
    Row(
        "ACW-DYN-004",
        "reading",
        "reading copies nothing, and sets no bit",
        units(20),
        units(20),
        lambda u: (whole(u, 20), Flush(), Reopen(), whole(u, 20), Flush()),
    ),
    Row(
        "ACW-DYN-007",
        "outside-the-disk",
        "a request that ends outside the disk, or begins there, is refused whole",
        units(3, 512),
        units(2),
        lambda u: (
            Read(3 * u + 511, 2),
            Write(3 * u, 513),
            Zeroes(3 * u + 512, 1),
            Read(4 * u, 512),
            Write(7 * u, 512),
            Write(u, 3 * u),
            Flush(),
            Read(0, 3 * u + 512),
        ),
    ),
    Row(
        "ACW-DYN-007",
        "up-to-the-last-byte",
        "a request that ends with the disk is taken",
        units(3, 512),
        units(2),
        lambda u: (Write(3 * u + 511, 1), Read(3 * u + 511, 1), Read(0, 3 * u + 512), Write(0, 3 * u + 512)),
    ),
    Row(
        "ACW-DYN-007",
        "sums-of-more-than-32-bits",
        "where offset and length add up to more than 32 bits hold, a request is judged by the true sum",
        units(3),
        none,
        lambda u: (
            Read((1 << 32) - 512, 1024),
            Write((1 << 32) - u, u + 512),
            Read(1 << 32, 512),
            Write(1 << 41, 512),
            Zeroes((1 << 32) - 1, 2),
            Flush(),
            whole(u, 3),
        ),
    ),
)


def cases() -> Iterator[Case]:
    """A case for each row and revision."""
    return cases_of(_ROWS)
