"""Programs: a disk, and what is done to it, as plain data that can be written down and run again.

Every part is a NamedTuple of numbers, flags and words, and `LIMITS` bounds each number. A program is kept as
JSON (`_json.py`); it means the same on every machine, as data is made from seeds by `pattern`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias

from addcow_spec.errors import UsageError
from addcow_spec.geometry import Geometry
from addcow_spec.model import Revision

__all__ = [
    "OPERATIONS",
    "Backing",
    "BackingKind",
    "Disk",
    "Fault",
    "Flush",
    "Kill",
    "Operation",
    "PowerLoss",
    "Program",
    "Race",
    "Read",
    "Reopen",
    "Request",
    "Resize",
    "StorageKind",
    "Stream",
    "Via",
    "Write",
    "Zeroes",
    "pattern",
]

MIB = 1 << 20


class BackingKind(StrEnum):
    """What the backing file is; CHAIN is an add-cow image over a raw file, so that there are three layers."""

    RAW = "raw"
    QCOW2 = "qcow2"
    CHAIN = "chain"


class StorageKind(StrEnum):
    """Where the files of a program lie."""

    MEMORY = "memory"
    FILES = "files"


class Via(StrEnum):
    """How an image is opened: by its path, a symbolic link beside it, or from another working directory."""

    PATH = "path"
    SYMLINK = "symlink"
    DIRECTORY = "directory"


class Backing(NamedTuple):
    """A backing file of ``size`` bytes of guest data."""

    kind: BackingKind
    size: int


class Disk(NamedTuple):
    """An image to create.

    Attributes:
        revision: revision of the format.
        size: bytes of the disk.
        backing: the backing file, None without one.
        fill: the byte that fills the image file beforehand, under the clear bits; 0 for a hole.
        cache_size: bytes of the bitmap that may be kept in memory; 4096 or more.
    """

    revision: Revision = Revision.V10
    size: int = 65536
    backing: Backing | None = None
    fill: int = 0xDD
    cache_size: int = 4096

    @property
    def unit_size(self) -> int:
        """Bytes that one bit stands for."""
        return Geometry(self.revision, self.size).unit_size


class Read(NamedTuple):
    """Read a range, and compare it."""

    offset: int
    length: int


class Write(NamedTuple):
    """Write the bytes that ``pattern`` makes of the seed; with ``fua`` they are durable on return."""

    offset: int
    length: int
    seed: int = 1
    fua: bool = False


class Zeroes(NamedTuple):
    """Make a range read as zeros."""

    offset: int
    length: int
    unmap: bool = True
    fua: bool = False


class Flush(NamedTuple):
    """Make durable what was written."""


class Reopen(NamedTuple):
    """Close the image and open it again."""

    writable: bool = True
    via: Via = Via.PATH


class Kill(NamedTuple):
    """End without a flush, as a process that is killed, and open the image again."""


class Resize(NamedTuple):
    """Change the size of the disk."""

    size: int


class Stream(NamedTuple):
    """Copy what is below; with ``steps``, stop when asked the time after that many. None runs to the end."""

    steps: int | None = None


class Fault(NamedTuple):
    """Make a storage call of the next operation fail: the one after ``after`` others.

    Attributes:
        after: calls of the operation that pass first, on all files together.
        code: errno of the failure.
        partial: bytes of a write that are done all the same, rounded down to the end of a sector.
    """

    after: int
    code: int = 5
    partial: int = 0


Request: TypeAlias = Read | Write | Zeroes | Flush | Stream


class Race(NamedTuple):
    """Two requests at once: the first waits before its storage call number ``pause`` for the second.

    It waits until the second has ended, or waits in turn.
    """

    first: Request
    second: Request
    pause: int = 0


Operation: TypeAlias = Read | Write | Zeroes | Flush | Reopen | Kill | Resize | Stream | Fault | Race

OPERATIONS: dict[str, type[Operation]] = {
    kind.__name__.lower(): kind
    for kind in (Read, Write, Zeroes, Flush, Reopen, Kill, Resize, Stream, Fault, Race)
}


class PowerLoss(NamedTuple):
    """A state that a loss of power leaves, to be judged when the operations have run so far.

    Attributes:
        after: number of storage events that had happened.
        lengths: of each file whose length is not the last one, which of the lengths it had: its number.
        sectors: of each file, the sectors that hold an earlier value: sector, and number of the value.
    """

    after: int
    lengths: dict[str, int]
    sectors: dict[str, dict[int, int]]


class Program(NamedTuple):
    """A disk and the operations on it.

    Attributes:
        disk: the image to create.
        operations: what is done, in order.
        storage: where the files lie.
        power_loss: the loss of power that ends it, None where the last operation is the end.
        rule: the rule that a run was found to break, empty where none is known.
        note: for people.
    """

    disk: Disk
    operations: tuple[Operation, ...] = ()
    storage: StorageKind = StorageKind.MEMORY
    power_loss: PowerLoss | None = None
    rule: str = ""
    note: str = ""


# A prime, so that no unit repeats another.
_PERIOD = 65521
_TABLE = bytes(1 + (at * 7 + at // 251 * 13) % 255 for at in range(_PERIOD))


def pattern(seed: int, offset: int, length: int) -> bytes:
    """Bytes that are never zero, and tell seed and place: those from ``offset`` on of an endless row.

    Raises:
        UsageError: the length is negative.
    """
    if length < 0:
        raise UsageError(f"a length is 0 or more, not {length}")
    start = (offset + seed * 4099) % _PERIOD
    if start + length <= _PERIOD:
        return _TABLE[start : start + length]
    return (_TABLE[start:] + _TABLE * (length // _PERIOD + 1))[:length]
