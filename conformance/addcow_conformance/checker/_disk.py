"""What the bitmap of a layer says of the disk: its size, and where each of its units comes from."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from addcow_conformance.checker._bitmap import count_set, judge_bitmap
from addcow_conformance.checker._model import BitmapSummary, Bucket
from addcow_conformance.checker._registry import Draft
from addcow_spec.geometry import SECTOR_SIZE, Geometry, ceil_div
from addcow_spec.model import HeaderV10, Revision, Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from addcow_conformance.checker._collector import Collector
    from addcow_conformance.checker._files import OpenFile
    from addcow_conformance.checker._layers import Layer

__all__ = ["DISK_RULES", "judge_disk"]

DISK_RULES = frozenset({"ACW-SIZ-004", "ACW-SIZ-005", "ACW-BMP-004"})


def judge_disk(
    layer: Layer,
    below: int | None,
    collector: Collector,
    *,
    buckets: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> BitmapSummary | None:
    """Judge the disk that an add-cow layer describes; its bitmap, None where there is none to count.

    Args:
        layer: an add-cow layer whose header was parsed and whose virtual size is known.
        below: bytes of guest data that the backing file offers, None where that is unknown.
        collector: takes the findings.
        buckets: equal parts of the disk to count separately, 0 for none.
        progress: told how many bytes of the bitmap are done, and how many there are.

    Raises:
        StorageError: reading failed.
    """
    header, size = layer.header, layer.virtual_size
    if header is None or size is None:
        return None
    geometry = Geometry(header.revision, size)
    if isinstance(header, HeaderV10) and size % SECTOR_SIZE:
        draft = Draft(None, "image_filename", f"a length that is a multiple of {SECTOR_SIZE}", str(size))
        collector.add("ACW-SIZ-004", layer.index, draft)
    if header.revision is Revision.V6 and below not in (None, size):
        draft = Draft(Span(2060, 8), "size", f"{below}, the size of the backing file", str(size))
        collector.add("ACW-SIZ-005", layer.index, draft)
    if not judge_bitmap(layer.file, layer.index, geometry, collector):
        return None
    backed = 0
    if layer.backed:
        backed = geometry.units if below is None else ceil_div(below, geometry.unit_size)
    summary = _count(layer.file, geometry, min(backed, geometry.units), buckets, progress)
    if summary.units and summary.set_units == summary.units:
        draft = Draft(summary.span, "bitmap", "at least one clear bit", f"all {summary.units} bits are set")
        collector.add("ACW-BMP-004", layer.index, draft)
    return summary


def _count(
    file: OpenFile,
    geometry: Geometry,
    backed: int,
    buckets: int,
    progress: Callable[[int, int], None] | None,
) -> BitmapSummary:
    """Count the set bits; the first ``backed`` units begin inside the backing file."""
    units = geometry.units
    parts = min(buckets, units) or 1
    borders = [part * units // parts for part in range(parts + 1)]
    edges = sorted({0, units, backed, *borders})
    counts = count_set(file, geometry, edges, progress)
    intervals = [(start, stop, count) for (start, stop), count in zip(pairwise(edges), counts, strict=True)]
    backed_units = sum(stop - start - count for start, stop, count in intervals if stop <= backed)
    return BitmapSummary(
        span=Span(geometry.bitmap_offset, geometry.bitmap_size),
        unit_size=geometry.unit_size,
        units=units,
        set_units=sum(counts),
        backed_units=backed_units,
        buckets=_buckets(borders, intervals, backed) if buckets and units else (),
    )


def _buckets(borders: list[int], intervals: list[tuple[int, int, int]], backed: int) -> tuple[Bucket, ...]:
    found = []
    place = 0
    for border in borders[1:]:
        image = backing = zeros = 0
        while place < len(intervals) and intervals[place][1] <= border:
            start, stop, count = intervals[place]
            image += count
            if stop <= backed:
                backing += stop - start - count
            else:
                zeros += stop - start - count
            place += 1
        found.append(Bucket(image, backing, zeros))
    return tuple(found)
