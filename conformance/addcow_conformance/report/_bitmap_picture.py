"""The bitmap as a picture: strips of stacked columns, one column for each equal part of the disk."""

from __future__ import annotations

from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple

from addcow_conformance.checker import Bucket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from addcow_conformance.checker import BitmapSummary

__all__ = ["BitmapPicture", "Share", "Strip", "bitmap_picture"]

COLUMNS = 128
STRIP_HEIGHT = 24
BAR_WIDTH = 1000
GRID_COLUMNS = 64

KINDS = Bucket._fields


class Share(NamedTuple):
    """Units of one kind: how many, how much of the disk, and the piece of the whole disk's bar."""

    kind: str
    units: int
    percent: str
    x: int
    width: int


class Strip(NamedTuple):
    """A line of the picture.

    Attributes:
        start: offset on the disk of its first byte.
        end: offset of the first byte after it; for the last strip the end of the last unit.
        counts: units of each kind in it.
        paths: an SVG path of each kind, empty where the strip has none of it.
        grid: an SVG path of the lines between columns, empty where they would be too close.
    """

    start: int
    end: int
    counts: Bucket
    paths: tuple[tuple[str, str], ...]
    grid: str


class BitmapPicture(NamedTuple):
    """The picture.

    Attributes:
        shares: the whole disk by kind, for the legend and the bar.
        strips: the disk in parts, empty where the bitmap was not counted in parts.
        columns: number of columns of a full strip.
        column_size: bytes of the disk that a column stands for, rounded.
    """

    shares: tuple[Share, ...]
    strips: tuple[Strip, ...]
    columns: int
    column_size: int


def bitmap_picture(bitmap: BitmapSummary) -> BitmapPicture:
    """The picture of a bitmap. Its size depends on the number of buckets, not on that of the disk."""
    zeros = bitmap.units - bitmap.set_units - bitmap.backed_units
    whole = Bucket(bitmap.set_units, bitmap.backed_units, zeros)
    widths = _portions(whole, BAR_WIDTH, 6)
    lefts = accumulate(widths, initial=0)
    shares = tuple(
        Share(kind, units, percentage(units, bitmap.units), x, width)
        for kind, units, x, width in zip(KINDS, whole, lefts, widths, strict=False)
    )
    columns = min(len(bitmap.buckets), COLUMNS)
    strips, start = [], 0
    for first in range(0, len(bitmap.buckets), COLUMNS):
        buckets = bitmap.buckets[first : first + COLUMNS]
        counts = Bucket(*(sum(column) for column in zip(*buckets, strict=True)))
        end = start + sum(counts) * bitmap.unit_size
        grid = "".join(f"M{x} 0v{STRIP_HEIGHT}" for x in range(1, len(buckets)))
        strips.append(Strip(start, end, counts, _paths(buckets), grid if columns <= GRID_COLUMNS else ""))
        start = end
    return BitmapPicture(shares, tuple(strips), columns, start // max(1, len(bitmap.buckets)))


def percentage(part: int, whole: int) -> str:
    """``part`` of ``whole`` in percent; what is not nothing is never 0, what is not all is never 100."""
    if not whole:
        return "0 %"
    if part and part * 10_000 < whole:
        return "< 0.01 %"
    if part < whole and (whole - part) * 10_000 < whole:
        return "> 99.99 %"
    return f"{100 * part / whole:.4g} %"


def _portions(counts: Sequence[int], size: int, least: int) -> list[int]:
    """``size`` dealt out in proportion to ``counts``; a count that is not 0 gets at least ``least``."""
    total = sum(counts)
    if not total:
        return [0] * len(counts)
    portions = [max(least, round(size * count / total)) if count else 0 for count in counts]
    portions[portions.index(max(portions))] += size - sum(portions)
    return portions


def _paths(buckets: Sequence[Bucket]) -> tuple[tuple[str, str], ...]:
    """A path for each kind: columns that stand on one another, equal neighbours drawn as one rectangle."""
    paths = dict.fromkeys(KINDS, "")
    x = 0
    for bucket, group in groupby(buckets):
        width = len(list(group))
        bottom = STRIP_HEIGHT
        for kind, height in zip(KINDS, _portions(bucket, STRIP_HEIGHT, 3), strict=True):
            bottom -= height
            if height:
                paths[kind] += f"M{x} {bottom}h{width}v{height}h-{width}z"
        x += width
    return tuple(paths.items())
