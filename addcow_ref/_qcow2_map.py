"""From guest offset to cluster: the L1 and L2 tables of a qcow2 file.

Tables are read in pieces of at most 64 KiB when they are needed, and 1 MiB of them is kept, whatever the
cluster size and the size of the disk. A table or cluster that lies where none can lie breaks ACW-QC2-017; it
is found when it is used. Two that lie in one place are not noticed: they give wrong data and do no harm.
"""

from __future__ import annotations

import sys
from array import array
from enum import Enum, auto
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from addcow_spec.errors import InvalidImage
from addcow_spec.geometry import ceil_div
from addcow_spec.model import Span
from addcow_spec.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from addcow_ref.storage import Storage
    from addcow_spec.model import Qcow2Header

__all__ = ["LOOKUP_RULE", "ClusterKind", "ClusterMap", "Clusters"]

LOOKUP_RULE = "ACW-QC2-017"

_OFFSET = 0x00FF_FFFF_FFFF_FE00
_COMPRESSED = 1 << 62
_ZERO = 1
# What tells two entries apart for a reader.
_MEANING = _OFFSET | _COMPRESSED | _ZERO
# So many entries are compared at once to begin with.
_ALIKE_AT_ONCE = 8

_LARGEST_PIECE = 64 << 10
_CACHE_SIZE = 1 << 20


class ClusterKind(Enum):
    """Where the guest data of a cluster is."""

    UNALLOCATED = auto()
    ZERO = auto()
    STANDARD = auto()
    COMPRESSED = auto()


class Clusters(NamedTuple):
    """A range of the disk in clusters of one kind.

    Attributes:
        kind: where the data is.
        start: first byte of the range on the disk.
        length: its length in bytes, 1 or more.
        host: where its data begins in the file: that of ``start`` in a standard cluster, where decoding
            begins in a compressed one; what was reserved for zero clusters, or 0.
        sectors: 512-byte sectors that compressed data reaches into, the first one included; else 0.
    """

    kind: ClusterKind
    start: int
    length: int
    host: int = 0
    sectors: int = 0


