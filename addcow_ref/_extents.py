"""Where the bytes of a disk come from."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from addcow_ref._layer import Extent
from addcow_ref._raw import file_extents
from addcow_spec.geometry import ceil_div

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from addcow_ref._disk import Disk

__all__ = ["below", "disk_extents", "merged", "zero_extent"]

_AT_ONCE = 1024


def disk_extents(disk: Disk, offset: int, length: int) -> Iterator[Extent]:
    """The extents of a range of the disk, merged; see `Image.extents`."""
    disk.check_range(offset, length)
    return merged(_all_pieces(disk, offset, offset + length))


def _all_pieces(disk: Disk, offset: int, end: int) -> Iterator[Extent]:
    """The pieces of a range, some at a time, so that a resize waits for those alone."""
    while True:
        with disk.gate:
            found = list(islice(_pieces(disk, offset, min(end, disk.size)), _AT_ONCE))
        if not found:
            return
        yield from found
        offset = found[-1].start + found[-1].length


def _pieces(disk: Disk, offset: int, end: int) -> Iterator[Extent]:
    unit = disk.unit_size
    if offset >= end:
        return
    for first, stop, is_set in disk.bitmap.runs(offset // unit, ceil_div(end, unit)):
        start, after = max(first * unit, offset), min(stop * unit, end)
        if is_set:
            yield from file_extents(disk.image_file, start, after - start)
        else:
            yield from below(disk, start, after)


def below(disk: Disk, start: int, end: int) -> Iterator[Extent]:
    """The extents of a range as its clear units show it, not merged; depth 0 is the image."""
    backing = disk.backing
    inside = min(end, max(backing.size, start)) if backing else start
    if backing and inside > start:
        for extent in backing.extents(start, inside - start):
            yield extent.deeper()
    if inside < end:
        # As QEMU has it: what no layer has counts as this one's.
        yield zero_extent(inside, end, 0, present=False)


def zero_extent(start: int, end: int, depth: int, *, present: bool) -> Extent:
    """A range that nothing is stored for, and that reads as zeros."""
    return Extent(start, end - start, depth, present, zero=True, data=False)


def merged(extents: Iterable[Extent]) -> Iterator[Extent]:
    """The extents, neighbours that are alike and adjoin in their file made one."""
    last: Extent | None = None
    for extent in extents:
        if last is None:
            last = extent
        elif _adjoin(last, extent):
            last = last._replace(length=last.length + extent.length)
        else:
            yield last
            last = extent
    if last is not None:
        yield last


def _adjoin(first: Extent, second: Extent) -> bool:
    if first[2:7] != second[2:7] or first.path != second.path:
        return False
    return second.offset == (None if first.offset is None else first.offset + first.length)
