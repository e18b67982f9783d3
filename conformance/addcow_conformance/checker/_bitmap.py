"""Judging a bitmap against the disk it describes (family BMP), in pages: it is never held whole.

Only bytes that are data on disk are read: holes hold clear bits, and nothing follows the bitmap in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bitarray import bitarray

from addcow_conformance.checker._registry import Draft
from addcow_spec.model import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from addcow_conformance.checker._collector import Collector
    from addcow_conformance.checker._files import OpenFile
    from addcow_spec.geometry import Geometry

__all__ = ["BITMAP_RULES", "count_set", "judge_bitmap"]

BITMAP_RULES = frozenset({"ACW-BMP-001", "ACW-BMP-002", "ACW-BMP-003"})

# Larger pages leave the processor's cache between the copy and the count.
_PAGE = 256 * 1024


def count_set(
    file: OpenFile,
    geometry: Geometry,
    edges: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[int]:
    """Count the set bits between each two neighbours of ``edges``.

    Args:
        file: the add-cow file; it holds the whole bitmap.
        geometry: where the bitmap is.
        edges: numbers of units, ascending, from 0 to ``geometry.units``.
        progress: told after each page how many bytes of the bitmap are done, and how many there are.

    Raises:
        StorageError: reading failed, or the file shrank.
    """
    counts = [0] * (len(edges) - 1)
    end, interval = geometry.bitmap_end, 0
    offset = file.next_data(geometry.bitmap_offset, end)
    if offset == end:
        return counts
    page = bytearray(min(_PAGE, geometry.bitmap_size))
    view, bits = memoryview(page), bitarray(buffer=page, endian="little")
    while offset < end:
        size = min(len(page), end - offset)
        file.read_into(view[:size], offset)
        first = (offset - geometry.bitmap_offset) * 8
        last = min(first + size * 8, geometry.units)
        while interval < len(counts) and edges[interval] < last:
            start, stop = max(edges[interval], first), min(edges[interval + 1], last)
            if start < stop:
                counts[interval] += bits.count(1, start - first, stop - first)
            if edges[interval + 1] > last:
                break
            interval += 1
        if progress:
            progress(offset + size - geometry.bitmap_offset, geometry.bitmap_size)
        offset = file.next_data(offset + size, end)
    return counts


def judge_bitmap(file: OpenFile, index: int, geometry: Geometry, collector: Collector) -> bool:
    """Judge length, trailing bits and tail of a bitmap; whether it is there to be counted.

    Raises:
        StorageError: reading failed.
    """
    end = geometry.bitmap_end
    if file.length < end:
        missing = Span(file.length, end - file.length)
        expected = f"{geometry.bitmap_size} bytes, the file ending at {end}"
        collector.add("ACW-BMP-001", index, Draft(missing, "bitmap", expected, f"it ends at {file.length}"))
        return False
    mask = geometry.trailing_mask
    if mask:
        last = file.byte(end - 1)
        if last & mask:
            expected = f"0x{last & ~mask:02x}: {8 - mask.bit_count()} bits of the last byte are used"
            collector.add("ACW-BMP-002", index, Draft(Span(end - 1, 1), "bitmap", expected, f"0x{last:02x}"))
    tail = first_nonzero(file, end)
    if tail is not None:
        span = Span(tail, file.length - tail)
        actual = f"0x{file.byte(tail):02x} at byte {tail}"
        collector.add("ACW-BMP-003", index, Draft(span, "tail", f"nothing but zeros from {end} on", actual))
    return True


def first_nonzero(file: OpenFile, offset: int) -> int | None:
    """Offset of the first byte from ``offset`` on that is not zero, None where there is none.

    Raises:
        StorageError: reading failed.
    """
    while (offset := file.next_data(offset, file.length)) < file.length:
        data = file.read(offset, _PAGE)
        rest = data.lstrip(b"\0")
        if rest:
            return offset + len(data) - len(rest)
        if not data:
            return None
        offset += len(data)
    return None
