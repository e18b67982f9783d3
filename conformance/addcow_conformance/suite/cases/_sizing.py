"""Sizes: those that change, and those of the files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs import Flush, Read, Reopen, Resize, Stream, Write
from addcow_conformance.suite.cases._rows import Row, cases_of, units, whole
from addcow_spec.model import Revision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite._case import Case
    from addcow_conformance.suite.cases._rows import Operations

__all__ = ["cases"]

_OLD = (Revision.V4, Revision.V6)


def _resized(sizes: tuple[tuple[int, int], ...]) -> Operations:
    """Sizes one after the other, each in units and bytes."""
    return lambda u: (
        Write(u + 5, u),
        *(
            operation
            for count, more in sizes
            for operation in (Resize(count * u + more), Read(0, count * u + more), Flush())
        ),
        Reopen(),
    )


def _short(by: int) -> Operations:
    return lambda u: (Read(8 * u, u - by), Write(9 * u - by - 1, 1), Flush(), Reopen(), Read(0, 9 * u - by))


_ROWS = (
    *(
        Row(
            "ACW-DYN-011",
            slug,
            title,
            units(size, more),
            units(below),
            _resized(sizes),
        )
        for slug, title, size, more, below, sizes in (
            ("grow", "growing adds units that read as what is below", 3, 0, 7, ((6, 0),)),
            ("grow-over-a-byte", "growing over a byte of the bitmap", 7, 512, 20, ((9, 0), (17, 512))),
            ("grow-in-a-unit", "growing inside the last unit", 3, 512, 7, ((3, 1024), (4, 0))),
            ("shrink", "shrinking drops units and their bits", 9, 0, 9, ((2, 0), (1, 512))),
            ("shrink-and-grow", "what was cut off does not come back", 9, 0, 4, ((1, 512), (9, 0))),
            ("to-nothing", "a disk of no bytes", 3, 0, 3, ((0, 0), (2, 0))),
        )
    ),
    Row(
        "ACW-DYN-011",
        "last-unit-written-then-shrunk",
        "bits of units that are cut off are cleared, those inside the last byte too",
        units(6),
        units(6),
        lambda u: (
            *(Write(unit * u, u, unit) for unit in range(6)),
            Resize(3 * u),
            Flush(),
            Resize(6 * u),
            Flush(),
            whole(u, 6),
        ),
    ),
    Row(
        "ACW-DYN-013",
        "a-sector-needs-no-copy",
        "a write of a sector sets its bit alone",
        units(40),
        units(40),
        lambda u: (Write(9 * u, u), Write(17 * u, 2 * u), Flush(), whole(u, 40)),
        _OLD,
    ),
    Row(
        "ACW-DYN-013",
        "size-stays-true",
        "the size in the header follows the disk",
        units(40),
        units(4),
        lambda u: (Resize(50 * u), Flush(), Reopen(), Resize(20 * u), Flush(), Reopen(), whole(u, 20)),
        _OLD,
    ),
    Row(
        "ACW-SIZ-007",
        "odd-size",
        "a size that is no whole number of sectors is refused, and changes nothing",
        units(4),
        units(4),
        lambda u: (Resize(4 * u - 1), Resize(4 * u + 1), Flush(), whole(u, 4)),
        _OLD,
    ),
    Row(
        "ACW-SIZ-001",
        "image-larger",
        "the image is larger than the backing file",
        units(9),
        units(2),
        lambda u: (whole(u, 9), Write(2 * u - 5, 10), Write(8 * u, 9), Flush(), whole(u, 9)),
    ),
    Row(
        "ACW-SIZ-002",
        "image-smaller",
        "the image is smaller than the backing file",
        units(2),
        units(9),
        lambda u: (whole(u, 2), Read(2 * u, 512), Write(2 * u - 5, 5), Stream(), Flush(), whole(u, 2)),
        (Revision.V10,),
    ),
    Row(
        "ACW-SIZ-003",
        "part-of-a-byte-of-bits",
        "the bits of the last units fill no whole byte",
        units(11),
        units(20),
        lambda u: (Write(10 * u + 1, u - 1), Flush(), Reopen(), whole(u, 11), Stream(), Flush()),
    ),
    *(
        Row(
            "ACW-SIZ-003",
            f"short-by-{short}",
            f"the last unit lacks {short} bytes",
            units(9, -short),
            units(20),
            _short(short),
            (Revision.V10,),
        )
        for short in (1, 512, 65535)
    ),
)


def cases() -> Iterator[Case]:
    """A case for each row and revision."""
    return cases_of(_ROWS)
