"""Writing: the bits that are set, and the bytes around."""

from __future__ import annotations

from typing import TYPE_CHECKING

from addcow_conformance.programs import Flush, Read, Reopen, Write, Zeroes
from addcow_conformance.suite.cases._rows import Row, cases_of, none, units, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from addcow_conformance.suite._case import Case
    from addcow_conformance.suite.cases._rows import Operations

__all__ = ["cases"]


def _one_bit(bit: int) -> Operations:
    return lambda u: (Write(bit * u, u), Flush(), Read(bit * u, u), Reopen(), whole(u, 20))


_ROWS = (
    *(
        Row(
            "ACW-DYN-002",
            f"bit-{bit}",
            f"a write to unit {bit} sets its bit and no other",
            units(20),
            units(20),
            _one_bit(bit),
        )
        for bit in (0, 1, 7, 8, 19)
    ),
    Row(
        "ACW-DYN-002",
        "zero-length",
        "a write of length 0 sets no bit, wherever it is",
        units(3, 512),
        units(3),
        lambda u: (Write(0, 0), Write(u, 0), Write(3 * u + 512, 0), Zeroes(u, 0), Flush(), Read(0, 0)),
    ),
    Row(
        "ACW-DYN-002",
        "crossing-units",
        "a write that touches a byte of the units on both sides sets three bits",
        units(5),
        units(5),
        lambda u: (Write(u - 1, u + 2), Flush(), whole(u, 5)),
    ),
    Row(
        "ACW-DYN-002",
        "zeroes-set-bits",
        "zeros that are written hide what is below",
        units(5),
        units(5),
        lambda u: (
            Zeroes(u, u),
            Zeroes(3 * u, u, unmap=False),
            Flush(),
            whole(u, 5),
            Reopen(),
            whole(u, 5),
        ),
    ),
    Row(
        "ACW-DYN-003",
        "inside-a-unit",
        "a write inside a unit keeps what is around it",
        units(3),
        units(3),
        lambda u: (Write(u + 100, 200), whole(u, 3), Flush(), Reopen(), whole(u, 3)),
    ),
    Row(
        "ACW-DYN-003",
        "head-and-tail",
        "a write that covers the end of one unit and the start of another keeps the rest of both",
        units(4),
        units(4),
        lambda u: (Write(2 * u - 100, 200), whole(u, 4), Flush(), Reopen(), whole(u, 4)),
    ),
    Row(
        "ACW-DYN-003",
        "across-the-end-of-the-backing-file",
        "the rest of a unit is what the backing file has, and zeros beyond its end",
        units(3),
        units(1, 300),
        lambda u: (Write(u + 290, 30), Read(u, u), Flush(), Reopen(), whole(u, 3)),
    ),
    Row(
        "ACW-DYN-003",
        "without-a-backing-file",
        "the rest of a unit is zeros where nothing is below, and never what the image file held",
        units(3),
        none,
        lambda u: (Write(u + 5, 10), whole(u, 3), Flush(), Reopen(), whole(u, 3)),
    ),
    Row(
        "ACW-DYN-003",
        "last-short-unit",
        "a write inside the last unit, which is short, keeps its rest and the file's length",
        units(3, 512),
        units(4),
        lambda u: (Write(3 * u + 5, 10), Read(3 * u, 512), Flush(), Reopen(), Read(2 * u, u + 512)),
    ),
    Row(
        "ACW-DYN-003",
        "twice-into-one-unit",
        "the second write into a unit copies nothing again",
        units(3),
        units(3),
        lambda u: (Write(u + 5, 10, 1), Write(u + 50, 10, 2), Write(u + 7, 3, 3), whole(u, 3), Flush()),
    ),
    Row(
        "ACW-DYN-003",
        "zeroes-inside-a-unit",
        "zeros inside a unit keep what is around them",
        units(3),
        units(3),
        lambda u: (Zeroes(u + 100, 200), Zeroes(2 * u - 1, 2, unmap=False), whole(u, 3), Flush()),
    ),
)


def cases() -> Iterator[Case]:
    """A case for each row and revision."""
    return cases_of(_ROWS)
