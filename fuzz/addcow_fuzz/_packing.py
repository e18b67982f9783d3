"""Several files in the bytes of one input.

The first byte holds options. Records follow: the number of a file, an offset in it, a length, and so many
bytes of the file. A file is as long as its records reach, and zero in between: a disk of many clusters
takes few bytes; of records that overlap, the later ones count. A record that is cut off has the bytes that
there are; any bytes are an input, and less of them gives fewer or shorter files.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["LARGEST_OFFSET", "MOST_FILES", "Packed", "Record", "name_of", "pack", "unpack"]

_RECORD = struct.Struct("<HQH")
# With a record's bytes behind it, still a length that a file may have.
LARGEST_OFFSET = (1 << 62) - 1
# Enough for the longest chain, with an image file for each layer.
MOST_FILES = 512

_LETTERS = b"abcdefghijklmnop"


class Record(NamedTuple):
    """Bytes that a file has.

    Attributes:
        file: number of the file, below `MOST_FILES`; 0 is the one to open.
        offset: where they lie in it, 0 to `LARGEST_OFFSET`.
        data: the bytes, at most 65,535. Without any, the file is at least as long as ``offset``.
    """

    file: int
    offset: int
    data: bytes = b""


class Packed(NamedTuple):
    """An input taken apart: a byte of options, whose meaning is the target's, and records."""

    options: int
    records: list[Record]


def pack(options: int, records: Iterable[Record]) -> bytes:
    """The bytes of an input, the inverse of `unpack`."""
    parts = [bytes([options])]
    for file, offset, data in records:
        parts += (_RECORD.pack(file, offset, len(data)), data)
    return b"".join(parts)


def unpack(data: bytes) -> Packed:
    """Take an input apart; any bytes are one."""
    records = []
    at, last = 1, len(data) - _RECORD.size
    unpack_from, size, make = _RECORD.unpack_from, _RECORD.size, Record._make
    while at <= last:
        file, offset, length = unpack_from(data, at)
        begin = at + size
        at = begin + length
        records.append(make((file % MOST_FILES, offset & LARGEST_OFFSET, data[begin:at])))
    return Packed(data[0] if data else 0, records)


def _name(number: int) -> bytes:
    high, low = divmod(number, len(_LETTERS))
    return (_name(high) if high else b"") + _LETTERS[low : low + 1]


_NAMES = tuple(map(_name, range(MOST_FILES)))


def name_of(number: int) -> bytes:
    """The name of a file: short, so that a name in a header is soon that of another one."""
    return _NAMES[number]
