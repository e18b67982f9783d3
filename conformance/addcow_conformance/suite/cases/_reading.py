"""Reading: what is below, what is in the image file, and zeros."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs import BackingKind, Flush, Read, Reopen, Write, Zeroes
from addcow_conformance.suite.cases._rows import Row, cases_of, none, units, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite._case import Case

__all__ = ["cases"]


_ROWS = (
    Row(
        "ACW-DYN-001",
        "clear-bits-read-the-backing-file",
        "a unit whose bit is clear reads from the backing file",
        units(4),
        units(4),
        lambda u: (whole(u, 4), Read(u - 1, 2), Reopen(writable=False), whole(u, 4)),
    ),
    Row(
        "ACW-DYN-001",
        "zeros-beyond-a-short-backing-file",
        "beyond the end of a backing file that is short, and ends within a unit, a disk reads as zeros",
        units(4),
        units(1, 200),
        lambda u: (whole(u, 4), Read(u + 150, 100), Read(2 * u, u)),
    ),
    Row(
        "ACW-DYN-001",
        "zeros-without-a-backing-file",
        "without a backing file a new disk reads as zeros, whatever the image file holds",
        units(4),
        none,
        lambda u: (whole(u, 4), Write(u, u), whole(u, 4)),
    ),
    Row(
        "ACW-DYN-001",
        "set-bits-read-the-image-file",
        "a unit whose bit is set reads from the image file, before and after it is opened anew",
        units(20),
        units(20),
        lambda u: (Write(u, u), Write(9 * u, 2 * u), whole(u, 20), Reopen(writable=False), whole(u, 20)),
    ),
    Row(
        "ACW-DYN-001",
        "zeros-hide-the-backing-file",
        "a unit that zeros were written to reads as zeros, before and after it is opened anew",
        units(4),
        units(4),
        lambda u: (Zeroes(u, u), Zeroes(3 * u, u, unmap=False), whole(u, 4), Reopen(), whole(u, 4)),
    ),
    Row(
        "ACW-DYN-001",
        "qcow2-below",
        "a backing file in qcow2",
        units(4),
        units(3, 77),
        lambda u: (whole(u, 4), Write(u + 7, 9), whole(u, 4), Flush()),
        kind=BackingKind.QCOW2,
    ),
    Row(
        "ACW-DYN-001",
        "chain-of-three",
        "a backing file that is an add-cow image on a backing file of its own",
        units(4),
        units(3, 512),
        lambda u: (whole(u, 4), Write(u + 7, 9), whole(u, 4), Flush()),
        kind=BackingKind.CHAIN,
    ),
)


def cases() -> Iterator[Case]:
    """A case for each row and revision."""
    return cases_of(_ROWS)
