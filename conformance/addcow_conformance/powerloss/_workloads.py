"""Bounded-exhaustive workloads: every sequence of a few operations, out of an alphabet for each kind of disk.

As CrashMonkey's ACE does for file systems: most faults of a crash need few operations on few places, so all
short sequences find more than long ones by chance.
"""

from __future__ import annotations

from typing import NamedTuple

from addcow_conformance.programs import (
    Backing,
    BackingKind,
    Disk,
    Flush,
    Kill,
    Operation,
    Reopen,
    Resize,
    Stream,
    Write,
    Zeroes,
)
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision

_KIB = 1 << 10
_SECTOR = 512
# Units that a page of the bitmap has bits for.
_PAGE = 32768


class Family(NamedTuple):
    """Workloads of one disk.

    Attributes:
        name: its name; it starts with the revision.
        disk: the disk.
        alphabet: the operations.
    """

    name: str
    disk: Disk
    alphabet: tuple[Operation, ...]

    def count(self, length: int) -> int:
        """The number of workloads of exactly ``length`` operations."""
        found: int = len(self.alphabet) ** length
        return found

    def workload(self, length: int, number: int) -> tuple[Operation, ...]:
        """The workload of a number, from 0 up."""
        found = []
        for _ in range(length):
            number, digit = divmod(number, len(self.alphabet))
            found.append(self.alphabet[digit])
        return tuple(reversed(found))


def _common(*requests: Operation) -> tuple[Operation, ...]:
    return (*requests, Flush(), Stream(1), Stream(), Reopen(), Kill())


def _clusters() -> Family:
    """v10: two clusters and a short one; the backing file ends in the second."""
    cluster = 64 * _KIB
    return Family(
        "v10",
        Disk(Revision.V10, 2 * cluster + _SECTOR, Backing(BackingKind.RAW, 70_000)),
        _common(
            Write(0, cluster, 1),
            Write(1_000, 700, 2),
            Write(cluster - 600, 1_000, 3),
            Write(69_800, 600, 4),
            Write(2 * cluster, _SECTOR, 5, fua=True),
            Zeroes(cluster - 900, 2_000),
            Resize(cluster + _SECTOR),
            # Of two bytes of the bitmap.
            Resize(9 * cluster + 100),
        ),
    )


def _sectors(revision: Revision) -> Family:
    """v4, v6: a byte of the bitmap and a half; the backing file ends within a sector."""
    return Family(
        f"{revision}",
        Disk(revision, 12 * _SECTOR, Backing(BackingKind.RAW, 5_000)),
        _common(
            Write(0, 4 * _SECTOR, 1),
            Write(100, 200, 2),
            Write(_SECTOR - 50, 100, 3),
            Write(4_800, 600, 4),
            Write(11 * _SECTOR, _SECTOR, 5, fua=True),
            Zeroes(700, 2_000),
            Resize(7 * _SECTOR),
            Resize(20 * _SECTOR),
        ),
    )


def _pages(revision: Revision) -> Family:
    """Two pages of the bitmap behind a cache of one, so that a page that has changed has to leave."""
    unit = Geometry(revision, 0).unit_size
    border = _PAGE * unit
    return Family(
        f"{revision}-pages",
        # Below is no zero, so that data that is lost differs from a hole.
        Disk(revision, border + 2 * unit + _SECTOR, Backing(BackingKind.RAW, 3_000), fill=0),
        (
            Write(0, 2 * _SECTOR, 1),
            Write(2_900, 600, 2),
            Write(border - _SECTOR, 2 * _SECTOR, 3),
            Write(border + unit, _SECTOR, 4),
            Zeroes(border - 100, 200, unmap=False),
            Flush(),
            Reopen(),
            Kill(),
        ),
    )


FAMILIES = tuple(
    family
    for revision in Revision
    for family in (_clusters() if revision is Revision.V10 else _sectors(revision), _pages(revision))
)