class ClusterMap:
    """The active tables of one file.

    Args:
        file: the qcow2 file, not written to meanwhile.
        header: its header, found to be sound.
    """

    def __init__(self, file: Storage, header: Qcow2Header) -> None:
        self.cluster_size = 1 << header.cluster_bits
        self.file_length = file.length()
        self._file = file
        self._has_zero_clusters = header.version > 2
        self._compressed_bits = 62 - (header.cluster_bits - 8)
        self._l1 = Span(header.l1_table_offset, 8 * header.l1_size)
        self._entries = self.cluster_size // 8
        self._piece_size = min(self.cluster_size, _LARGEST_PIECE)
        self._piece: Callable[[int, int], array[int]] = lru_cache(_CACHE_SIZE // self._piece_size)(self._read)

    def runs(self, offset: int, length: int) -> Iterator[Clusters]:
        """Cut a range of the disk into clusters that belong together, in order.

        Standard clusters belong together that follow each other in the file, compressed ones never.
        Neighbouring runs may belong together where a table ends.

        Raises:
            StorageError: reading a table failed.
            InvalidImage: ACW-QC2-017.
        """
        size, end = self.cluster_size, offset + length
        while offset < end:
            first = offset // size
            kind, count, host, sectors = self._run(first, ceil_div(end, size))
            after = min((first + count) * size, end)
            if host and kind is not ClusterKind.COMPRESSED:
                host += offset - first * size
            yield Clusters(kind, offset, after - offset, host, sectors)
            offset = after

    def _run(self, first: int, stop: int) -> tuple[ClusterKind, int, int, int]:
        """Kind, number, place and sectors of the clusters from ``first`` on, perhaps beyond ``stop``."""
        l1_index, l2_index = divmod(first, self._entries)
        table = self._l2_table(l1_index)
        if not table:
            with_table = self._next_table(l1_index, ceil_div(stop, self._entries))
            return ClusterKind.UNALLOCATED, with_table * self._entries - first, 0, 0
        per_piece = self._piece_size // 8
        start, index = divmod(l2_index, per_piece)
        piece = self._piece(table + start * self._piece_size, self._piece_size)
        where = Span(table + 8 * l2_index, 8)
        entry = piece[index]
        if entry & _COMPRESSED:
            return self._compressed(entry, where)
        host = entry & _OFFSET
        count = _alike(piece, index, min(index + stop - first, per_piece), self.cluster_size if host else 0)
        if entry & _ZERO:
            if not self._has_zero_clusters:
                raise self._fault(where, "l2_entry", "has bit 0 set, which version 2 does not know")
            return ClusterKind.ZERO, count, host, 0
        if not host:
            return ClusterKind.UNALLOCATED, count, 0, 0
        return ClusterKind.STANDARD, min(count, self._fitting(host, where)), host, 0

    def _compressed(self, entry: int, where: Span) -> tuple[ClusterKind, int, int, int]:
        host = entry & (1 << self._compressed_bits) - 1
        sectors = (entry & _COMPRESSED - 1) >> self._compressed_bits
        if host >= self.file_length:
            raise self._fault(where, "l2_entry", f"has compressed data at {host}, the file ends before")
        return ClusterKind.COMPRESSED, 1, host, sectors + 1

    def _fitting(self, host: int, where: Span) -> int:
        """How many clusters from ``host`` on start in the file."""
        if host % self.cluster_size:
            raise self._fault(where, "l2_entry", f"has a cluster at {host}, which is not aligned")
        if host >= self.file_length:
            raise self._fault(where, "l2_entry", f"has a cluster at {host}, the file ends before")
        return ceil_div(self.file_length - host, self.cluster_size)

    def _l2_table(self, index: int) -> int:
        """Where the L2 table lies that an L1 entry points to, 0 without one."""
        piece, at = self._l1_piece(index)
        table = piece[at] & _OFFSET
        if table and (table % self.cluster_size or table + self.cluster_size > self.file_length):
            where = Span(self._l1.offset + 8 * index, 8)
            raise self._fault(where, "l1_entry", f"has an L2 table at {table}, where none can lie")
        return table

    def _next_table(self, first: int, stop: int) -> int:
        """The first L1 entry from ``first`` on that has an L2 table; ``stop`` where none comes before it."""
        while first < stop:
            start = self._l1.offset + 8 * first
            data = self._file.next_data(start, self._l1.offset + 8 * stop)
            first += (data - start) // 8
            if first < stop:
                piece, at = self._l1_piece(first)
                for entry in piece[at : at + stop - first]:
                    if entry & _OFFSET:
                        return first
                    first += 1
        return stop

    def _l1_piece(self, index: int) -> tuple[array[int], int]:
        """The piece of the L1 table that holds an entry, and the entry's index in it."""
        number, at = divmod(index, self._piece_size // 8)
        start = number * self._piece_size
        length = min(self._piece_size, self._l1.length - start)
        return self._piece(self._l1.offset + start, length), at

    def _read(self, offset: int, length: int) -> array[int]:
        data = bytearray(length)
        self._file.read_into(offset, data)
        entries = array("Q", bytes(data))
        if sys.byteorder == "little":
            entries.byteswap()
        return entries

    def _fault(self, where: Span, field: str, problem: str) -> InvalidImage:
        message = f"{printable(self._file.path)}: the {field} at byte {where.offset} {problem}"
        return InvalidImage(message, rule=LOOKUP_RULE, span=where, field=field)


def _alike(entries: array[int], index: int, stop: int, step: int) -> int:
    """How many entries from ``index`` on, before ``stop``, mean the same and lie ``step`` apart."""
    at, expected, size = index, entries[index], _ALIKE_AT_ONCE
    # Most are alike to the last bit, and are compared in pieces that double.
    while at + size <= stop and expected + step * size < 1 << 64:
        alike = array("Q", range(expected, expected + step * size, step) if step else (expected,) * size)
        if entries[at : at + size] != alike:
            break
        at, expected, size = at + size, expected + step * size, 2 * size
    expected &= _MEANING
    while at < stop and entries[at] & _MEANING == expected:
        at += 1
        expected += step
    return at - index
